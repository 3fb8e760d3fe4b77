"""What members of a `swim` pool say to each other. Fields are only ever appended, with defaults."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from mpreg_core import NodeId

ALIVE: Literal[0] = 0
SUSPECT: Literal[1] = 1
FAILED: Literal[2] = 2
Opinion = Literal[0, 1, 2]

UPDATES_MAX = 16
"""Updates on one message."""

Id = Annotated[NodeId, Meta(max_length=63)]
Seq = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Incarnation = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Update(Struct, frozen=True, array_like=True):
    """An opinion on its way through the pool: `peer` is `status` at `incarnation`, says `by`."""

    peer: Id
    status: Opinion
    incarnation: Incarnation
    by: Id


Updates = Annotated[tuple[Update, ...], Meta(max_length=UPDATES_MAX)]


class Ping(Struct, frozen=True, array_like=True, tag=1):
    """Are you `target`, and alive? `incarnation` is what the sender knows; `stream` asks for the answer by stream."""

    seq: Seq
    target: Id
    incarnation: Incarnation
    stream: bool = False
    updates: Updates = ()


class Ack(Struct, frozen=True, array_like=True, tag=2):
    """The pinged member lives at `incarnation`; from itself, or passed on by the helper that pinged it."""

    seq: Seq
    incarnation: Incarnation
    stream: bool = False
    updates: Updates = ()


class PingRequest(Struct, frozen=True, array_like=True, tag=3):
    """Ping `target` for me and pass its ack on under `seq`."""

    seq: Seq
    target: Id
    incarnation: Incarnation
    updates: Updates = ()


class Nack(Struct, frozen=True, array_like=True, tag=4):
    """I got your request, but no ack in time (Lifeguard: the fault is not the asker's)."""

    seq: Seq


class NotMe(Struct, frozen=True, array_like=True, tag=5):
    """Another process has this address now: whom you pinged under `seq` is not here."""

    seq: Seq


class News(Struct, frozen=True, array_like=True, tag=6):
    """Updates that do not wait for a probe. A suspicion by its sender also asks for a second opinion."""

    updates: Updates


SwimMessage = Ping | Ack | PingRequest | Nack | NotMe | News
