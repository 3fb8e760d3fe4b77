"""How frames lie in a byte stream, as the transport `tcp` and clients write them.

A 32-bit big-endian length, then that many bytes, over and over.

Lengths of 0 and above `limits.FRAME_BYTES_MAX` are faults: where the next frame begins is then unknown, so the
connection has no future. A datagram needs none of this, it is one frame.
"""

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Literal

from mpreg_core.limits import FRAME_BYTES_MAX

HEADER = Struct(">I")
BATCH_BYTES = 128 * 1024  # a write of more is split between frames, so that it is not copied as a whole

Fault = Literal["", "bad_length", "oversized"]


def stream_batches(frames: Sequence[bytes]) -> Iterator[bytes]:
    """The bytes of one write after another that carry `frames`, each as one join of whole frames.

    A write has at most `BATCH_BYTES` and one more frame.
    """
    parts: list[bytes] = []
    size = 0
    for frame in frames:
        parts.append(HEADER.pack(len(frame)))
        parts.append(frame)
        size += len(frame)
        if size >= BATCH_BYTES:
            yield b"".join(parts)
            parts.clear()
            size = 0
    if parts:
        yield b"".join(parts)


def one_batch(frames: Sequence[bytes]) -> bytes:
    """The bytes of `frames` as one write; empty if they are too many for that, or one is empty."""
    if len(frames) == 1:
        frame = frames[0]
        return HEADER.pack(len(frame)) + frame if 0 < len(frame) <= BATCH_BYTES else b""
    if not all(frames) or sum(map(len, frames)) > BATCH_BYTES:
        return b""
    return b"".join([part for frame in frames for part in (HEADER.pack(len(frame)), frame)])


class Framer:
    """Cuts what a stream brings into frames. Holds at most one frame that is not complete.

    `fault` is set when a length was not allowed; nothing after it is looked at. `pending_bytes` is what it holds.
    """

    __slots__ = ("_need", "_pending", "fault")

    def __init__(self) -> None:
        self.fault: Fault = ""
        self._pending = bytearray()
        self._need = HEADER.size  # bytes from which on the next look at `_pending` can find a frame

    @property
    def pending_bytes(self) -> int:
        """What it holds."""
        return len(self._pending)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The frames that `chunk` completes, in order."""
        if self._pending:
            self._pending += chunk
            if len(self._pending) < self._need:
                return []
            chunk = bytes(self._pending)
            self._pending.clear()
        frames: list[bytes] = []
        begin, end, header = 0, len(chunk), HEADER.size
        self._need = header
        while end - begin >= header and not self.fault:
            (length,) = HEADER.unpack_from(chunk, begin)
            stop = begin + header + length
            if not 0 < length <= FRAME_BYTES_MAX:
                self.fault = "oversized" if length else "bad_length"
            elif stop > end:
                self._need = header + length
                break
            else:
                frames.append(chunk[begin + header : stop])
                begin = stop
        if begin < end and not self.fault:
            self._pending += chunk[begin:] if begin else chunk
        return frames
