"""What the journal holds. A record is applied in the same way when it is written and when it is read back."""

from collections.abc import Iterable
from typing import TypeAlias

import msgspec
from msgspec import Struct

from mpreg_consensus_quorum.messages import NO_CLUSTER, Accepted, Ballot, Cluster, Decision
from mpreg_core import NodeId, Proposal, StorageError


class Seated(Struct, frozen=True, array_like=True, tag=8):
    """A life of this node began, or it counts other voters from now on.

    `epoch` is the number of their list in their cluster, `before` the list before it, `boots` the life in which each
    was made a voter. `active` is the last epoch in which this node may vote: it knows what the voters before may have
    chosen. `since` is the life of this node in which its memory of the cluster begins.
    """

    boot: int
    cluster: Cluster = NO_CLUSTER
    epoch: int = 0
    ids: tuple[NodeId, ...] = ()
    before: tuple[NodeId, ...] = ()
    active: int = 0
    boots: tuple[int, ...] = ()
    since: int = 0


NOBODY = Seated(0)


class Promised(Struct, frozen=True, array_like=True, tag=3):
    """No ballot below this one is answered any more."""

    key: str
    instance: int
    ballot: Ballot


class Voted(Struct, frozen=True, array_like=True, tag=4):
    """A yes. `epoch` is that of the voter's first yes to this proposal in this instance."""

    instance: int
    ballot: Ballot
    proposal: Proposal
    epoch: int


class Refused(Struct, frozen=True, array_like=True, tag=5):
    """A no."""

    key: str
    instance: int
    proposal: str


class Stance(Struct, frozen=True, array_like=True, tag=6):
    """What the operator said of a proposal."""

    proposal: str
    yes: bool


class SlotRecord(Struct, frozen=True, array_like=True):
    """All that is held of one key."""

    key: str
    decided: Decision | None
    promised: Ballot
    accepted: Accepted | None
    noes: tuple[str, ...]


class Checkpoint(Struct, frozen=True, array_like=True, tag=9):
    """Everything: it replaces all records before it."""

    seat: Seated
    slots: tuple[SlotRecord, ...]
    recent: tuple[Decision, ...]
    stances: tuple[Stance, ...]


Record: TypeAlias = Decision | Seated | Promised | Voted | Refused | Stance | Checkpoint

encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


def decode_all(records: Iterable[bytes]) -> list[Record]:
    """The journal's records. Raises `StorageError` for one that this version did not write."""
    found = []
    for number, record in enumerate(records):
        try:
            found.append(_decoder.decode(record))
        except msgspec.MsgspecError as error:
            raise StorageError(
                f"expected a record of the quorum engine, got {len(record)} bytes that are none ({error}); the journal "
                "is of another engine or version: restore it, or move it away and join as a new node",
                where=f"record {number}",
            ) from error
    return found
