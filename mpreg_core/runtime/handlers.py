"""Handlers of services: user code, run beside the node, whose outcome goes back into it."""

from collections.abc import Callable
from functools import partial

import anyio
import msgspec
from anyio.abc import TaskGroup

from mpreg_core.contracts.api import Handler
from mpreg_core.node.actions import CheckHealth, Invoke
from mpreg_core.runtime import clock
from mpreg_core.runtime.calls import Calls, Ended
from mpreg_core.runtime.checking import Checker
from mpreg_core.runtime.forward import Forwarder
from mpreg_core.runtime.handling import outcome_of
from mpreg_core.units import seconds

Checked = Callable[[str, str], None]
"""Told what a check found: cluster, what is wrong or empty."""


class Handlers:
    """The services of this node by name."""

    def __init__(self, tasks: TaskGroup, handled: Ended, checked: Checked) -> None:
        self._tasks = tasks
        self._handled = handled
        self._by_name: dict[str, Handler] = {}
        self._forwarder = Forwarder()
        self._checked = checked
        self._calls = Calls(tasks)
        self._forwarded: dict[str, anyio.CancelScope] = {}
        self._checker = Checker()

    async def run(self) -> None:
        """End the handlers whose time is up, until cancelled."""
        await self._calls.run()

    def add(self, service: str, handler: Handler) -> None:
        """Serve from now on; a later handler of the same name takes over."""
        self._by_name[service] = handler

    def start(self, invoke: Invoke) -> None:
        """Run the handler, or post the request to the cluster's endpoint."""
        if invoke.endpoint:
            self._tasks.start_soon(self._forward, invoke)
            return
        handler = self._by_name.get(invoke.service)
        if handler is None:
            self._handled(invoke.call, "not_found", b"", f"no handler of {invoke.service!r} here")
        else:
            left_s = seconds(invoke.deadline_ns - clock.now_ns())
            run = partial(outcome_of, handler, invoke.call, invoke.service, invoke.payload, invoke.path)
            self._calls.start(invoke.call, run, left_s, self._handled)

    def abandon(self, call: str) -> None:
        """Nobody waits for a call any more: end its handler, if it runs."""
        self._calls.call_off(call)
        scope = self._forwarded.get(call)
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
        with anyio.CancelScope() as scope:
            self._forwarded[invoke.call] = scope
            try:
                code, payload, message = await self._forwarder.post(invoke)
            finally:
                del self._forwarded[invoke.call]
        if not code:
            try:
                msgspec.json.decode(payload)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                code, payload, message = "handler_failed", b"", f"{invoke.endpoint} answered no JSON"
        self._handled(invoke.call, code, payload, message)
