"""One connection of a client to a hub.

What is put goes out at once; of what is put in one turn of the event loop the rest follows in bursts, and at its end.
"""

import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from ssl import SSLContext

import anyio
from anyio.abc import TaskGroup
from msgspec import Struct

from mpreg_core.contracts.transport import Endpoint
from mpreg_core.errors import ForbiddenError, UnavailableError
from mpreg_core.ids import NodeId
from mpreg_core.limits import OUTBOX_BYTES_MAX, WIRE_VERSION
from mpreg_core.security.certificates import identify
from mpreg_core.sockets import WOULD_BLOCK, Readiness, dial, end_of_turn, end_writing, reason_of, receive, secure
from mpreg_core.wire.client import TO_CLIENT, ClientHello, ClientWelcome
from mpreg_core.wire.codec import FrameEncoder, FrameError, MessageDecoder, decode_frame
from mpreg_core.wire.envelope import CLIENT_CHANNEL
from mpreg_core.wire.framing import HEADER, Framer, stream_batches
from mpreg_core.wire.outcome import error_of

FLUSH_S, FLUSH_LOOK_S = 0.2, 0.001
CHUNK_BYTES = 64 * 1024
BURST = 16
"""So many frames of one turn are written before its end: the hub can begin with them meanwhile."""

CLOSED = "the hub closed the connection"

_decoder = MessageDecoder(TO_CLIENT)


class BrokenLinkError(Exception):
    """The connection is of no more use."""


class Link:
    """An open connection that was welcomed by `hub`. `run` must run meanwhile."""

    def __init__(self, connected: socket.socket, frames: FrameEncoder) -> None:
        self.hub: NodeId = ""
        self._socket = connected
        self._frames = frames
        self._framer = Framer()
        self._readiness = Readiness(connected, self._receive)
        self._on_messages: Callable[[Sequence[Struct]], None] = lambda messages: None
        self._tasks: TaskGroup | None = None
        self._early: list[Struct] = []
        self._broken = ""
        self._out: deque[bytes] = deque()
        self._out_bytes = 0
        self._rest = b""  # of a write that did not fit
        self._is_full = False  # and a task waits for room
        self._in_turn = False  # something was written in this turn; its end is awaited
        self._later: Callable[[Callable[[], None]], object] | None = None

    @classmethod
    async def open(cls, host: str, port: int, name: str, federation: str, token: str, tls: SSLContext | None) -> "Link":
        """Connect and say hello. Raises `BrokenLinkError`, or the error the hub refused with."""
        try:
            connected = await _connect(Endpoint(host, port), federation, tls)
        except (OSError, ValueError) as error:
            raise BrokenLinkError(reason_of(error)) from error
        link = cls(connected, FrameEncoder(CLIENT_CHANNEL, name))
        try:
            link.put(ClientHello(federation, WIRE_VERSION, token))
            link.hub = await link._welcome()
        except BaseException:
            connected.close()
            raise
        return link

    async def _welcome(self) -> NodeId:
        while not self._early:
            await anyio.wait_readable(self._socket)
            try:
                if not self._take(receive(self._socket, CHUNK_BYTES)):
                    raise BrokenLinkError(self._broken)
            except WOULD_BLOCK:
                continue
            except OSError as error:
                raise BrokenLinkError(reason_of(error)) from error
        welcome = self._early.pop(0)
        if not isinstance(welcome, ClientWelcome):
            raise BrokenLinkError(f"expected a welcome, got {type(welcome).__name__}")
        if welcome.code:
            raise error_of(welcome.code, welcome.message, welcome.node)
        return welcome.node

    async def run(self, tasks: TaskGroup, on_messages: Callable[[Sequence[Struct]], None]) -> None:
        """Hand on what comes, until the connection ends or `on_messages` raises. Raises `BrokenLinkError`."""
        self._tasks, self._on_messages, self._later = tasks, on_messages, end_of_turn(tasks)
        try:
            self._write()
            if self._early:
                early, self._early = self._early, []
                on_messages(early)
            await self._readiness.run()
        finally:
            self._tasks = self._later = None
        raise BrokenLinkError(self._broken or CLOSED)

    # in

    def _receive(self) -> bool:
        """Take in what came; True if that was the end."""
        try:
            chunk = receive(self._socket, CHUNK_BYTES)
        except WOULD_BLOCK:
            return False
        except OSError as error:
            self._broken = reason_of(error)
            return True
        is_on = self._take(chunk)
        if self._early:
            messages, self._early = self._early, []
            self._on_messages(messages)
        return not is_on

    def _take(self, chunk: bytes) -> bool:
        """Decode; what cannot be read is left out. False if that was the end."""
        if not chunk:
            self._broken = CLOSED
            return False
        for frame in self._framer.feed(chunk):
            message = _decoded(frame)
            if message is not None:
                self._early.append(message)
        if self._framer.fault:
            self._broken = f"expected frames, got bytes that are none ({self._framer.fault})"
        return not self._framer.fault

    # out

    def put(self, message: Struct) -> None:
        """Have a message sent. Raises `UnavailableError` when too much waits already."""
        frame = self._frames.encode(message)
        if self._out_bytes + len(frame) > OUTBOX_BYTES_MAX:
            raise UnavailableError(
                f"{self._out_bytes} bytes wait for {self.hub}, which does not take them", where=self.hub
            )
        self._out.append(frame)
        self._out_bytes += HEADER.size + len(frame)
        if self._later is None:
            self._write()
        elif not self._in_turn and not self._is_full:
            self._write()
            self._in_turn = True
            self._later(self._end_turn)
        elif len(self._out) >= BURST and not self._is_full:
            self._write()

    def _end_turn(self) -> None:
        self._in_turn = False
        if not self._is_full:
            self._write()

    def _write(self) -> bool:
        """What is put, as much of it as the socket takes now; True if that was all."""
        while self._rest or self._out:
            if not self._rest:
                self._rest = b"".join(stream_batches(tuple(self._out)))
                self._out.clear()
            try:
                sent = self._socket.send(self._rest)
            except WOULD_BLOCK:
                if self._tasks is not None and not self._is_full:
                    self._is_full = True
                    self._tasks.start_soon(self._make_room)
                return False
            except OSError as error:
                self._broken = reason_of(error)
                self._readiness.stop()
                return False
            self._rest = self._rest[sent:]
            self._out_bytes -= sent
        return True

    async def _make_room(self) -> None:
        with suppress(anyio.ClosedResourceError):
            try:
                while not self._broken:
                    await anyio.wait_writable(self._socket)
                    if self._write():
                        return
            finally:
                self._is_full = False

    async def flush(self, timeout_s: float) -> None:
        """Wait until all that was put is written, for so long at most."""
        with anyio.move_on_after(timeout_s, shield=True):
            while not self._broken and not self._write():
                await anyio.sleep(FLUSH_LOOK_S)

    async def close(self) -> None:
        """Let go of the connection; what is put goes out first, if that takes no time."""
        await self.flush(FLUSH_S)
        self._readiness.stop()
        end_writing(self._socket)
        self._socket.close()


async def _connect(to: Endpoint, federation: str, tls: SSLContext | None) -> socket.socket:
    """Raises `OSError`, `ValueError`, `ForbiddenError` for a hub whose certificate is not that of a node."""
    connected = await dial(to)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is None:
        return connected
    secured = await secure(connected, tls, server_side=False)
    try:
        hub = identify(secured.getpeercert(), federation)
        if hub is None or not hub.is_node:
            who = hub.subject if hub is not None else "nobody"
            raise ForbiddenError(f"expected the certificate of a node, got that of {who}", where=str(to))
    except BaseException:
        secured.close()
        raise
    return secured


def _decoded(frame: bytes) -> Struct | None:
    try:
        envelope = decode_frame(frame)
        return _decoder.decode(envelope.body) if envelope.channel == CLIENT_CHANNEL else None
    except FrameError:  # of a newer hub
        return None
