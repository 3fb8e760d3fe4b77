"""Services that a client serves: handlers run side by side, bounded, and their outcome goes back to the hub."""

from collections.abc import Callable
from functools import partial

import anyio
from msgspec import Struct

from mpreg_core.contracts.api import Handler
from mpreg_core.limits import CLIENT_CALLS_MAX
from mpreg_core.runtime.calls import Calls
from mpreg_core.runtime.handling import outcome_of
from mpreg_core.units import MS_PER_S
from mpreg_core.wire.client import Call, Handled


class Serving:
    """The handlers by service. Calls run only while `run` does."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._calls: Calls | None = None

    @property
    def running(self) -> int:
        """Handlers under way."""
        return len(self._calls) if self._calls is not None else 0

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
                self._calls = Calls(tasks)
                await self._calls.run()
        finally:
            self._calls = None

    def take(self, call: Call, put: Callable[[Struct], None]) -> None:
        """Somebody asks; `put` sends the outcome there."""

        def ended(id: str, code: str, payload: bytes, message: str) -> None:
            put(Handled(id, code, payload, message))

        handler, calls = self._handlers.get(call.service), self._calls
        if handler is None or calls is None:
            ended(call.call, "not_found", b"", f"the client serves {call.service!r} no longer")
        elif len(calls) >= CLIENT_CALLS_MAX:
            ended(call.call, "overloaded", b"", f"{CLIENT_CALLS_MAX} handlers run in this client")
        else:
            run = partial(outcome_of, handler, call.call, call.service, call.payload, call.path)
            calls.start(call.call, run, call.budget_ms / MS_PER_S, ended)

    def call_off(self, call: str) -> None:
        """Nobody waits for a call any more: end its handler, if it runs."""
        if self._calls is not None:
            self._calls.call_off(call)
