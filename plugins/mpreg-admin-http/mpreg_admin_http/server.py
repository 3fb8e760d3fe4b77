"""The HTTP server: uvicorn on asyncio, hypercorn on trio, both held so that they start and stop with their task.

Neither was made to live inside a program. So the socket is bound here, before anything is said to have started; the
server runs shielded; and what cancels the task only asks the server to end, in bounded time.
"""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

import anyio
from anyio.abc import TaskStatus

from mpreg_admin_http.guard import Guard
from mpreg_core import ConfigError, Endpoint, TransportError

GRACE_S = 0.4
"""How long running requests may take to end once the service stops."""

BACKLOG = 256


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
    """Serve until `stopping` is set or the task is cancelled; closes the socket. Ends within a second of it."""
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
            await _server()(app, sock, stopping, ready)
            group.cancel_scope.cancel()
    if not stopping.is_set():
        raise TransportError("the HTTP server ended by itself; the log tells why", where=str(endpoint_of(sock)))


async def _end_requests(app: Guard, stopping: anyio.Event) -> None:
    await stopping.wait()
    await anyio.sleep(GRACE_S)
    app.cancel_all()


def _server() -> Callable[[Guard, socket.socket, anyio.Event, anyio.Event], Awaitable[None]]:
    """The server for the event loop that runs. Raises `ConfigError` where it is not installed."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        try:
            from mpreg_admin_http.on_trio import serve_trio
        except ImportError:
            message = "the trio backend needs hypercorn: install mpreg-admin-http[trio], or run with --backend asyncio"
            raise ConfigError(message) from None
        return serve_trio
    from mpreg_admin_http.on_asyncio import serve_asyncio

    return serve_asyncio
