"""A plane's datagram socket: casts out, frames in, and the errors that the network sends back.

The socket is used directly rather than through anyio's: a cast must not wait, and one wake-up is to bring many
datagrams.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from struct import Struct
from typing import NamedTuple

import anyio

from mpreg_core import Endpoint, Plane
from mpreg_core.limits import DATAGRAM_BYTES_MAX
from mpreg_core.sockets import Readiness, SockAddr, digits, endpoint_of, evidence_of_errno, resolve
from mpreg_transport_tcp.reports import Reports
from mpreg_transport_tcp.sockets import IP_RECVERR, IPV6_RECVERR

DATAGRAMS_PER_TURN_MAX = 128  # then the streams have their turn
ERRORS_PER_TURN_MAX = 64
ADDRESSES_MAX = 20_000
NAME_TTL_S = 60.0
NAME_RETRY_S = 5.0  # a name that did not resolve is not asked for again sooner
RESOLUTIONS_MAX = 64  # names being resolved at once
WAITING_FRAMES_MAX = 4  # for each of them

ERROR_QUEUES = {(socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)}
EXTENDED_ERROR = Struct("=IBBBBII")  # struct sock_extended_err; the first field is the errno


class Resolved(NamedTuple):
    """Where an endpoint's datagrams go: nowhere if it did not resolve. An address in digits does not expire."""

    address: SockAddr | None
    expires_at: float | None


class DatagramPort:
    """Casts and receives on one bound non-blocking socket, which belongs to the caller.

    `spawn` starts the resolution of a name, which runs beside.
    """

    def __init__(
        self, plane: Plane, bound: socket.socket, reports: Reports, spawn: Callable[["DatagramPort", Endpoint], None]
    ) -> None:
        self._plane = plane
        self._socket = bound
        self._reports = reports
        self._spawn = spawn
        self._readiness = Readiness(bound, self._receive)
        self._resolved: dict[Endpoint, Resolved] = {}
        self._named: dict[SockAddr, Endpoint] = {}  # as the caller named it, for evidence
        self._waiting: dict[Endpoint, list[bytes]] = {}  # endpoint being resolved -> frames to send then

    def cast(self, to: Endpoint, frame: bytes) -> None:
        """Send a frame, or drop and count it. Never waits, never raises."""
        if not 0 < len(frame) <= DATAGRAM_BYTES_MAX:
            self._drop("too_big" if frame else "empty")
            return
        resolved = self._resolved.get(to) or self._resolve_digits(to)
        if resolved is None or (resolved.expires_at is not None and resolved.expires_at <= anyio.current_time()):
            resolved = self._await_name(to, frame, resolved)
        if resolved is None:
            return
        if resolved.address is None:
            self._drop("unresolved")
        else:
            self._send(resolved.address, frame)

    def _send(self, address: SockAddr, frame: bytes) -> None:
        try:
            try:
                self._socket.sendto(frame, address)
            except ConnectionRefusedError:
                # Said of an earlier datagram, perhaps to someone else. The receiving side reports it: a cast may be
                # part of what the sink is doing, so it must not call it.
                self._socket.sendto(frame, address)
        except BlockingIOError:
            self._drop("send_buffer_full")
        except OSError:
            self._drop("send_failed")
        else:
            self._reports.counts["datagrams_out"] += 1
            self._reports.counts["bytes_out"] += len(frame)

    def _drop(self, reason: str) -> None:
        self._reports.counts[f"dropped_out_{reason}"] += 1

    def _resolve_digits(self, to: Endpoint) -> Resolved | None:
        """Remember an endpoint whose host is an address already; None for a name. Asks no server."""
        if not 0 < to.port < 65_536:
            return Resolved(None, None)  # not worth a place in the table
        found = digits(to, self._socket.family, socket.SOCK_DGRAM)
        return self._remember(to, Resolved(found.address, None)) if found else None

    def _remember(self, to: Endpoint, resolved: Resolved) -> Resolved:
        self._forget(to)
        if len(self._resolved) >= ADDRESSES_MAX:
            self._forget(next(iter(self._resolved)))
        self._resolved[to] = resolved
        if resolved.address is not None:
            self._named[resolved.address] = to
        return resolved

    def _forget(self, to: Endpoint) -> None:
        resolved = self._resolved.pop(to, None)
        if resolved is not None and resolved.address is not None and self._named.get(resolved.address) == to:
            del self._named[resolved.address]

    def _await_name(self, to: Endpoint, frame: bytes, stale: Resolved | None) -> Resolved | None:
        """Have a name resolved. Meanwhile an old address serves on; without one a few frames wait."""
        if to not in self._waiting and len(self._waiting) < RESOLUTIONS_MAX:
            self._waiting[to] = []
            self._spawn(self, to)
        if stale is not None and stale.address is not None:
            return stale
        waiting = self._waiting.get(to)
        if waiting is None or len(waiting) >= WAITING_FRAMES_MAX:
            self._drop("unresolved")
        else:
            waiting.append(frame)
        return None

    async def resolve(self, to: Endpoint, timeout: float) -> None:
        """Ask for a name's address, then send what waited for it, or drop it."""
        address: SockAddr | None = None
        try:
            with anyio.move_on_after(timeout), suppress(OSError, ValueError):
                address = (await resolve(to, self._socket.family, socket.SOCK_DGRAM))[0].address
        finally:
            frames = self._waiting.pop(to, [])
        old = self._resolved.get(to)
        ttl = NAME_TTL_S if address else NAME_RETRY_S
        if address is None and old is not None:
            address = old.address  # better an old address than none
        self._remember(to, Resolved(address, anyio.current_time() + ttl))
        for frame in frames:
            self.cast(to, frame)

    async def receive(self) -> None:
        """Hand datagrams on as they come, until cancelled."""
        await self._readiness.run()

    def _receive(self) -> bool:
        """Take in what is there, to a bound."""
        receive = self._socket.recvfrom
        by_source: dict[SockAddr, list[bytes]] = {}
        count = 0
        try:
            while count < DATAGRAMS_PER_TURN_MAX:
                frame, address = receive(DATAGRAM_BYTES_MAX + 1)  # one more than allowed shows what is too big
                count += 1
                by_source.setdefault(address, []).append(frame)
        except BlockingIOError:
            if not count:
                self._drain_errors()  # what else would have woken us
        except OSError:
            self._drain_errors()
        for address, frames in by_source.items():
            self._deliver(endpoint_of(address), frames)
        return False

    def _deliver(self, source: Endpoint, frames: list[bytes]) -> None:
        reports = self._reports
        good = [frame for frame in frames if 0 < len(frame) <= DATAGRAM_BYTES_MAX]
        reports.counts["datagrams_in"] += len(good)
        reports.counts["bytes_in"] += sum(map(len, good))
        if good:
            reports.frames(self._plane, source, good, "datagram")
        if len(good) < len(frames):
            empty = frames.count(b"")
            if empty:
                reports.dropped(self._plane, "bad_length", source, empty)
            if oversized := len(frames) - len(good) - empty:
                reports.dropped(self._plane, "oversized", source, oversized)

    def _drain_errors(self) -> None:
        """Report what the network answered to earlier datagrams: port or host unreachable (RFC 1122, 4.1.3.3)."""
        if not hasattr(socket, "MSG_ERRQUEUE"):
            return
        for _ in range(ERRORS_PER_TURN_MAX):
            try:
                _, ancillary, _, address = self._socket.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            except OSError:
                break  # empty
            for level, kind, data in ancillary:
                if (level, kind) in ERROR_QUEUES and len(data) >= EXTENDED_ERROR.size:
                    evidence = evidence_of_errno(EXTENDED_ERROR.unpack_from(data)[0])
                    self._reports.evidence(self._named.get(address) or endpoint_of(address), evidence)
        self._readiness.renew()
