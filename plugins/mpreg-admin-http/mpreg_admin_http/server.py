"""The HTTP server: uvicorn on asyncio, hypercorn on trio, both held so that they start and stop with their task.

Neither was made to live inside a program: uvicorn takes the signals, exits the process when a port is in use and leaves
its listener open when its task is cancelled (its issue 1579). So the socket is bound here, before anything is said to
have started; the server runs shielded; and what cancels the task only asks the server to end, in bounded time.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address
from typing import Any, cast

import anyio
import uvicorn
from anyio.abc import TaskStatus

from mpreg_admin_http.guard import Guard
from mpreg_core import ConfigError, Endpoint, TransportError

GRACE_S = 0.4
"""How long running requests may take to end once the service stops."""

STOP_S = 0.8
"""When the server is cut off, whatever still hangs."""

BACKLOG = 256
CONNECTIONS_MAX = 1024
HEADER_BYTES_MAX = 16 * 1024
KEEP_ALIVE_S = 30


async def bind(endpoint: Endpoint, setting: str) -> socket.socket:
    """Listen on the endpoint. `setting` is the configuration key that moves it. Raises `TransportError`."""
    try:
        found = await anyio.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except OSError as error:
        message = f"expected a host name or address of this machine, got {endpoint.host!r} ({error.strerror})"
        raise TransportError(message, where=setting) from None
    # A name such as `localhost` may stand for both; what people type is the IPv4 one.
    family, kind, protocol, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        hint = "stop the other program or set another" if error.errno == errno.EADDRINUSE else "mend"
        message = f"cannot listen on {endpoint}: {(error.strerror or str(error)).lower()}; {hint} {setting}"
        raise TransportError(message, where=setting) from None
    return sock


def endpoint_of(sock: socket.socket) -> Endpoint:
    """Where a socket listens."""
    host, port = sock.getsockname()[:2]
    return Endpoint(host, port)


def is_loopback(endpoint: Endpoint) -> bool:
    """True if only this machine can reach a bound endpoint."""
    return ip_address(endpoint.host.partition("%")[0]).is_loopback


async def serve(
    app: Guard, sock: socket.socket, stopping: anyio.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Serve until `stopping` is set or the task is cancelled; closes the socket. Ends at most `STOP_S` later."""
    with sock:
        async with anyio.create_task_group() as group:
            ready = anyio.Event()
            group.start_soon(_run_shielded, app, sock, stopping, ready)
            try:
                await ready.wait()
                task_status.started()
                await stopping.wait()
            finally:
                stopping.set()


async def _run_shielded(app: Guard, sock: socket.socket, stopping: anyio.Event, ready: anyio.Event) -> None:
    with anyio.CancelScope(shield=True):
        async with anyio.create_task_group() as group:
            group.start_soon(_end_requests, app, stopping)
            if _on_asyncio():
                await _Uvicorn(app, stopping, ready).serve([sock])
            else:
                await _serve_trio(app, sock, stopping, ready)
            group.cancel_scope.cancel()
    if not stopping.is_set():
        raise TransportError("the HTTP server ended by itself; the log tells why", where=str(endpoint_of(sock)))


async def _end_requests(app: Guard, stopping: anyio.Event) -> None:
    await stopping.wait()
    await anyio.sleep(GRACE_S)
    app.cancel_all()


def _on_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Uvicorn(uvicorn.Server):
    """uvicorn without its hands on the process."""

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
                backlog=BACKLOG,
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


async def _serve_trio(app: Guard, sock: socket.socket, stopping: anyio.Event, ready: anyio.Event) -> None:
    try:
        from hypercorn.config import Config
        from hypercorn.trio import serve as hypercorn_serve
    except ImportError:
        raise ConfigError(
            "the trio backend needs hypercorn: install mpreg-admin-http[trio], or run with --backend asyncio"
        ) from None
    config = Config()
    config.bind = [f"fd://{sock.detach()}"]
    config.backlog = BACKLOG
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.loglevel = "WARNING"
    config.include_server_header = False
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.h11_max_incomplete_size = HEADER_BYTES_MAX
    config.graceful_timeout = STOP_S

    framework = cast("Any", app)  # its own types for ASGI are stricter than Starlette's
    async with anyio.create_task_group() as group:
        await group.start(partial(hypercorn_serve, framework, config, shutdown_trigger=stopping.wait, mode="asgi"))
        ready.set()
