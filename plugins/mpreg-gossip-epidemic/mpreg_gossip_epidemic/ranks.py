"""Members by distance, kept in order change by change: choosing a near one is one draw, whatever their number."""

from bisect import bisect_left, insort
from collections.abc import Collection
from random import Random
from zlib import crc32

from mpreg_core import NodeId

NEAREST_OF = 8
"""A choice is as good as the nearest of so many uniform tries: a member's chance falls with its rank."""


class Ranks:
    """Ids in the order of what it costs to reach them. Equal ones stand in an order of `me`'s own.

    Otherwise all members of a pool without measurements would choose the same one.
    """

    def __init__(self, me: NodeId) -> None:
        self._me = me
        self._order: list[tuple[int, int, NodeId]] = []
        self._places: dict[NodeId, tuple[int, int, NodeId]] = {}

    def __len__(self) -> int:
        return len(self._order)

    def put(self, peer: NodeId, cost_ns: int) -> None:
        """Add a member, or move it. A change of less than an eighth moves nothing."""
        held = self._places.get(peer)
        if held is not None:
            if abs(held[0] - cost_ns) * 8 < held[0]:
                return
            self.discard(peer)
        place = (cost_ns, crc32(f"{self._me}/{peer}".encode()), peer)
        self._places[peer] = place
        insort(self._order, place)

    def discard(self, peer: NodeId) -> None:
        """Forget a member; one that is not there is fine."""
        held = self._places.pop(peer, None)
        if held is not None:
            del self._order[bisect_left(self._order, held)]

    def cost_ns(self, peer: NodeId) -> int | None:
        """What a member was last ranked by; None if it is not ranked."""
        held = self._places.get(peer)
        return held and held[0]

    def draw(self, rng: Random, excluded: Collection[NodeId]) -> NodeId | None:
        """A near member, by chance: the least of `NEAREST_OF` uniform ranks, or the next one that is not excluded."""
        order = self._order
        first = int(len(order) * (1.0 - (1.0 - rng.random()) ** (1.0 / NEAREST_OF)))
        for _, _, peer in order[first : first + 1 + len(excluded)]:
            if peer not in excluded:
                return peer
        return None
