"""Whom to probe next: round-robin in random order (SWIM, section 4.3), every step O(1).

Each round is a Fisher-Yates shuffle done one draw at a time: `_ids[:_drawn]` have had their turn, the next one is
drawn from the rest. So a member is probed once a round and waits at most 2n - 1 turns, however the rounds fall.
"""

from collections.abc import Iterable, Iterator
from random import Random

from mpreg_core import NodeId


class Ring:
    """A set of ids that can be drawn round-robin and sampled."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._ids: list[NodeId] = []
        self._place: dict[NodeId, int] = {}
        self._drawn = 0

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[NodeId]:
        return iter(self._ids)

    def add(self, peer: NodeId) -> None:
        """Take in an id; its turn comes in the round that runs."""
        if peer not in self._place:
            self._place[peer] = len(self._ids)
            self._ids.append(peer)

    def discard(self, peer: NodeId) -> None:
        """Forget an id without changing whose turn has been."""
        place = self._place.pop(peer, None)
        if place is None:
            return
        if place < self._drawn:
            self._drawn -= 1
            self._move(self._drawn, place)
            place = self._drawn
        self._move(len(self._ids) - 1, place)
        self._ids.pop()

    def draw(self) -> NodeId | None:
        """The next in turn; None when there is nobody."""
        if not self._ids:
            return None
        if self._drawn >= len(self._ids):
            self._drawn = 0
        chosen = self._rng.randrange(self._drawn, len(self._ids))
        peer, other = self._ids[chosen], self._ids[self._drawn]
        self._ids[chosen], self._ids[self._drawn] = other, peer
        self._place[peer], self._place[other] = self._drawn, chosen
        self._drawn += 1
        return peer

    def sample(self, count: int, without: Iterable[NodeId]) -> tuple[NodeId, ...]:
        """Up to `count` different ids at random, none of `without` (which is small). O(count)."""
        excluded = {self._place[peer] for peer in without if peer in self._place}
        picks = min(len(self._ids), count + len(excluded))
        places = [place for place in self._rng.sample(range(len(self._ids)), picks) if place not in excluded]
        return tuple(self._ids[place] for place in places[:count])

    def _move(self, source: int, to: int) -> None:
        """Overwrite place `to` by the id at `source`."""
        if source != to:
            peer = self._ids[source]
            self._ids[to] = peer
            self._place[peer] = to
