"""What the nodes say to each other, always by stream. Fields are only ever appended, with defaults."""

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from mpreg_core import NodeId, Proposal

NUMBER_MAX = 1 << 53
ENTRIES_MAX = 1_024
"""Entries of one `Append`."""

CHUNK_BYTES = 256 * 1024
"""Of a snapshot, in one `Chunk`."""

IDS_MAX = 1_024

Number = Annotated[int, Meta(ge=0, le=NUMBER_MAX)]
Ids = Annotated[tuple[NodeId, ...], Meta(max_length=IDS_MAX)]


class Cluster(Struct, frozen=True, array_like=True, order=True):
    """Which log this is: two that were founded apart never mix. The one founded first wins when they meet.

    `founded_ms` is the founder's wall clock, or somewhat less.
    """

    founded_ms: Number
    founder: NodeId


class Config(Struct, frozen=True, array_like=True, tag=1):
    """Who votes. With `old`, a joint configuration: a majority of each is needed (section 6)."""

    ids: Ids
    old: Ids = ()


class Entry(Struct, frozen=True, array_like=True):
    """One place of the log: a proposal, a configuration, or nothing (the first entry of a leader's term)."""

    term: Number
    proposal: Proposal | None = None
    config: Config | None = None


class Append(Struct, frozen=True, array_like=True, tag=1):
    """AppendEntries (figure 2). `round` comes back in the answer: it dates the leader's authority for reads."""

    cluster: Cluster
    term: Number
    prev_index: Number
    prev_term: Number
    commit: Number
    round: Number
    entries: Annotated[tuple[Entry, ...], Meta(max_length=ENTRIES_MAX)] = ()


class Appended(Struct, frozen=True, array_like=True, tag=2):
    """The answer to `Append` or a whole snapshot.

    `ok`: the log is the leader's up to `index`, durably. Else the logs differ at `prev_index`: try at `index`. `boot`
    another one in each life of the sender, which may have forgotten.
    """

    cluster: Cluster
    term: Number
    ok: bool
    index: Number
    round: Number
    boot: Number


class Ask(Struct, frozen=True, array_like=True, tag=3):
    """RequestVote (figure 2). `trial`: would you vote for me in this term (thesis, 9.6)? `forced`: by the leader."""

    cluster: Cluster
    term: Number
    last_index: Number
    last_term: Number
    trial: bool = False
    forced: bool = False


class Answer(Struct, frozen=True, array_like=True, tag=4):
    """The answer to `Ask`. `term` is that of the question when it was granted, else the voter's own."""

    cluster: Cluster
    term: Number
    granted: bool
    trial: bool


class Chunk(Struct, frozen=True, array_like=True, tag=5):
    """InstallSnapshot (figure 13): a part of the state that the log up to `index` led to."""

    cluster: Cluster
    term: Number
    index: Number
    index_term: Number
    offset: Number
    total: Number
    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES)]
    round: Number = 0


class Chunked(Struct, frozen=True, array_like=True, tag=6):
    """So many bytes of the snapshot at `index` are here."""

    cluster: Cluster
    term: Number
    index: Number
    offset: Number
    round: Number = 0


class Forward(Struct, frozen=True, array_like=True, tag=7):
    """A proposal for the leader, by a member that is not it. Sent again until it is decided."""

    proposal: Proposal


class ReadAsk(Struct, frozen=True, array_like=True, tag=8):
    """What index must be applied for a read that begins now?"""

    nonce: Number


class ReadAt(Struct, frozen=True, array_like=True, tag=9):
    """This one."""

    nonce: Number
    index: Number


class Lead(Struct, frozen=True, array_like=True, tag=10):
    """TimeoutNow (thesis, 3.10): the leader retires and wants you to be it."""

    cluster: Cluster
    term: Number


class WhoIsThere(Struct, frozen=True, array_like=True, tag=11):
    """A node without a log looks for one before it founds one."""


class Here(Struct, frozen=True, array_like=True, tag=12):
    """The log that the sender has; None if it has none either."""

    cluster: Cluster | None


RaftMessage: TypeAlias = (
    Append | Appended | Ask | Answer | Chunk | Chunked | Forward | ReadAsk | ReadAt | Lead | WhoIsThere | Here
)
MESSAGES = (Append, Appended, Ask, Answer, Chunk, Chunked, Forward, ReadAsk, ReadAt, Lead, WhoIsThere, Here)
