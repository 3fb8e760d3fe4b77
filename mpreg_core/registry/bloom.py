"""A set of names in fixed size that may say yes to a few more (Bloom 1970, "Space/Time Trade-offs in Hash Coding")."""

from collections.abc import Iterator
from hashlib import blake2b

HASHES = 4
"""With so many hashes, eight bits a name let one stranger in forty pass, thirteen bits one in two hundred."""


class Bloom:
    """`size` bytes, from bytes that another one gave or empty. Nothing is taken out again."""

    def __init__(self, size: int, content: bytes = b"") -> None:
        self._size = size
        self._bytes = bytearray(content[:size].ljust(size, b"\0"))

    def __contains__(self, name: str) -> bool:
        return all(self._bytes[bit >> 3] >> (bit & 7) & 1 for bit in self._places(name))

    def add(self, name: str) -> None:
        """The name is inside."""
        for bit in self._places(name):
            self._bytes[bit >> 3] |= 1 << (bit & 7)

    def merge(self, content: bytes) -> None:
        """So are those of another one of the same size."""
        both = int.from_bytes(self._bytes, "little") | int.from_bytes(content[: self._size], "little")
        self._bytes[:] = both.to_bytes(self._size, "little")

    def content(self) -> bytes:
        """To send, without the zeros at the end."""
        return bytes(self._bytes.rstrip(b"\0"))

    def _places(self, name: str) -> Iterator[int]:
        digest = blake2b(name.encode(errors="replace"), digest_size=4 * HASHES).digest()
        for at in range(0, len(digest), 4):
            yield int.from_bytes(digest[at : at + 4], "big") % (self._size * 8)
