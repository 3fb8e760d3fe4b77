"""Handlers under way, of a node or a client: side by side, each with its time, and called off by their calls' ids."""

from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from mpreg_core.contracts.api import Handler
from mpreg_core.ids import NodeId
from mpreg_core.runtime.handling import outcome_of
from mpreg_core.runtime.timing import Deadlines
from mpreg_core.runtime.workers import Workers

Ended = Callable[[str, str, bytes, str], None]
"""Told of the outcome: call, error code or empty, payload, message."""


class Calls:
    """Runs handlers in a task group, and with it they end: then nobody is told. `run` must run meanwhile."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._running = 0
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._workers = Workers(tasks)
        self._deadlines = Deadlines[str](self.call_off, self._scopes.__contains__)
        self.run = self._deadlines.run

    def __len__(self) -> int:
        return self._running

    def start(
        self,
        handler: Handler,
        call: str,
        service: str,
        payload: bytes,
        path: tuple[NodeId, ...],
        timeout_s: float,
        ended: Ended,
    ) -> None:
        """Run a handler soon; after `timeout_s`, or when it is called off, its outcome is `timeout`."""
        self._running += 1
        self._workers.start(self._run, handler, call, service, payload, path, timeout_s, ended)

    def call_off(self, call: str) -> None:
        """Nobody waits for a call any more: end its handler, if it runs."""
        scope = self._scopes.get(call)
        if scope is not None:
            scope.cancel()

    async def _run(
        self,
        scope: anyio.CancelScope,
        handler: Handler,
        call: str,
        service: str,
        payload: bytes,
        path: tuple[NodeId, ...],
        timeout_s: float,
        ended: Ended,
    ) -> None:
        outcome = None
        self._scopes[call] = scope
        self._deadlines.add(call, timeout_s)
        try:
            outcome = await outcome_of(handler, call, service, payload, path)
        finally:
            self._running -= 1
            del self._scopes[call]
            if outcome is not None:
                ended(call, *outcome)
            elif scope.cancel_called:
                ended(call, "timeout", b"", "the handler took too long")
