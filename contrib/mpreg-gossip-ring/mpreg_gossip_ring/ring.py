"""The order of the members: by a hash of their names, the same at every node."""

from bisect import bisect_left, insort
from zlib import crc32

from mpreg_core import NodeId


class Ring:
    """The live members but `me`, by place."""

    def __init__(self, me: NodeId) -> None:
        self._me = _place(me)
        self._places: list[tuple[int, NodeId]] = []

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, peer: NodeId) -> bool:
        at = bisect_left(self._places, _place(peer))
        return at < len(self._places) and self._places[at][1] == peer

    def add(self, peer: NodeId) -> None:
        """One more; one that is there already is fine."""
        if peer not in self:
            insort(self._places, _place(peer))

    def discard(self, peer: NodeId) -> None:
        """One less."""
        if peer in self:
            self._places.remove(_place(peer))

    def at(self, index: int) -> NodeId:
        """The member at a place."""
        return self._places[index][1]

    def successors(self, count: int) -> tuple[NodeId, ...]:
        """The next members after this node, around the ring."""
        first = bisect_left(self._places, self._me)
        total = len(self._places)
        return tuple(self._places[(first + step) % total][1] for step in range(min(count, total)))


def _place(peer: NodeId) -> tuple[int, NodeId]:
    return crc32(peer.encode()), peer
