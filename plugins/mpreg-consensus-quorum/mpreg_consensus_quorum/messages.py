"""What the nodes say to each other, by stream: proposer to voters, voter to proposer, and who lags to who knows.

Every message about an undecided instance names its ballot. Messages that count voters or tell of decisions also
name whose decisions these are, and which voters the sender counts: a node that counts others helps on whoever is
behind, and does nothing else.
"""

from typing import TypeAlias

import msgspec
from msgspec import Struct

from mpreg_core import NodeId, Proposal
from mpreg_core.limits import ITEM_BYTES_MAX, KEY_BYTES_MAX

NUMBER_MAX = 1 << 53
"""Rounds, instances and times above this are nonsense."""

FETCH_MAX = 100
"""Keys in one `Fetch`."""

INVENTORY_MAX = 1_000
"""Entries in one `Inventory`: at most half a frame."""

LEGACY_BYTES_MAX = 384 * 1024
"""Values in one `Legacy`, but for the first."""

_ID_CHARACTERS_MAX = 256


class Ballot(Struct, frozen=True, array_like=True, order=True):
    """The name of one attempt, in order of strength. `boot` counts the proposer's lives: no ballot is ever reused."""

    round: int
    proposer: NodeId
    boot: int


NO_BALLOT = Ballot(0, "", 0)


class Cluster(Struct, frozen=True, array_like=True, order=True):
    """Whose decisions these are: those of the voters that `founder` founded. Of two, the older one lives on."""

    founded_ms: int
    founder: NodeId


NO_CLUSTER = Cluster(0, "")


class Stamp(Struct, frozen=True, array_like=True):
    """The voters that a node counts: they follow from the cluster and the number of its list, its epoch."""

    epoch: int
    cluster: Cluster


NO_STAMP = Stamp(0, NO_CLUSTER)

VOTERS_KEY = "\0voters"
"""The engine's own key: its n-th decision is the cluster's list n + 1 of voters. The first is the founder alone."""


class Roll(Struct, frozen=True, array_like=True):
    """The value of `VOTERS_KEY`: who votes from now on, in which of its lives each was made a voter, who did before."""

    ids: tuple[NodeId, ...]
    boots: tuple[int, ...]
    before: tuple[NodeId, ...]


class Accepted(Struct, frozen=True, array_like=True):
    """The last proposal that a voter voted for in an instance, in which ballot, and in which epoch it first did."""

    ballot: Ballot
    proposal: Proposal
    epoch: int


class Decision(Struct, frozen=True, array_like=True, tag=1):
    """What was decided for the proposal's key as its `instance`-th decision, with the votes that its finder counted."""

    instance: int
    proposal: Proposal
    epoch: int
    yes: tuple[NodeId, ...]
    no: tuple[NodeId, ...]


class Prepare(Struct, frozen=True, array_like=True, tag=1):
    """Phase 1: promise to take part in no lower ballot, and say what you voted for."""

    stamp: Stamp
    key: str
    instance: int
    ballot: Ballot


class Promise(Struct, frozen=True, array_like=True, tag=2):
    """The answer to `Prepare`."""

    key: str
    instance: int
    ballot: Ballot
    accepted: Accepted | None


class Accept(Struct, frozen=True, array_like=True, tag=3):
    """Phase 2: vote on this proposal."""

    stamp: Stamp
    key: str
    instance: int
    ballot: Ballot
    proposal: Proposal


class Vote(Struct, frozen=True, array_like=True, tag=4):
    """The answer to `Accept`. A no is for good: the voter never votes for that proposal in this instance."""

    key: str
    instance: int
    ballot: Ballot
    yes: bool


class Nack(Struct, frozen=True, array_like=True, tag=5):
    """Not that ballot: `promised` is higher, or the voters named are not those of `stamp`."""

    stamp: Stamp
    key: str
    instance: int
    ballot: Ballot
    promised: Ballot


class Commit(Struct, frozen=True, array_like=True, tag=6):
    """A decision. The sender has none between `previous` and it, so whoever knows `previous` may take it."""

    cluster: Cluster
    decision: Decision
    previous: int


class Reject(Struct, frozen=True, array_like=True, tag=7):
    """By the proposer: so many voters said no that its proposal can never be decided."""

    proposal: str
    no: tuple[NodeId, ...]


class Fetch(Struct, frozen=True, array_like=True, tag=8):
    """Send the decisions of these keys that come after these instances."""

    cluster: Cluster
    wants: tuple[tuple[str, int], ...]


class Inquire(Struct, frozen=True, array_like=True, tag=9):
    """Which keys changed at you after `since`, counted in your life `boot`? `nonce` comes back; 0 = no read waits."""

    stamp: Stamp
    nonce: int
    boot: int
    since: int


class Entry(Struct, frozen=True, array_like=True):
    """A key's last decided instance, and in which epoch the voter first voted for its proposal in the one after it."""

    key: str
    decided: int
    open_epoch: int | None


class Inventory(Struct, frozen=True, array_like=True, tag=10):
    """The keys that changed at a voter after `since` and up to `upto`; `more` follow when asked for."""

    nonce: int
    boot: int
    since: int
    upto: int
    more: bool
    entries: tuple[Entry, ...]


_decode_roll = msgspec.msgpack.Decoder(Roll).decode


class Seats(Struct, frozen=True, array_like=True, tag=11):
    """Which voters the sender counts; epoch 0 = it knows of none. With `asks` the other is to say what it counts.

    `boot` is the number of the sender's life. `forgot`: it has a vote in this epoch and no memory of what it did with
    it, so it will not use it.
    """

    stamp: Stamp
    boot: int
    asks: bool = False
    forgot: bool = False


class Handover(Struct, frozen=True, array_like=True, tag=12):
    """By a voter of the list `stamp`, to one of the list before: cast no vote in that any more, and say what you did.

    What changed at you after `since`, counted in your life `boot`?
    """

    stamp: Stamp
    boot: int
    since: int


class Open(Struct, frozen=True, array_like=True):
    """A key's last decided instance, and what the voter voted for in the one after it."""

    key: str
    decided: int
    accepted: Accepted | None


class Legacy(Struct, frozen=True, array_like=True, tag=13):
    """The answer to `Handover`: the keys that changed after `since` and up to `upto`; `more` follow when asked for."""

    stamp: Stamp
    boot: int
    since: int
    upto: int
    more: bool
    entries: tuple[Open, ...]


QuorumMessage: TypeAlias = (
    Prepare | Promise | Accept | Vote | Nack | Commit | Reject | Fetch | Inquire | Inventory | Seats | Handover | Legacy
)


def roll_of(proposal: Proposal) -> Roll | None:
    """The list of voters that a proposal of `VOTERS_KEY` proposes; None for another key, or for what is no list."""
    if proposal.key != VOTERS_KEY:
        return None
    try:
        roll = _decode_roll(proposal.value)
    except msgspec.MsgspecError:
        return None
    return roll if roll.ids and len(roll.ids) == len(roll.boots) else None


def is_key(key: str) -> bool:
    """True if `key` is not empty and within `limits.KEY_BYTES_MAX`."""
    try:
        return 0 < len(key.encode()) <= KEY_BYTES_MAX
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def is_well_formed(proposal: Proposal) -> bool:
    """True if every field of a proposal is within its bounds."""
    return (
        0 < len(proposal.id) <= _ID_CHARACTERS_MAX
        and proposal.id.isprintable()
        and 0 < len(proposal.proposer) <= _ID_CHARACTERS_MAX
        and is_key(proposal.key)
        and len(proposal.value) <= ITEM_BYTES_MAX
        and 0 < proposal.timeout_ns <= NUMBER_MAX * 64
    )
