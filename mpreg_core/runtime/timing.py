"""What calls wait with, at a cost that does not show beside a call: one-shot signals, and deadlines in one task."""

import time
from collections.abc import Callable, Generator
from heapq import heapify, heappop, heappush
from typing import Any, Generic, Protocol, TypeVar

import anyio

from mpreg_core.sockets import running_asyncio_loop

K = TypeVar("K")

STALE_MAX = 1_024


class OneShot(Protocol):
    """To be awaited by one task, and set once; of asyncio it is a future, which needs no wrapper."""

    def __await__(self) -> Generator[Any, None, None]:
        """Until it is set."""
        ...

    def done(self) -> bool:
        """If it was set, or whoever awaited it was cancelled."""
        ...

    def set_result(self, result: None, /) -> None:
        """Set it; not when it is `done`."""
        ...


class _Event:
    """The same on other backends."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def __await__(self) -> Generator[Any, None, None]:
        return self._event.wait().__await__()

    def done(self) -> bool:
        return self._event.is_set()

    def set_result(self, result: None, /) -> None:
        self._event.set()


def one_shots() -> Callable[[], OneShot]:
    """Makes signals for the event loop that runs this."""
    loop = running_asyncio_loop()
    return loop.create_future if loop is not None else _Event


class Deadlines(Generic[K]):
    """Tells `late` of each key whose time is up, unless it `is_open` no more. `run` must run meanwhile.

    A cancel scope for each call would cost more than all else that a call does.
    """

    def __init__(self, late: Callable[[K], None], is_open: Callable[[K], bool]) -> None:
        self._late = late
        self._is_open = is_open
        self._heap: list[tuple[float, K]] = []
        self._armed = anyio.Event()
        self._stale_at = STALE_MAX

    def add(self, key: K, timeout_s: float) -> None:
        """From now on."""
        entry = (time.monotonic() + timeout_s, key)
        heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._armed.set()
        elif len(self._heap) > self._stale_at:
            self._heap = [each for each in self._heap if self._is_open(each[1])]
            heapify(self._heap)
            self._stale_at = 2 * len(self._heap) + STALE_MAX

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._armed = anyio.Event()
            left_s = self._heap[0][0] - time.monotonic() if self._heap else None
            if left_s is None:
                await self._armed.wait()
            elif left_s > 0:
                with anyio.move_on_after(left_s):
                    await self._armed.wait()
            else:
                _, key = heappop(self._heap)
                if self._is_open(key):
                    self._late(key)
