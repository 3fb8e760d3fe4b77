"""Replies that are too large for one payload: made in parts, no faster than the caller takes them.

The caller asks for each part by its number, for so many at once, and for the next when it has the first of them: so the
server need keep no part longer than that, and may be asked for one twice.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import anyio
from anyio.abc import TaskGroup

from mpreg_core.client.parts import AHEAD, IDLE_S, Part, pieces
from mpreg_core.contracts.api import Reply
from mpreg_core.errors import MpregError, PayloadTooLargeError, RequestTimeoutError
from mpreg_core.limits import BODY_BYTES_MAX


class Outgoing:
    """A reply's body at its handler: the parts that were made and may still be asked for, by number."""

    def __init__(self) -> None:
        self._parts: dict[int, Part] = {}
        self._made = 0
        self._wanted = -1
        self._changed = anyio.Event()
        self._scope = anyio.CancelScope()
        self._error: MpregError | None = None

    async def fill(self, name: str, body: AsyncIterator[bytes]) -> None:
        """Make parts as they are asked for, until `stop`.

        Raises `PayloadTooLargeError`, and `RequestTimeoutError` if none is asked for.
        """
        size = 0
        with self._scope:
            async with aclosing(pieces(body)) as parts:
                async for data in parts:
                    size += len(data)
                    if size > BODY_BYTES_MAX:
                        raise PayloadTooLargeError(f"expected a reply of at most {BODY_BYTES_MAX} bytes")
                    await self._room()
                    self._put(Part(name, self._made, data))
        self._put(Part(name, self._made, last=True))

    async def give(self, number: int) -> Part:
        """A part, once it is made; past the end the last one."""
        self._wanted = max(self._wanted, number)
        for gone in [each for each in self._parts if each <= self._wanted - AHEAD]:
            if not self._parts[gone].last:
                del self._parts[gone]
        self._wake()
        while number not in self._parts:
            if self._error is not None:
                raise self._error
            last = self._parts.get(self._made - 1)
            if last is not None and last.last and number >= last.number:
                return last
            await self._changed.wait()
        return self._parts[number]

    def stop(self) -> None:
        """Nobody will ask for more."""
        self._scope.cancel()

    def fail(self, error: MpregError) -> None:
        """There is no more, for a reason."""
        self._error = error
        self._wake()

    async def _room(self) -> None:
        while self._made > self._wanted + AHEAD:
            with anyio.move_on_after(IDLE_S) as scope:
                await self._changed.wait()
            if scope.cancelled_caught:
                raise RequestTimeoutError(f"nobody asked for part {self._made} of the reply in {IDLE_S:g} s")

    def _put(self, part: Part) -> None:
        self._parts[part.number] = part
        self._made += 1
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


class ReplyBody:
    """What a service replied: iterate over the parts, in order. `reply` has its payload when it is no body."""

    def __init__(self, reply: Reply, fetch: Callable[[int], Awaitable[Part]] | None, tasks: TaskGroup) -> None:
        self.reply = reply
        self._fetch = fetch
        self._tasks = tasks
        self._came: dict[int, Part] = {}
        self._asked = self._next = 0
        self._changed = anyio.Event()
        self._error: MpregError | None = None

    @property
    def ended(self) -> bool:
        """If nothing more is to come."""
        return self._fetch is None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next part. Raises the error that the reply ended with."""
        if self._fetch is None:
            raise StopAsyncIteration
        while self._asked < self._next + AHEAD:
            self._tasks.start_soon(self._ask, self._fetch, self._asked)
            self._asked += 1
        while self._next not in self._came:
            if self._error is not None:
                self._fetch = None
                raise self._error
            self._changed = anyio.Event()
            await self._changed.wait()
        part = self._came.pop(self._next)
        self._next += 1
        if part.last:
            self._fetch = None
            raise StopAsyncIteration
        return part.data

    async def _ask(self, fetch: Callable[[int], Awaitable[Part]], number: int) -> None:
        try:
            self._came[number] = await fetch(number)
        except MpregError as error:
            self._error = error
        self._changed.set()
