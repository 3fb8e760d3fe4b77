"""Deadlines by key: the earliest is known in O(1), all else costs O(log n) of what is pending."""

from heapq import heapify, heappop, heappush
from typing import TypeAlias

Key: TypeAlias = tuple[str, str | int]

_SLACK = 64


class Timers:
    """A heap whose stale entries are dropped when they reach the top, and all at once when they outnumber the rest."""

    def __init__(self) -> None:
        self._due_ns: dict[Key, int] = {}
        self._heap: list[tuple[int, int, Key]] = []
        self._pushed = 0  # breaks ties in the order of setting

    def __len__(self) -> int:
        return len(self._due_ns)

    def set(self, key: Key, due_ns: int) -> None:
        """Set or move the deadline of a key."""
        if self._due_ns.get(key) != due_ns:
            self._due_ns[key] = due_ns
            self._pushed += 1
            heappush(self._heap, (due_ns, self._pushed, key))
            self._tidy()

    def cancel(self, key: Key) -> None:
        """Forget a key; one that is not set is fine."""
        if self._due_ns.pop(key, None) is not None:
            self._tidy()

    def clear(self) -> None:
        """Forget all."""
        self._due_ns.clear()
        self._heap.clear()

    def next(self) -> int | None:
        """The earliest deadline, ns; None when nothing is set."""
        return self._heap[0][0] if self._heap else None

    def pop(self, now_ns: int) -> Key | None:
        """The earliest key that is due, which is forgotten; None when none is."""
        if not self._heap or self._heap[0][0] > now_ns:
            return None
        key = heappop(self._heap)[2]
        del self._due_ns[key]
        self._tidy()
        return key

    def _tidy(self) -> None:
        heap = self._heap
        while heap and self._due_ns.get(heap[0][2]) != heap[0][0]:
            heappop(heap)
        if len(heap) > 2 * len(self._due_ns) + _SLACK:
            self._heap = [entry for entry in heap if self._due_ns.get(entry[2]) == entry[0]]
            heapify(self._heap)
