"""Sockets: binding a plane's pair, tuning a connection, and what errors of the network say of a peer."""

import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from mpreg_core import Endpoint, Plane, TransportError
from mpreg_core.sockets import SockAddr, endpoint_of, reason_of, resolve
from mpreg_transport_tcp.options import TcpOptions

BACKLOG = 1024
DATAGRAM_BUFFER_BYTES = 1024 * 1024  # asked for; the kernel gives at most its own bound (net.core.rmem_max)
BIND_TRIES_MAX = 16  # to find a port that is free for streams and datagrams alike
CONNECTIONS_MAX = 4096  # in each direction
FILES_ASSUMED = 1024  # where the system does not tell how many files may be open

# Linux: errors of earlier datagrams queue at the socket (ip(7), IP_RECVERR); the socket module has no names for these.
IP_RECVERR = 11
IPV6_RECVERR = 25


BIND_ADVICE = {
    errno.EADDRINUSE: "something else listens there: stop it, or set another network.{plane}_port",
    errno.EACCES: "this user may not bind it: set a network.{plane}_port of 1024 or above",
    errno.EADDRNOTAVAIL: "no interface of this machine has the address: set network.listen_host to one that it has",
}


@dataclass(frozen=True, slots=True)
class PlanePort:
    """The two sockets of a plane, bound to one address and port, non-blocking."""

    stream: socket.socket
    datagram: socket.socket
    endpoint: Endpoint

    def close(self) -> None:
        """Close both. Idempotent."""
        self.stream.close()
        self.datagram.close()


async def bind_all(listen: Mapping[Plane, Endpoint]) -> dict[Plane, PlanePort]:
    """Bind every plane. Raises `TransportError` naming the plane and endpoint that failed; the others are closed."""
    ports: dict[Plane, PlanePort] = {}
    try:
        for plane, endpoint in listen.items():
            try:
                if not 0 <= endpoint.port < 65_536:  # getaddrinfo would take the rest of a division
                    raise ValueError(f"expected a port of 0 to 65535, got {endpoint.port}")
                addresses = await resolve(endpoint, socket.AF_UNSPEC, socket.SOCK_STREAM)
                ports[plane] = bind_pair(*addresses[0])
            except (OSError, ValueError) as error:
                raise bind_error(plane, endpoint, error) from error
    except BaseException:
        for port in ports.values():
            port.close()
        raise
    return ports


def bind_error(plane: Plane, endpoint: Endpoint, error: Exception) -> TransportError:
    """What to tell an operator whose plane cannot listen."""
    advice = "set network.listen_host to a name or address of this machine"
    if isinstance(error, OSError) and error.errno in BIND_ADVICE:
        advice = BIND_ADVICE[error.errno].format(plane=plane)
    return TransportError(f"cannot listen for the {plane} plane: {reason_of(error)}; {advice}", where=str(endpoint))


def bind_pair(family: int, address: SockAddr) -> PlanePort:
    """A stream listener and a datagram socket on one port; for port 0 one that is free for both. Raises `OSError`."""
    tries = 1 if address[1] else BIND_TRIES_MAX
    while True:
        tries -= 1
        stream = bound_socket(family, socket.SOCK_STREAM, address)
        try:
            name = stream.getsockname()
            datagram = bound_socket(family, socket.SOCK_DGRAM, (address[0], name[1], *address[2:]))
        except OSError as error:
            stream.close()
            if error.errno != errno.EADDRINUSE or not tries:
                raise
            continue
        try:
            stream.listen(BACKLOG)
        except OSError:  # two sockets may be bound with SO_REUSEADDR, but only one may listen
            stream.close()
            datagram.close()
            raise
        return PlanePort(stream, datagram, endpoint_of(name))


def bound_socket(family: int, kind: int, address: SockAddr) -> socket.socket:
    """A non-blocking bound socket. `::` takes IPv4 too, as its users expect. Raises `OSError`."""
    made = socket.socket(family, kind)
    try:
        made.setblocking(False)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        if kind == socket.SOCK_STREAM:
            # Bind although connections of an earlier run are in TIME_WAIT. For datagrams it would share the port.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DATAGRAM_BUFFER_BYTES)
            if hasattr(socket, "MSG_ERRQUEUE"):
                made.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
                if family == socket.AF_INET6:
                    made.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made


def tune(connected: socket.socket, options: TcpOptions) -> None:
    """Set a connection's options. Raises `OSError` when it is broken already."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, options.tcp_nodelay)
    if options.tcp_keepalive:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 120), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # RFC 5482: bytes that nobody takes in for this long end the connection
        milliseconds = max(1, round(options.connection_timeout * 1000))
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def connections_max() -> int:
    """How many connections to hold in each direction: a quarter of the files that the process may open."""
    try:  # the module is not on every system
        from resource import RLIMIT_NOFILE, getrlimit
    except ImportError:
        files = FILES_ASSUMED
    else:
        files, _ = getrlimit(RLIMIT_NOFILE)
    return CONNECTIONS_MAX if files < 0 else max(16, min(CONNECTIONS_MAX, files // 4))
