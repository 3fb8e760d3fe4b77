"""Services that a client serves: handlers run side by side, bounded, and their outcome goes back to the hub."""

from collections.abc import Callable

import anyio
from msgspec import Struct

from mpreg_core.client.workers import Workers
from mpreg_core.contracts.api import Handler
from mpreg_core.limits import CLIENT_CALLS_MAX
from mpreg_core.runtime.handling import outcome_of
from mpreg_core.wire.client import Call, Handled


class Serving:
    """The handlers by service. Calls run only while `run` does."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._workers: Workers | None = None
        self._running = 0
        self._scopes: dict[str, anyio.CancelScope] = {}

    @property
    def running(self) -> int:
        """Handlers under way."""
        return self._running

    @property
    def services(self) -> tuple[str, ...]:
        """What is served."""
        return tuple(self._handlers)

    def add(self, service: str, handler: Handler) -> None:
        """Serve; a later handler of the same name takes over."""
        self._handlers[service] = handler

    def remove(self, service: str) -> None:
        """No longer."""
        self._handlers.pop(service, None)

    async def run(self) -> None:
        """Until cancelled, which ends the handlers: nobody would get their answers."""
        try:
            async with anyio.create_task_group() as tasks:
                self._workers = Workers(tasks)
                await anyio.sleep_forever()
        finally:
            self._workers = None

    def take(self, call: Call, put: Callable[[Struct], None]) -> None:
        """Somebody asks; `put` sends the outcome there."""
        handler = self._handlers.get(call.service)
        if handler is None or self._workers is None:
            put(Handled(call.call, "not_found", b"", f"the client serves {call.service!r} no longer"))
        elif self._running >= CLIENT_CALLS_MAX:
            put(Handled(call.call, "overloaded", b"", f"{CLIENT_CALLS_MAX} handlers run in this client"))
        else:
            self._running += 1
            self._workers.start(self._run, handler, call, put)

    def call_off(self, call: str) -> None:
        """Nobody waits for a call any more: end its handler, if it runs."""
        scope = self._scopes.get(call)
        if scope is not None:
            scope.cancel()

    async def _run(self, handler: Handler, call: Call, put: Callable[[Struct], None]) -> None:
        code, payload, message = "timeout", b"", "the handler took too long"
        try:
            with anyio.move_on_after(call.budget_ms / 1000) as scope:
                self._scopes[call.call] = scope
                code, payload, message = await outcome_of(handler, call.call, call.service, call.payload, call.path)
        finally:
            self._running -= 1
            self._scopes.pop(call.call, None)
        put(Handled(call.call, code, payload, message))
