"""Waiting until a socket may be read or written.

What comes in is dealt with by plain functions, so on asyncio (and uvloop) the event loop calls them itself: a standing
registration costs one system call and one task switch less per wake-up than waiting anew each time, which makes a
datagram or frame two to three times cheaper. Every other backend waits in a task.
"""

import asyncio
import socket
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from mpreg_core.sockets.secure import WOULD_BLOCK


class Readiness:
    """Calls `turn` whenever a non-blocking socket may have something to read, until that returns True.

    A turn need not empty the socket: it is called again while something is left, after others had their turn.
    """

    def __init__(self, watched: socket.socket, turn: Callable[[], bool]) -> None:
        self._socket = watched
        self._turn = turn
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Until a turn returned True, raised, or `stop` was called."""
        self._loop = running_asyncio_loop()
        if self._loop is None:
            await self._wait_and_call()
        elif not self._stopped:
            _say_asyncio()
            self._ended = self._loop.create_future()
            self._loop.add_reader(self._socket, self._call)
            try:
                await self._ended
            finally:
                self.stop()

    def stop(self) -> None:
        """End `run`. To be called before the socket is closed. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        if self._loop is not None and self._ended is not None:
            self._loop.remove_reader(self._socket)
            if not self._ended.done():
                self._ended.set_result(None)
        anyio.notify_closing(self._socket)

    def renew(self) -> None:
        """To be called after a turn that met an error of a socket which stays in use: libuv stops watching it then."""
        if self._loop is not None and not self._stopped:
            self._loop.remove_reader(self._socket)
            self._loop.add_reader(self._socket, self._call)

    def _call(self) -> None:
        try:
            if self._turn():
                self.stop()
        except BaseException as error:
            if self._ended is not None and not self._ended.done():
                self._ended.set_exception(error)
            self.stop()

    async def _wait_and_call(self) -> None:
        try:
            while not self._stopped:
                await anyio.wait_readable(self._socket)
                if self._turn():
                    return
        except anyio.ClosedResourceError:
            pass  # by `stop`


def _say_asyncio() -> None:
    """Let what the loop calls know where it runs: in a program of plain `asyncio.run` only tasks are known to.

    A callback has this task's context, and anyio asks sniffio, where that is installed.
    """
    try:
        from sniffio import current_async_library_cvar
    except ModuleNotFoundError:
        return
    current_async_library_cvar.set("asyncio")


def running_asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """The loop whose task runs this; None on another backend, also where that is a guest of an asyncio loop."""
    try:
        return asyncio.get_running_loop() if asyncio.current_task() is not None else None
    except RuntimeError:
        return None


def end_of_turn(tasks: TaskGroup) -> Callable[[Callable[[], None]], object]:
    """What has a function called once those who can run now have had their turn; of `tasks` where that takes a task."""
    loop = running_asyncio_loop()
    if loop is not None:
        return loop.call_soon

    async def call(function: Callable[[], None]) -> None:
        function()

    return lambda function: tasks.start_soon(call, function)


async def send_all(connected: socket.socket, data: bytes) -> None:
    """Write all of `data` to a non-blocking socket, waiting for room. Cancelled, it may have written a part.

    Raises `OSError` when the connection broke or was closed.
    """
    view = memoryview(data)
    while True:
        try:
            view = view[connected.send(view) :]
        except WOULD_BLOCK:
            pass
        if not view:
            return
        try:
            await anyio.wait_writable(connected)
        except anyio.ClosedResourceError as error:
            raise ConnectionAbortedError from error
