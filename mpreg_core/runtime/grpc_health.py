"""One call of grpc.health.v1.Health/Check over clear HTTP/2, with no more of either protocol than that takes.

Frames by RFC 9113, section 4.1; headers as literals without indexing by RFC 7541, section 6.2.2; messages by gRPC over
HTTP/2. What the answer's headers say is not read: a call that fails brings no message.
"""

import struct

from anyio.abc import ByteStream

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_FRAME_BYTES_MAX = 16_384
_HEAD = struct.Struct("!BHBBI")
_STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


async def grpc_status(stream: ByteStream, authority: str, service: str) -> str:
    """The status of a service, empty for the whole server. Raises `OSError`, anyio's errors of closed streams."""
    name = service.encode()
    request = b"\x0a" + _varint(len(name)) + name if name else b""
    await stream.send(
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, _headers(authority))
        + _frame(_DATA, _END_STREAM, 1, b"\0" + struct.pack("!I", len(request)) + request)
    )
    message, held = b"", b""
    while True:
        while len(held) < _HEAD.size:
            held += await stream.receive()
        high, low, kind, flags, stream_id = _HEAD.unpack_from(held)
        size = high << 16 | low
        if size > _FRAME_BYTES_MAX:
            return f"a frame of {size} bytes"
        while len(held) < _HEAD.size + size:
            held += await stream.receive()
        body, held = held[_HEAD.size : _HEAD.size + size], held[_HEAD.size + size :]
        if kind in (_SETTINGS, _PING) and not flags & _ACK:
            await stream.send(_frame(kind, _ACK, 0, body if kind == _PING else b""))
        elif kind == _GOAWAY or (stream_id == 1 and kind == _RST_STREAM):
            return "a refusal"
        elif stream_id == 1 and kind == _DATA:
            message += body
        if stream_id == 1 and kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            return _status(message)


def _status(message: bytes) -> str:
    if len(message) < 5:
        return "no answer from the health service"
    fields = message[5:]
    number = fields[1] if len(fields) == 2 and fields[0] == 0x08 else 0
    return _STATUSES[number] if number < len(_STATUSES) else f"status {number}"


def _frame(kind: int, flags: int, stream_id: int, body: bytes) -> bytes:
    return _HEAD.pack(len(body) >> 16, len(body) & 0xFFFF, kind, flags, stream_id) + body


def _headers(authority: str) -> bytes:
    pairs = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    )
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in pairs)


def _text(text: str) -> bytes:
    """A string literal, not Huffman-coded (RFC 7541, sections 5.1 and 5.2)."""
    data = text.encode()
    length = bytes((len(data),)) if len(data) < 0x7F else b"\x7f" + _varint(len(data) - 0x7F)
    return length + data


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first, as protobuf and HPACK have it."""
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))
