"""What every handler works with: the node and what the service keeps beside it."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from mpreg_admin_http.ring import EventRing
from mpreg_core import ANYBODY, Identity, MpregError, NodeApi, ServiceContext

_log = logging.getLogger(__name__)

SETTLE_S = 1.0


@dataclass(slots=True)
class Backend:
    """One service's parts. `stopping` is set when it must end; `tasks` live as long as it does."""

    context: ServiceContext
    events: EventRing
    tasks: TaskGroup
    stopping: anyio.Event = field(default_factory=anyio.Event)

    @property
    def node(self) -> NodeApi:
        """The node."""
        return self.context.node

    def identify(self, headers: Mapping[str, str]) -> Identity:
        """Who asks, by the bearer token (RFC 6750, 2.1). Raises `UnauthenticatedError`, `ForbiddenError`."""
        authenticator = self.context.authenticator
        if authenticator is None:
            return ANYBODY
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return authenticator.identify(token.strip() if scheme.lower() == "bearer" else "", time.time_ns() // 1_000_000)

    async def launch(self, command: Callable[[], Awaitable[None]]) -> None:
        """Begin a command that may take long (a drain waits for running requests); it outlives the call.

        Raises the command's error if it comes within `SETTLE_S`; a later one is logged.
        """
        ended = anyio.Event()
        errors: list[MpregError] = []

        async def run() -> None:
            try:
                await command()
            except MpregError as error:
                if waited.cancel_called:
                    _log.error("a command that was begun over HTTP failed", extra={"error": str(error)})
                errors.append(error)
            finally:
                ended.set()

        with anyio.move_on_after(SETTLE_S) as waited:
            self.tasks.start_soon(run)
            await ended.wait()
        if ended.is_set() and errors:
            raise errors[0]
