"""Handlers under way, of a node or a client: side by side, each with its time, and called off by their calls' ids."""

from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

from mpreg_core.runtime.timing import Deadlines
from mpreg_core.runtime.workers import Workers

Run = Callable[[], Awaitable[tuple[str, bytes, str]]]
"""Runs a handler: gives error code or empty, payload, message."""

Ended = Callable[[str, str, bytes, str], None]
"""Told of the outcome: the call, then what `Run` gave."""


class Calls:
    """Runs handlers in a task group, and with it they end: then nobody is told. `run` must run meanwhile."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._scopes: dict[str, anyio.CancelScope | None] = {}  # None: it has not begun yet
        self._workers = Workers(tasks)
        self._deadlines = Deadlines[str](self.call_off, self._scopes.__contains__)
        self.run = self._deadlines.run

    def __len__(self) -> int:
        return len(self._scopes)

    def start(self, call: str, run: Run, timeout_s: float, ended: Ended) -> None:
        """Run a handler soon; after `timeout_s`, or when it is called off, its outcome is `timeout`."""
        self._scopes[call] = None
        self._deadlines.add(call, timeout_s)
        self._workers.start(self._run, call, run, ended)

    def call_off(self, call: str) -> None:
        """Nobody waits for a call any more, or its time is up: end its handler, or do not begin it."""
        scope = self._scopes.get(call)
        if scope is not None:
            scope.cancel()
        else:
            self._scopes.pop(call, None)

    async def _run(self, scope: anyio.CancelScope, call: str, run: Run, ended: Ended) -> None:
        late = "timeout", b"", "the handler took too long"
        if call not in self._scopes:
            ended(call, *late)
            return
        self._scopes[call] = scope
        outcome = None
        try:
            outcome = await run()
        finally:
            del self._scopes[call]
            if outcome is not None or scope.cancel_called:
                ended(call, *(outcome or late))
