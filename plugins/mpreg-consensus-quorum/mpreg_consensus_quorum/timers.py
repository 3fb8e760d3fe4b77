"""Deadlines by name: the earliest is known at once, all else costs the logarithm of what is pending."""

from heapq import heapify, heappop, heappush
from typing import TypeAlias

Name: TypeAlias = tuple[str, str]

_STALE_MAX = 64


class Timers:
    """A heap with the moved and cancelled entries left in, until they come up or outnumber the others."""

    def __init__(self) -> None:
        self._due: dict[Name, int] = {}
        self._heap: list[tuple[int, Name]] = []

    def set(self, name: Name, at_ns: int) -> None:
        """Set the deadline of a name, or move it."""
        self._due[name] = at_ns
        heappush(self._heap, (at_ns, name))
        self._sweep()

    def cancel(self, name: Name) -> None:
        """Forget a name, set or not."""
        if self._due.pop(name, None) is not None:
            self._sweep()

    def is_set(self, name: Name) -> bool:
        """True if the name has a deadline."""
        return name in self._due

    def next(self) -> int | None:
        """The earliest deadline."""
        return self._heap[0][0] if self._heap else None

    def due(self, now_ns: int) -> list[Name]:
        """The names whose time has come, in order, which are then no longer set."""
        names = []
        while self._heap and self._heap[0][0] <= now_ns:
            at_ns, name = heappop(self._heap)
            if self._due.get(name) == at_ns:
                del self._due[name]
                names.append(name)
        self._sweep()
        return names

    def _sweep(self) -> None:
        heap, due = self._heap, self._due
        while heap and due.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        if len(heap) > 2 * len(due) + _STALE_MAX:
            self._heap = [(at_ns, name) for name, at_ns in due.items()]
            heapify(self._heap)
