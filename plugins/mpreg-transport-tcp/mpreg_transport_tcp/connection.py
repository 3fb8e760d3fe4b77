"""One TCP connection: batches of frames out, frames in, and its end."""

import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress

import anyio
from anyio.lowlevel import checkpoint

from mpreg_core import Endpoint, Framer, Plane, TransportError, one_batch, stream_batches
from mpreg_core.sockets import WOULD_BLOCK, Readiness, end_writing, evidence_of, reason_of, receive, send_all
from mpreg_transport_tcp.machine import Watch
from mpreg_transport_tcp.reports import Reports

CHUNK_BYTES = 64 * 1024
PARTIAL_BYTES_MAX = 64 * 1024 * 1024  # half received frames of all connections of a transport


class Connection:
    """A live connection. `remote` is the other end as the socket names it; `to` as the caller of `send` named it.

    `to` is None for an inbound one. `open` says that it may still be written to. `rest` is what `write_now` took and
    did not write: `write_rest` is to follow.
    """

    def __init__(
        self,
        connected: socket.socket,
        plane: Plane,
        remote: Endpoint,
        to: Endpoint | None,
        watch: Watch,
        reports: Reports,
    ) -> None:
        self.plane = plane
        self.remote = remote
        self.to = to
        self.open = True
        self.rest = b""
        self._socket = connected
        self._readiness = Readiness(connected, self._receive)
        self._watch = watch
        self._reports = reports
        self._framer = Framer()
        self._frames_in = 0
        self._writes = 0
        self._write_lock = anyio.Lock(fast_acquire=True)

    @property
    def writing(self) -> bool:
        """If a write is under way."""
        return self._write_lock.locked()

    @property
    def active_at(self) -> float:
        """When it was last seen to have carried anything."""
        return self._watch.active_at

    async def write(self, frames: Sequence[bytes]) -> None:
        """Write frames, waiting while the peer is slow. Raises `TransportError` if the connection broke.

        Cancelled before all is written, it ends the connection: half a frame would garble all that follows.
        """
        counts = self._reports.counts
        async with self._write_lock:
            try:
                await self._send_rest()
                for batch in stream_batches(frames):
                    await send_all(self._socket, batch)
                    counts["bytes_out"] += len(batch)
                    self._writes += 1
            except OSError as error:
                self._reports.evidence(self.to or self.remote, evidence_of(error))
                self.end()
                raise TransportError(f"the connection broke: {reason_of(error)}", where=str(self.remote)) from error
            except BaseException:
                self.end()
                raise
        counts["frames_out"] += len(frames)
        await checkpoint()  # a socket that always has room must not let its writer keep the others waiting

    def write_now(self, frames: Sequence[bytes]) -> bool:
        """Write frames if that needs no waiting. False: nothing was taken; what did not fit is `rest`."""
        if self.rest or not self.open or self._write_lock.locked():
            return False
        data = one_batch(frames)
        if not data:
            return False
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            return False
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            sent = 0  # what was handed to TLS once it has to get again
        except OSError as error:
            self._reports.evidence(self.to or self.remote, evidence_of(error))
            self.end()
            return False
        self.rest = data[sent:]
        counts = self._reports.counts
        counts["bytes_out"] += len(data)
        counts["frames_out"] += len(frames)
        self._writes += 1
        return True

    async def write_rest(self) -> None:
        """Write what did not fit."""
        with suppress(TransportError):
            await self.write(())

    async def _send_rest(self) -> None:
        if self.rest:
            await send_all(self._socket, self.rest)
            self.rest = b""

    async def read(self) -> None:
        """Hand frames on until either side ends the connection, which is closed then."""
        try:
            await self._readiness.run()
            if self._framer.pending_bytes:
                self._reports.dropped(self.plane, "truncated", self.remote)
        finally:
            self._reports.counts["partial_bytes"] -= self._framer.pending_bytes
            self.end()

    def _receive(self) -> bool:
        """Take in what came; True if that was the end."""
        reports, framer = self._reports, self._framer
        try:
            chunk = receive(self._socket, CHUNK_BYTES)
        except WOULD_BLOCK:
            return False
        except OSError as error:
            reports.evidence(self.to or self.remote, evidence_of(error))
            return True
        if not chunk and self.open and self.to is not None:
            reports.evidence(self.to, "reset")  # a kernel that buries a process says good-bye in its name
        held = framer.pending_bytes
        if frames := framer.feed(chunk):
            self._frames_in += len(frames)
            reports.frames(self.plane, self.remote, frames)
        counts, over = reports.counts, False
        counts["bytes_in"] += len(chunk)
        if framer.pending_bytes != held:
            counts["partial_bytes"] += framer.pending_bytes - held
            over = counts["partial_bytes"] > PARTIAL_BYTES_MAX
        if framer.fault or over:
            reports.dropped(self.plane, framer.fault or "overloaded", self.remote)
        return over or bool(framer.fault) or not chunk

    def look(self, now: float) -> None:
        """End it if it is late with a frame, or carried nothing for long."""
        partial = self._framer.pending_bytes > 0
        verdict = self._watch.look(now, self._frames_in, self._writes, partial=partial)
        if verdict:
            self._reports.counts[f"connections_{verdict}"] += 1
            self.end()

    async def finish(self) -> None:
        """Say that nothing more will be written, once the write under way is done; the peer then closes."""
        async with self._write_lock:
            self.open = False
            with suppress(OSError):
                await self._send_rest()
            end_writing(self._socket)

    def tell_closed(self) -> None:
        """Have the node know that an inbound one is gone."""
        self._reports.closed(self.remote)

    def end(self) -> None:
        """Close at once. Idempotent."""
        self.open = False
        self._readiness.stop()
        self._socket.close()
