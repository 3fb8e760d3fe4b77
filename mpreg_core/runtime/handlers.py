"""Handlers of services: user code, run beside the node, whose outcome goes back into it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import msgspec
from anyio.abc import TaskGroup

from mpreg_core.contracts.api import Handler
from mpreg_core.node.actions import CheckHealth, Invoke
from mpreg_core.runtime import clock
from mpreg_core.runtime.checking import Checker
from mpreg_core.runtime.forward import Forwarder
from mpreg_core.runtime.handling import outcome_of
from mpreg_core.units import seconds

Handled = Callable[[str, str, bytes, str], None]
"""Told of the outcome: call, error code or empty, payload, message."""


Checked = Callable[[str, str], None]
"""Told what a check found: cluster, what is wrong or empty."""


class Handlers:
    """The services of this node by name."""

    def __init__(self, tasks: TaskGroup, handled: Handled, checked: Checked) -> None:
        self._tasks = tasks
        self._handled = handled
        self._by_name: dict[str, Handler] = {}
        self._forwarder = Forwarder()
        self._checked = checked
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._checker = Checker()

    def add(self, service: str, handler: Handler) -> None:
        """Serve from now on; a later handler of the same name takes over."""
        self._by_name[service] = handler

    def start(self, invoke: Invoke) -> None:
        """Run the handler in a task of its own, or post the request to the cluster's endpoint."""
        if invoke.endpoint:
            self._tasks.start_soon(self._forward, invoke)
            return
        handler = self._by_name.get(invoke.service)
        if handler is None:
            self._handled(invoke.call, "not_found", b"", f"no handler of {invoke.service!r} here")
        else:
            self._tasks.start_soon(self._run, handler, invoke)

    def abandon(self, call: str) -> None:
        """Nobody waits for a call any more: end its handler, if it runs."""
        scope = self._scopes.get(call)
        if scope is not None:
            scope.cancel()

    async def close(self) -> None:
        """Let go of connections to endpoints."""
        await self._forwarder.close()
        await self._checker.close()

    def check(self, action: CheckHealth) -> None:
        """Ask a cluster how it is, in a task of its own."""
        self._tasks.start_soon(self._check, action)

    async def _check(self, action: CheckHealth) -> None:
        self._checked(action.cluster, await self._checker.check(action.check, seconds(action.timeout_ns)))

    async def _forward(self, invoke: Invoke) -> None:
        code, payload, message = "timeout", b"", "nobody waits any more"
        with anyio.CancelScope() as scope, self._known(invoke.call, scope):
            code, payload, message = await self._forwarder.post(invoke)
        if not code:
            try:
                msgspec.json.decode(payload)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                code, payload, message = "handler_failed", b"", f"{invoke.endpoint} answered no JSON"
        self._handled(invoke.call, code, payload, message)

    async def _run(self, handler: Handler, invoke: Invoke) -> None:
        left_s = seconds(invoke.deadline_ns - clock.now_ns())
        code, payload, message = "timeout", b"", "the handler took too long"
        with anyio.move_on_after(left_s) as scope, self._known(invoke.call, scope):
            code, payload, message = await outcome_of(handler, invoke.call, invoke.service, invoke.payload, invoke.path)
        self._handled(invoke.call, code, payload, message)

    @contextmanager
    def _known(self, call: str, scope: anyio.CancelScope) -> Iterator[None]:
        self._scopes[call] = scope
        try:
            yield
        finally:
            self._scopes.pop(call, None)
