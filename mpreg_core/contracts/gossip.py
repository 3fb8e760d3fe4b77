"""Gossip strategies: every item published in a pool reaches every member of it.

Core hands over items and takes back `Delivered` facts; what an item means and which of two versions wins is core's
matter (the replica's). The strategy decides whom to tell, when and how, and repairs what was missed.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from mpreg_core.contracts.effects import Effects
from mpreg_core.contracts.machine import Machine
from mpreg_core.contracts.members import Member
from mpreg_core.ids import NodeId

MessageT = TypeVar("MessageT", bound=Struct, contravariant=True)

URGENT, NORMAL, BULK = 0, 1, 2
"""Priorities of items: membership before state before bulk."""

DIGEST_FANOUT = 64


class Item(Struct, frozen=True, array_like=True):
    """One version of one key. `stamp` (63 bits) identifies the version; equal key and stamp means equal payload.

    `kept` items live in the replica until a newer version replaces them; others are messages, delivered once.
    `born_ms` is the origin's wall clock, for the spread to be measured.
    """

    key: str
    stamp: int
    payload: bytes
    origin: NodeId
    born_ms: int
    priority: int = NORMAL
    kept: bool = True


class Replica(Protocol):
    """What this node holds for the pool, as its gossip strategy sees it. Read-only.

    Kept items hang in a digest tree of two levels, `DIGEST_FANOUT` wide: a digest is the XOR of a 63-bit hash of
    (key, stamp) over the items below, so two replicas with equal roots hold the same.
    """

    def is_news(self, item: Item) -> bool:
        """True if the item would change what is held here (newer, unknown or mergeable) or was never delivered."""
        ...

    def root(self) -> int:
        """The digest over all kept items; 0 when there are none."""
        ...

    def branches(self) -> Sequence[int]:
        """The `DIGEST_FANOUT` digests of the first level."""
        ...

    def leaves(self, branch: int) -> Sequence[int]:
        """The `DIGEST_FANOUT` digests below a branch, 0 <= branch < DIGEST_FANOUT."""
        ...

    def stamps(self, branch: int, leaf: int) -> Mapping[str, int]:
        """key -> stamp of the kept items in a leaf."""
        ...

    def get(self, key: str) -> Item | None:
        """The kept item of a key."""
        ...


class GossipStrategy(Machine[MessageT], Protocol[MessageT]):
    """Emits `Delivered` once for each item that arrives and is news, in any order."""

    def on_members(self, now_ns: int, members: Sequence[Member]) -> Effects:
        """These members are new or changed; first call: all of them. Told before items that concern them."""
        ...

    def on_publish(self, now_ns: int, item: Item) -> Effects:
        """Spread an item of this node's own, or one that merging made anew. It is in the replica already if kept."""
        ...

    def on_round_trip(self, now_ns: int, peer: NodeId, rtt_ns: int) -> Effects:
        """A sibling measured a round trip: proximity selection may use it."""
        ...
