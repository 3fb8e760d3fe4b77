"""hypercorn's connections under a nursery of our own.

Its `serve` writes shielded, so that one client which does not read would keep it from ever ending. Here the streams are
known, and closed in the end.
"""

import logging
import socket
from functools import partial
from typing import Any, cast

import anyio
import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

from mpreg_admin_http.bounds import CONNECTIONS_MAX, HEADER_BYTES_MAX, KEEP_ALIVE_S, STOP_S
from mpreg_admin_http.guard import Guard

_log = logging.getLogger(__name__)


async def serve_trio(app: Guard, sock: socket.socket, stopping: anyio.Event, ready: anyio.Event) -> None:
    """Serve from a listening socket until `stopping` is set; sets `ready` once it does. Must not be cancelled."""
    connections = _Connections(app)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    async with trio.open_nursery() as open_ones:
        async with trio.open_nursery() as accepting:
            accepting.start_soon(
                partial(trio.serve_listeners, connections.serve, [listener], handler_nursery=open_ones)
            )
            ready.set()
            await stopping.wait()
            accepting.cancel_scope.cancel()
        await connections.end()
        open_ones.cancel_scope.cancel()


class _Connections:
    """The open connections of one listener."""

    def __init__(self, app: Guard) -> None:
        self._config = _config()
        # hypercorn's own types for ASGI are stricter than Starlette's
        self._app = wrap_app(cast("Any", app), self._config.wsgi_max_body_size, "asgi")
        self._context = WorkerContext(None)
        self._streams: set[trio.SocketStream] = set()
        self._idle = trio.Event()

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end. Whatever goes wrong in it stays in it."""
        if len(self._streams) >= CONNECTIONS_MAX:
            await trio.aclose_forcefully(stream)
            return
        self._streams.add(stream)
        try:
            await TCPServer(
                self._app, self._config, self._context, cast("Any", ConnectionState({})), cast("Any", stream)
            )
        except Exception:
            _log.warning("a connection broke", exc_info=True)
        finally:
            self._streams.discard(stream)
            if not self._streams:
                self._idle.set()

    async def end(self) -> None:
        """Have idle connections end now, busy ones soon, and the rest whether they want or not."""
        await self._context.terminated.set()
        with trio.move_on_after(STOP_S):
            while self._streams:
                self._idle = trio.Event()
                await self._idle.wait()
        for stream in tuple(self._streams):
            stream.socket.close()


def _config() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.loglevel = "WARNING"
    config.include_server_header = False
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.h11_max_incomplete_size = HEADER_BYTES_MAX
    return config
