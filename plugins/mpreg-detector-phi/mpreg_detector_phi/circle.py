"""Who watches whom: each member watches its next `count` successors on a ring, so each is watched by as many.

Places on the ring are hashes of ids: neighbours by name, which often share a rack, are not each other's only watchers.
"""

from bisect import bisect_left, insort
from zlib import crc32

from mpreg_core import NodeId


class Circle:
    """Sorted (hash, id). A change costs O(log n) and a move of memory, a question O(log n + count)."""

    def __init__(self) -> None:
        self._places: list[tuple[int, NodeId]] = []

    def __len__(self) -> int:
        return len(self._places)

    def add(self, peer: NodeId) -> bool:
        """Take in an id; False if it is here."""
        _, here = self._find(peer)
        if not here:
            insort(self._places, _place(peer))
        return not here

    def discard(self, peer: NodeId) -> bool:
        """Forget an id; False if it is not here."""
        index, here = self._find(peer)
        if here:
            del self._places[index]
        return here

    def successors(self, of: NodeId, count: int) -> tuple[NodeId, ...]:
        """The next `count` after an id, which need not be here, and without it."""
        index, here = self._find(of)
        return self._walk(index + here, 1, min(count, len(self._places) - here))

    def predecessors(self, of: NodeId, count: int) -> tuple[NodeId, ...]:
        """The last `count` before an id, nearest first: its watchers."""
        index, here = self._find(of)
        return self._walk(index - 1, -1, min(count, len(self._places) - here))

    def _find(self, peer: NodeId) -> tuple[int, bool]:
        place = _place(peer)
        index = bisect_left(self._places, place)
        return index, index < len(self._places) and self._places[index] == place

    def _walk(self, start: int, step: int, count: int) -> tuple[NodeId, ...]:
        size = len(self._places)
        return tuple(self._places[(start + step * i) % size][1] for i in range(count))


def _place(peer: NodeId) -> tuple[int, NodeId]:
    return crc32(peer.encode()), peer
