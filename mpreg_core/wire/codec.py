"""Encoding and decoding of frames, with the limits that keep hostile bytes out of the machines."""

from functools import reduce
from operator import or_
from typing import Any

import msgspec
from msgspec import Raw, Struct

from mpreg_core.errors import ProtocolError
from mpreg_core.ids import NodeId
from mpreg_core.limits import FRAME_BYTES_MAX, WIRE_VERSION
from mpreg_core.wire.envelope import Envelope

_encoder = msgspec.msgpack.Encoder()
_envelopes = msgspec.msgpack.Decoder(Envelope)

_BAD = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError)
"""All that a decoder raises on hostile input; deep nesting ends as RecursionError."""


class FrameError(ProtocolError):
    """A frame that is dropped; `code` is the reason to count it under."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class MessageDecoder:
    """Decodes the bodies of one channel: a union of tagged Structs."""

    def __init__(self, messages: tuple[type[Struct], ...]) -> None:
        union: Any = reduce(or_, messages) if messages else Struct
        self._decode = msgspec.msgpack.Decoder(union).decode

    def decode(self, body: Raw) -> Struct:
        """The message. Raises `FrameError('bad_body')`."""
        try:
            message: Struct = self._decode(body)
        except _BAD as error:
            raise FrameError("bad_body", str(error)) from error
        return message


def encode_body(message: Struct) -> bytes:
    """A message as the body of an envelope."""
    return _encoder.encode(message)


class FrameEncoder:
    """Encodes the messages of one channel from one source: the head of the envelope is the same for all."""

    def __init__(self, channel: int, source: NodeId) -> None:
        empty = Raw(_encoder.encode(None))
        self._head = _encoder.encode(Envelope(WIRE_VERSION, channel, source, empty))[: -len(bytes(empty))]

    def encode(self, message: Struct) -> bytes:
        """A whole frame. Raises as `encode_frame`."""
        return _bounded(self._head + _encoder.encode(message))


def encode_frame(channel: int, source: NodeId, body: bytes) -> bytes:
    """A whole frame. Raises `FrameError('oversized')`: a strategy must keep its messages under the limit."""
    return _bounded(_encoder.encode(Envelope(WIRE_VERSION, channel, source, Raw(body))))


def _bounded(frame: bytes) -> bytes:
    if len(frame) > FRAME_BYTES_MAX:
        raise FrameError("oversized", f"expected at most {FRAME_BYTES_MAX} bytes, got {len(frame)}")
    return frame


def decode_frame(frame: bytes) -> Envelope:
    """The envelope of a frame. Raises `FrameError` with code `oversized`, `bad_envelope` or `wire_version`."""
    _bounded(frame)
    try:
        envelope = _envelopes.decode(frame)
    except _BAD as error:
        raise FrameError("bad_envelope", str(error)) from error
    if envelope.version != WIRE_VERSION:
        raise FrameError("wire_version", f"expected {WIRE_VERSION}, got {envelope.version}")
    return envelope
