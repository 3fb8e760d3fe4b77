"""Calls that wait for their numbered answers."""

from msgspec import Struct

from mpreg_core.errors import MpregError
from mpreg_core.runtime.timing import Deadlines, OneShot, one_shots
from mpreg_core.wire.client import Answer, Done


class Waiting:
    """One call. `again` says that its message may be sent once more elsewhere; `answer` stays None when time is up."""

    __slots__ = ("again", "answer", "ended", "is_over", "message", "sent")

    def __init__(self, ended: OneShot, message: Struct, *, again: bool) -> None:
        self.ended = ended
        self.message = message
        self.again = again
        self.sent = False
        self.is_over = False  # `ended` is done as well when whoever waits was cancelled
        self.answer: Answer | Done | MpregError | None = None

    def end(self, answer: Answer | Done | MpregError | None) -> None:
        """There is an answer, or there will be none."""
        if not self.is_over:
            self.is_over, self.answer = True, answer
            if not self.ended.done():
                self.ended.set_result(None)


class WaitingRoom:
    """The calls by number. `run` must run meanwhile."""

    def __init__(self) -> None:
        self._calls: dict[int, Waiting] = {}
        self._deadlines = Deadlines[int](self._late, self._calls.__contains__)
        self._one_shot = one_shots()
        self._last = 0
        self.run = self._deadlines.run

    def new_number(self) -> int:
        """For one call."""
        self._last += 1
        return self._last

    def enter(self, number: int, message: Struct, timeout_s: float, *, again: bool) -> Waiting:
        """Wait from now on; `leave` must follow."""
        waiting = self._calls[number] = Waiting(self._one_shot(), message, again=again)
        self._deadlines.add(number, timeout_s)
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
        return [waiting for waiting in self._calls.values() if waiting.sent and not waiting.is_over]

    def _late(self, number: int) -> None:
        self._calls[number].end(None)
