"""What every process said, stamped by one clock as it came out of its pipe."""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable


class Board:
    """First time at which each observer said a thing of a subject: `seen[what, subject][observer]`, seconds."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
        self.count: dict[str, int] = defaultdict(int)
        self._news = asyncio.Event()

    def note(self, what: str, subject: str, observer: str) -> None:
        """Somebody said something."""
        self.count[what] += 1
        self.seen[what, subject].setdefault(observer, time.monotonic())
        self._news.set()

    def forget(self, what: str, subject: str) -> None:
        """From now on it counts anew."""
        self.seen.pop((what, subject), None)

    async def all_say(self, what: str, subject: str, observers: Collection[str], timeout_s: float) -> float | None:
        """When the last of the observers said it; None if one did not in time."""

        def last() -> float | None:
            times = self.seen[what, subject]
            return max(times[each] for each in observers) if set(observers) <= times.keys() else None

        return await self.until(last, timeout_s)

    async def until(self, found: Callable[[], float | None], timeout_s: float) -> float | None:
        """Ask at every news, until there is an answer."""
        deadline = time.monotonic() + timeout_s
        while (answer := found()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), min(left, 1.0))
            except TimeoutError:
                pass
        return answer


async def follow(
    stream: asyncio.StreamReader, observer: str, board: Board, patterns: Iterable[tuple[str, re.Pattern[str]]]
) -> None:
    """Read a process's log to its end; what matches goes to the board."""
    known = tuple(patterns)
    async for raw in stream:
        line = raw.decode(errors="replace")
        for what, pattern in known:
            if (match := pattern.search(line)) is not None:
                board.note(what, match[1], observer)
                break
