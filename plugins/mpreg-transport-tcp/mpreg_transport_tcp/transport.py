"""The transport `tcp`: for each plane a TCP listener and a UDP socket on one port, and connections that are reused."""

import random
import socket
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

import anyio
from anyio.abc import TaskGroup, TaskStatus

from mpreg_core import (
    Endpoint,
    ForbiddenError,
    FrameSink,
    Identity,
    PayloadTooLargeError,
    Plane,
    Tls,
    TransportError,
)
from mpreg_core.limits import FRAME_BYTES_MAX
from mpreg_core.sockets import SockAddr, dial, endpoint_of, evidence_of, reason_of, secure
from mpreg_transport_tcp.acceptor import Acceptor
from mpreg_transport_tcp.connection import Connection
from mpreg_transport_tcp.datagrams import DatagramPort
from mpreg_transport_tcp.machine import Admission, Backoff, Watch
from mpreg_transport_tcp.options import TcpOptions
from mpreg_transport_tcp.reports import Reports
from mpreg_transport_tcp.sockets import PlanePort, bind_all, connections_max, tune

FLUSH_S = 0.5
IDLE_OUTBOUND_S = 300.0
IDLE_INBOUND_S = 600.0  # longer, so that of two ends the one that opened a connection is the one to end it
LOOK_PERIOD_S_MAX = 5.0


class TcpTransport:
    """Implements `mpreg_core.Transport` over TCP and UDP, IPv4 and IPv6, on any anyio backend.

    A connection serves both directions: `send` to an endpoint reuses the connection opened to it, or the inbound one
    whose remote end it is. One task reads each connection; one looks after all of them.
    """

    def __init__(self, options: TcpOptions, tls: Tls | None = None) -> None:
        self._options = options
        self._tls = tls
        self._backoff = Backoff(random.Random())
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._places = connections_max()
        self._admission = Admission(self._places, options.max_connections_per_node)
        self._connections: set[Connection] = set()
        self._outbound: dict[Endpoint, Connection] = {}  # by the endpoint as the caller of `send` named it
        self._by_remote: dict[Endpoint, Connection] = {}  # by the remote end as the socket names it
        self._datagrams: dict[Plane, DatagramPort] = {}
        self._acceptors: list[Acceptor] = []
        self._reports: Reports | None = None  # there while it serves
        self._group: TaskGroup | None = None
        self._closed = False
        self._quiet: anyio.Event | None = None  # set by the last connection to end while closing
        self._stopped: anyio.Event | None = None

    async def serve(
        self,
        listen: Mapping[Plane, Endpoint],
        sink: FrameSink,
        *,
        task_status: TaskStatus[Mapping[Plane, Endpoint]] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """See `mpreg_core.Transport`. `listen` may be empty: a client is answered on the connections that it opens."""
        if self._closed or self._group is not None:
            raise TransportError(f"expected a new transport, got one that {'is closed' if self._closed else 'serves'}")
        ports = await bind_all(listen)
        self._stopped = anyio.Event()
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                self._reports = Reports(sink, self._counts)
                for plane, port in ports.items():
                    self._open(plane, port, group, self._reports)
                group.start_soon(self._look_after_connections)
                task_status.started({plane: port.endpoint for plane, port in ports.items()})
        finally:
            self._group = self._reports = None
            self._datagrams.clear()
            self._acceptors.clear()
            for port in ports.values():
                port.close()
            self._stopped.set()

    def _open(self, plane: Plane, port: PlanePort, group: TaskGroup, reports: Reports) -> None:
        self._acceptors.append(Acceptor(port.stream, partial(self._enter, plane, reports), self._counts))
        group.start_soon(self._acceptors[-1].run)

        def resolve(datagrams: DatagramPort, to: Endpoint) -> None:
            group.start_soon(datagrams.resolve, to, self._options.connection_timeout)

        self._datagrams[plane] = DatagramPort(plane, port.datagram, reports, resolve)
        group.start_soon(self._datagrams[plane].receive)

    def cast(self, to: Endpoint, plane: Plane, frame: bytes) -> None:
        """See `mpreg_core.Transport`. A host name is resolved first, while a few frames wait for it."""
        port = self._datagrams.get(plane)
        if port is None:
            self._counts["dropped_out_not_listening"] += 1
        else:
            port.cast(to, frame)

    async def send(self, to: Endpoint, plane: Plane, frames: Sequence[bytes]) -> None:
        """See `mpreg_core.Transport`. Raises `PayloadTooLargeError` for a frame over `limits.FRAME_BYTES_MAX`."""
        reports = self._serving(to)
        if not frames:
            return
        smallest, largest = min(map(len, frames)), max(map(len, frames))
        if not smallest or largest > FRAME_BYTES_MAX:
            sizes = f"{smallest} to {largest}"
            raise PayloadTooLargeError(f"expected frames of 1 to {FRAME_BYTES_MAX} bytes, got {sizes}", where=str(to))
        connection = self._outbound.get(to) or self._by_remote.get(to)
        if connection is None or not connection.open:
            connection = await self._connect(to, plane, reports)
        await connection.write(frames)
        if not self._options.connection_pooling and connection.to is not None:
            await connection.finish()

    def send_now(self, to: Endpoint, plane: Plane, frames: Sequence[bytes]) -> bool:
        """See `mpreg_core.Transport`."""
        connection = self._outbound.get(to) or self._by_remote.get(to)
        if connection is None or self._group is None or not connection.write_now(frames):
            return False
        if connection.rest:
            self._group.start_soon(connection.write_rest)
        return True

    def _serving(self, to: Endpoint) -> Reports:
        if self._closed or self._reports is None:
            state = "is closed" if self._closed else "does not serve yet: start serve() before send()"
            raise TransportError(f"the transport {state}", where=str(to))
        return self._reports

    async def _connect(self, to: Endpoint, plane: Plane, reports: Reports) -> Connection:
        wait_s = self._backoff.wait_s(to, anyio.current_time())
        if wait_s > 0:
            raise TransportError(f"the last attempt failed; the next is due in {wait_s:.2f} s", where=str(to))
        try:
            with anyio.fail_after(self._options.connection_timeout):
                connected = await self._to_node(await dial(to))
        except (OSError, ValueError, ForbiddenError) as error:
            self._backoff.failed(to, anyio.current_time())
            reports.evidence(to, evidence_of(error))
            raise TransportError(f"cannot connect: {reason_of(error)}", where=str(to)) from error
        self._backoff.succeeded(to)
        outbound = [connection for connection in self._connections if connection.to is not None]
        if len(outbound) >= self._places:
            # The one unused for longest makes room.
            min(outbound, key=lambda connection: (connection.writing, connection.active_at)).end()
        try:
            self._serving(to)
            return self._adopt(connected, plane, endpoint_of(connected.getpeername()), to, reports)
        except (OSError, TransportError) as error:  # it broke, or this was closed, meanwhile
            connected.close()
            raise TransportError(f"the connection broke: {reason_of(error)}", where=str(to)) from error

    async def _to_node(self, connected: socket.socket) -> socket.socket:
        """Encrypt it, where that is wanted. Raises `OSError`, `ForbiddenError` if the other end is no node."""
        if self._tls is None:
            return connected
        secured = await secure(connected, self._tls.outgoing(), server_side=False)
        try:
            _require_node(self._tls.identify(secured.getpeercert()))
        except ForbiddenError:
            secured.close()
            raise
        return secured

    async def _greet(self, tls: Tls, plane: Plane, reports: Reports, accepted: socket.socket, remote: Endpoint) -> None:
        """A connection that is to be encrypted came in: take it if it shows who it is from."""
        secured = accepted
        try:
            with anyio.fail_after(self._options.connection_timeout):
                secured = await secure(accepted, tls.incoming(plane), server_side=True)
            identity = tls.identify(secured.getpeercert())
            if plane == "routing":
                reports.identified(remote, identity)
            else:
                _require_node(identity)
            self._adopt(secured, plane, remote, None, reports)
        except (OSError, ForbiddenError) as error:
            secured.close()
            self._admission.leave(remote.host)
            reports.closed(remote)
            reports.dropped(plane, "certificate" if isinstance(error, ForbiddenError) else "tls", remote)

    def _adopt(
        self, connected: socket.socket, plane: Plane, remote: Endpoint, to: Endpoint | None, reports: Reports
    ) -> Connection:
        assert self._group is not None
        inbound, pooling, timeout_s = to is None, self._options.connection_pooling, self._options.connection_timeout
        idle_s = IDLE_INBOUND_S if inbound else IDLE_OUTBOUND_S if pooling else timeout_s
        watch = Watch(anyio.current_time(), timeout_s=timeout_s, idle_s=idle_s, inbound=inbound)
        tune(connected, self._options)
        connection = Connection(connected, plane, remote, to, watch, reports)
        self._connections.add(connection)
        if inbound or pooling:
            self._by_remote[remote] = connection
        if to is not None and pooling:
            self._outbound[to] = connection
        self._counts["connections_in" if inbound else "connections_out"] += 1
        self._group.start_soon(self._read, connection)
        return connection

    async def _read(self, connection: Connection) -> None:
        try:
            await connection.read()
        finally:
            self._connections.discard(connection)
            if self._by_remote.get(connection.remote) is connection:
                del self._by_remote[connection.remote]
            if connection.to is None:
                self._admission.leave(connection.remote.host)
                connection.tell_closed()
            elif self._outbound.get(connection.to) is connection:
                del self._outbound[connection.to]
            if self._quiet is not None and not self._connections:
                self._quiet.set()

    def _enter(self, plane: Plane, reports: Reports, accepted: socket.socket, address: SockAddr) -> None:
        remote = endpoint_of(address)
        if not self._admission.enter(remote.host):
            accepted.close()
            reports.dropped(plane, "too_many_connections", remote)
        elif self._tls is None:
            self._adopt(accepted, plane, remote, None, reports)
        elif self._group is not None:
            self._group.start_soon(self._greet, self._tls, plane, reports, accepted, remote)

    async def _look_after_connections(self) -> None:
        period = min(self._options.connection_timeout / 4, LOOK_PERIOD_S_MAX)
        while True:
            await anyio.sleep(period)
            for connection in list(self._connections):
                connection.look(anyio.current_time())

    async def close(self) -> None:
        """See `mpreg_core.Transport`. Peers have half a second to take in what was sent."""
        self._closed = True
        if self._group is None or self._stopped is None:
            return
        group, stopped = self._group, self._stopped
        try:
            for acceptor in self._acceptors:
                acceptor.stop()
            with anyio.move_on_after(FLUSH_S):
                self._quiet = anyio.Event()
                # Those that wait for a slow peer come last, so that they hold up nobody.
                for connection in sorted(self._connections, key=lambda connection: connection.writing):
                    await connection.finish()
                if self._connections:
                    await self._quiet.wait()
        finally:
            group.cancel_scope.cancel()
        await stopped.wait()

    def stats(self) -> Mapping[str, int]:
        """See `mpreg_core.Transport`. Counters since the start; `connections_open` and `partial_bytes` are of now."""
        return {**self._counts, "connections_open": len(self._connections)}


def _require_node(identity: Identity | None) -> None:
    if identity is None or not identity.is_node:
        who = identity.subject[:100] if identity is not None else "nobody"
        raise ForbiddenError(f"expected the certificate of a node, got that of {who}")
