"""Calls that wait for their numbered answers, and one task that ends those whose time is up.

A cancel scope for each call would cost more than all else that a call does.
"""

import time
from heapq import heapify, heappop, heappush

import anyio
from msgspec import Struct

from mpreg_core.errors import MpregError
from mpreg_core.wire.client import Answer, Done

STALE_MAX = 1_024


class Waiting:
    """One call. `again` says that its message may be sent once more elsewhere; `answer` stays None when time is up."""

    __slots__ = ("again", "answer", "event", "message", "sent")

    def __init__(self, event: anyio.Event, message: Struct, *, again: bool) -> None:
        self.event = event
        self.message = message
        self.again = again
        self.sent = False
        self.answer: Answer | Done | MpregError | None = None

    def end(self, answer: Answer | Done | MpregError | None) -> None:
        """There is an answer, or there will be none."""
        self.answer = answer
        self.event.set()


class WaitingRoom:
    """The calls by number. `run` must run meanwhile."""

    def __init__(self) -> None:
        self._calls: dict[int, Waiting] = {}
        self._deadlines: list[tuple[float, int]] = []
        self._armed = anyio.Event()
        self._new_event = type(self._armed)  # knows the event loop already
        self._last = 0

    def new_number(self) -> int:
        """For one call."""
        self._last += 1
        return self._last

    def enter(self, number: int, message: Struct, timeout_s: float, *, again: bool) -> Waiting:
        """Wait from now on; `leave` must follow."""
        waiting = self._calls[number] = Waiting(self._new_event(), message, again=again)
        entry = (time.monotonic() + timeout_s, number)
        heappush(self._deadlines, entry)
        if self._deadlines[0] is entry:
            self._armed.set()
        elif len(self._deadlines) > 2 * len(self._calls) + STALE_MAX:
            self._deadlines = [each for each in self._deadlines if each[1] in self._calls]
            heapify(self._deadlines)
        return waiting

    def leave(self, number: int) -> None:
        """It waits no longer."""
        self._calls.pop(number, None)

    def answer(self, answer: Answer | Done) -> None:
        """An answer came; one that nobody waits for is late."""
        waiting = self._calls.get(answer.number)
        if waiting is not None:
            waiting.end(answer)

    def open(self) -> list[Waiting]:
        """The calls that were sent and have no answer yet."""
        return [waiting for waiting in self._calls.values() if waiting.sent and not waiting.event.is_set()]

    async def run(self) -> None:
        """End the calls whose time is up, until cancelled."""
        while True:
            self._armed = self._new_event()
            left_s = self._deadlines[0][0] - time.monotonic() if self._deadlines else None
            if left_s is None:
                await self._armed.wait()
            elif left_s > 0:
                with anyio.move_on_after(left_s):
                    await self._armed.wait()
            else:
                waiting = self._calls.get(heappop(self._deadlines)[1])
                if waiting is not None and not waiting.event.is_set():
                    waiting.end(None)
