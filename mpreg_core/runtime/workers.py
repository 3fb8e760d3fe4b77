"""Jobs side by side, in tasks that stay for the next job: to begin a task costs more than many a job."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from anyio.abc import TaskGroup

from mpreg_core.runtime.timing import OneShot, one_shots

IDLE_MAX = 64
"""Tasks that wait for a job; a further one ends with its job."""

Job = Callable[..., Awaitable[None]]


class _Slot:
    """A task that waits, and the job it is given."""

    __slots__ = ("arguments", "given", "job")

    def __init__(self, given: OneShot) -> None:
        self.given = given
        self.job: Job | None = None
        self.arguments: tuple[Any, ...] = ()


class Workers:
    """Begins jobs in a task group; a job that raises ends the group, as a task of its own would.

    A job's first argument is the scope of its task: to cancel it ends the job, and the task with it.
    """

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._idle: list[_Slot] = []
        self._one_shot = one_shots()

    def start(self, job: Job, *arguments: Any) -> None:
        """Run `job(scope, *arguments)` soon."""
        if not self._idle:
            self._tasks.start_soon(self._work, job, arguments)
            return
        slot = self._idle.pop()
        slot.job, slot.arguments = job, arguments
        slot.given.set_result(None)

    async def _work(self, job: Job, arguments: tuple[Any, ...]) -> None:
        with anyio.CancelScope() as scope:
            await job(scope, *arguments)
            while len(self._idle) < IDLE_MAX:
                slot = _Slot(self._one_shot())
                self._idle.append(slot)
                await slot.given
                assert slot.job is not None
                await slot.job(scope, *slot.arguments)
