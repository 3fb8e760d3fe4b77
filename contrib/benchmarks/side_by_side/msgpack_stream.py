"""Msgpack values out of a stream, as they become whole: serf's RPC frames nothing."""

import struct
from typing import Any, ClassVar

_FIXED = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_SIZED = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_MANY = {0xDC: (">H", False), 0xDD: (">I", False), 0xDE: (">H", True), 0xDF: (">I", True)}


class _ShortError(Exception):
    """More bytes are needed."""


class Unpacker:
    """Feed it bytes, take values."""

    NOTHING: ClassVar[object] = object()

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        self._data = self._data[self._at :] + data
        self._at = 0

    def take(self) -> Any:
        """The next whole value, or `NOTHING`."""
        begun = self._at
        try:
            return self._value()
        except _ShortError:
            self._at = begun
            return self.NOTHING

    def _read(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise _ShortError
        found = self._data[self._at : end]
        self._at = end
        return found

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._read(struct.calcsize(form)))[0]

    def _value(self) -> Any:
        head = self._read(1)[0]
        if head <= 0x7F or head >= 0xE0:
            return head if head <= 0x7F else head - 256
        if head <= 0x8F:
            return self._items(head & 0x0F, pairs=True)
        if head <= 0x9F:
            return self._items(head & 0x0F, pairs=False)
        if head <= 0xBF:
            return self._read(head & 0x1F).decode(errors="surrogateescape")
        if head in _FIXED:
            return self._number(_FIXED[head])
        if head in _SIZED:
            data = self._read(self._number(_SIZED[head]))
            return data if head <= 0xC6 else data.decode(errors="surrogateescape")
        if head in _MANY:
            form, pairs = _MANY[head]
            return self._items(self._number(form), pairs=pairs)
        return {0xC0: None, 0xC2: False, 0xC3: True}[head]

    def _items(self, count: int, *, pairs: bool) -> Any:
        if not pairs:
            return [self._value() for _ in range(count)]
        return {self._value(): self._value() for _ in range(count)}
