"""One connection of a client to a hub: frames out, those of one turn of the event loop in one write, and frames in."""

import os
from collections import deque
from contextlib import suppress
from socket import gaierror
from ssl import SSLContext, SSLError

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute, TLSStream
from msgspec import Struct

from mpreg_core.errors import ForbiddenError, UnavailableError
from mpreg_core.ids import NodeId
from mpreg_core.limits import OUTBOX_BYTES_MAX, WIRE_VERSION
from mpreg_core.security.certificates import identify
from mpreg_core.wire.client import TO_CLIENT, ClientHello, ClientWelcome
from mpreg_core.wire.codec import FrameEncoder, FrameError, MessageDecoder, decode_frame
from mpreg_core.wire.envelope import CLIENT_CHANNEL
from mpreg_core.wire.framing import Framer, stream_batches
from mpreg_core.wire.outcome import error_of

FLUSH_S, FLUSH_LOOK_S = 0.2, 0.001
CHUNK_BYTES = 256 * 1024
ENDS = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)

_decoder = MessageDecoder(TO_CLIENT)


class BrokenLinkError(Exception):
    """The connection is of no more use."""


class Link:
    """An open connection that was welcomed by `hub`."""

    def __init__(self, stream: ByteStream, frames: FrameEncoder) -> None:
        self.hub: NodeId = ""
        self._stream = stream
        self._frames = frames
        self._framer = Framer()
        self._out: deque[bytes] = deque()
        self._out_bytes = 0
        self._writing = False
        self._more = anyio.Event()
        self._room = anyio.Event()
        self._early: deque[Struct] = deque()

    @classmethod
    async def open(cls, host: str, port: int, name: str, federation: str, token: str, tls: SSLContext | None) -> "Link":
        """Connect and say hello. Raises `BrokenLinkError`, or the error the hub refused with."""
        try:
            stream = await _connect(host, port, federation, tls)
        except (OSError, *ENDS) as error:
            raise BrokenLinkError(_reason(error)) from error
        link = cls(stream, FrameEncoder(CLIENT_CHANNEL, name))
        try:
            link.put(ClientHello(federation, WIRE_VERSION, token))
            await link._send_all()
            while not link._early:
                link._early.extend(await link.receive())
            welcome = link._early.popleft()
            if not isinstance(welcome, ClientWelcome):
                raise BrokenLinkError(f"expected a welcome, got {type(welcome).__name__}")
            if welcome.code:
                raise error_of(welcome.code, welcome.message, welcome.node)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await stream.aclose()
            raise
        link.hub = welcome.node
        return link

    def put(self, message: Struct) -> None:
        """Have a message sent. Raises `UnavailableError` when too much waits already."""
        frame = self._frames.encode(message)
        if self._out_bytes + len(frame) > OUTBOX_BYTES_MAX:
            raise UnavailableError(
                f"{self._out_bytes} bytes wait for {self.hub}, which does not take them", where=self.hub
            )
        self._out.append(frame)
        self._out_bytes += len(frame)
        self._more.set()

    async def write(self) -> None:
        """Send what is put, until cancelled. Raises `BrokenLinkError`."""
        while True:
            await self._more.wait()
            self._more = anyio.Event()
            await self._send_all()

    async def _send_all(self) -> None:
        frames = list(self._out)
        self._out.clear()
        self._out_bytes = 0
        self._writing = True
        try:
            for batch in stream_batches(frames):
                await self._stream.send(batch)
        except (OSError, *ENDS) as error:
            raise BrokenLinkError(_reason(error)) from error
        finally:
            self._writing = False

    async def flush(self, timeout_s: float) -> None:
        """Wait until all that was put is written, for so long at most."""
        with anyio.move_on_after(timeout_s, shield=True):
            while self._out or self._writing:
                await anyio.sleep(FLUSH_LOOK_S)

    async def receive(self) -> list[Struct]:
        """The next messages, at least one. Raises `BrokenLinkError`; what cannot be read is left out."""
        while True:
            if self._early:
                early = list(self._early)
                self._early.clear()
                return early
            try:
                chunk = await self._stream.receive(CHUNK_BYTES)
            except (OSError, *ENDS) as error:
                raise BrokenLinkError(_reason(error)) from error
            frames = self._framer.feed(chunk)
            if self._framer.fault:
                raise BrokenLinkError(f"expected frames, got bytes that are none ({self._framer.fault})")
            messages = [message for frame in frames if (message := _decoded(frame)) is not None]
            if messages:
                return messages

    async def close(self) -> None:
        """Let go of the connection; what is put goes out first, if that takes no time."""
        with anyio.move_on_after(FLUSH_S, shield=True), suppress(BrokenLinkError):
            await self._send_all()
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()


def _reason(error: Exception) -> str:
    """A few words; what broke a stream often stands behind the error that tells of it."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(cause, SSLError):
        words = (cause.reason or str(cause)).replace("_", " ")
    elif isinstance(cause, OSError) and cause.errno and not isinstance(cause, gaierror):
        words = os.strerror(cause.errno)  # asyncio puts addresses in place of it
    else:
        words = getattr(cause, "strerror", None) or str(cause)
    return words.lower() or "the hub closed the connection"


async def _connect(host: str, port: int, federation: str, tls: SSLContext | None) -> ByteStream:
    """Raises `OSError`, `ForbiddenError` for a hub whose certificate is not that of a node."""
    stream: ByteStream = await anyio.connect_tcp(host, port)
    if tls is None:
        return stream
    try:
        secured = await TLSStream.wrap(stream, server_side=False, ssl_context=tls, standard_compatible=False)
        hub = identify(secured.extra(TLSAttribute.peer_certificate), federation)
        if hub is None or not hub.is_node:
            who = hub.subject if hub is not None else "nobody"
            raise ForbiddenError(f"expected the certificate of a node, got that of {who}", where=f"{host}:{port}")
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise
    return secured


def _decoded(frame: bytes) -> Struct | None:
    try:
        envelope = decode_frame(frame)
        return _decoder.decode(envelope.body) if envelope.channel == CLIENT_CHANNEL else None
    except FrameError:  # of a newer hub
        return None
