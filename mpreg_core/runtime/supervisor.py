"""Runs services beside a node: each on its own, restarted with a growing delay when it fails."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import anyio

from mpreg_core.contracts.transport import Endpoint
from mpreg_core.errors import MpregError

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

logger = logging.getLogger("mpreg.services")

FIRST_DELAY_S = 0.5
DELAY_MAX_S = 30.0

Run = Callable[["TaskStatus[Mapping[str, Endpoint]]"], Awaitable[None]]
"""A service's own coroutine, which reports its endpoints once it serves."""


class _Started:
    """Passes on the first `started` of a service and forgets those of its restarts."""

    def __init__(self, status: "TaskStatus[Mapping[str, Endpoint]]") -> None:
        self._status = status
        self.done = False

    def started(self, value: Mapping[str, Endpoint] | None = None) -> None:
        """From the service."""
        if not self.done:
            self.done = True
            self._status.started(value or {})


async def supervise(name: str, run: Run, *, task_status: "TaskStatus[Mapping[str, Endpoint]]") -> None:
    """Run a service until cancelled. What it raises before its first start comes through; later it is restarted."""
    started = _Started(task_status)
    delay_s = FIRST_DELAY_S
    while True:
        try:
            await run(started)
        except Exception as error:
            if not started.done:
                raise
            text = str(error) if isinstance(error, MpregError) else repr(error)
            logger.error("service %s failed: %s; it restarts in %.1f s", name, text, delay_s)
        else:
            if not started.done:
                started.started()
            logger.warning("service %s ended; it restarts in %.1f s", name, delay_s)
        await anyio.sleep(delay_s)
        delay_s = min(2 * delay_s, DELAY_MAX_S)
