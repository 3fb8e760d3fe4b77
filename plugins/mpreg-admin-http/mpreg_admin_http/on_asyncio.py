"""uvicorn, without its hands on the process.

By itself it takes the signals, exits the process when a port is in use, and leaves its listener open when its task is
cancelled (its issue 1579).
"""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import uvicorn

from mpreg_admin_http.bounds import CONNECTIONS_MAX, HEADER_BYTES_MAX, KEEP_ALIVE_S, STOP_S
from mpreg_admin_http.guard import Guard


async def serve_asyncio(app: Guard, sock: socket.socket, stopping: anyio.Event, ready: anyio.Event) -> None:
    """Serve from a listening socket until `stopping` is set; sets `ready` once it does. Must not be cancelled."""
    await _Server(app, stopping, ready).serve([sock])


class _Server(uvicorn.Server):
    def __init__(self, app: Guard, stopping: anyio.Event, ready: anyio.Event) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level=logging.WARNING,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_keep_alive=KEEP_ALIVE_S,
                h11_max_incomplete_event_size=HEADER_BYTES_MAX,
            )
        )
        self._stopping = stopping
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the node."""
        yield

    async def main_loop(self) -> None:
        """Wait for the end; the date header is renewed once a second, in place of a tick every 0.1 s."""
        self._ready.set()
        while not self._stopping.is_set():
            await self.on_tick(0)
            with anyio.move_on_after(1.0):
                await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in bounded time, and leave no task or connection behind."""
        with anyio.move_on_after(STOP_S):
            await super().shutdown(sockets)
        for task in self.server_state.tasks:
            task.cancel()
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()
        await anyio.lowlevel.checkpoint()  # lets the loop close what was aborted
