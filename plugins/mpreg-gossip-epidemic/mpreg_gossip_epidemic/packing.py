"""Items into messages: as many as fit, in datagrams while they are few, compressed where that saves."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from mpreg_core import Lane
from mpreg_core.limits import DATAGRAM_BYTES_MAX, FRAME_BYTES_MAX
from mpreg_gossip_epidemic.messages import PARTS_MAX, Carried, News, Packed

DATAGRAM_BUDGET = DATAGRAM_BYTES_MAX - 80
"""For the items of one message: what the envelope (64 bytes) and the message's own head leave."""

DATAGRAMS_MAX = 4
"""What takes more datagrams than these goes by stream: many at once overrun a socket's buffer."""

COMPRESS_ABOVE = 2048
"""Below, compression costs more time than the bytes it saves are worth; a datagram is never compressed."""

COMPRESS_LEVEL = 1
UNPACKED_BYTES_MAX = FRAME_BYTES_MAX
"""Of a decompressed message: a small one that claims to be huge is not unpacked further."""

Part = TypeVar("Part")

_ITEM_OVERHEAD = 40  # msgpack heads, three numbers of 9 bytes

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(News)


def text_bytes(text: str) -> int:
    """The length of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def carried_bytes(carried: Carried) -> int:
    """The size of an item on the wire, not less than it is."""
    item = carried.item
    return _ITEM_OVERHEAD + len(item.payload) + text_bytes(item.key + item.origin)


def split(parts: Iterable[Part], size_of: Callable[[Part], int], bytes_max: int) -> list[tuple[list[Part], Lane]]:
    """Runs of parts, each a message, and the lane for it: datagrams while they are few, else at most `bytes_max` each.

    A part that is larger than what a message may hold is alone in it, and goes by stream.
    """
    sized = [(part, size_of(part)) for part in parts]
    if sum(size for _, size in sized) <= DATAGRAMS_MAX * DATAGRAM_BUDGET:
        bytes_max = DATAGRAM_BUDGET
    runs: list[tuple[list[Part], Lane]] = []
    room = 0
    for part, size in sized:
        if runs and size <= room and len(runs[-1][0]) < PARTS_MAX:
            runs[-1][0].append(part)
        else:
            room = bytes_max
            runs.append(([part], "datagram" if max(size, bytes_max) <= DATAGRAM_BUDGET else "stream"))
        room -= size
    return runs


def pack(
    items: Sequence[Carried], bytes_max: int, compress: bool, *, repair: bool = False, more: bool = False
) -> Iterator[tuple[News | Packed, Lane]]:
    """Messages that carry the items in their order, and the lane for each. `more` is said by the last one."""
    runs = split(items, carried_bytes, bytes_max)
    for index, (run, lane) in enumerate(runs):
        news = News(tuple(run), repair, more and index == len(runs) - 1)
        yield (_packed(news) if compress and lane == "stream" else news), lane


def _packed(news: News) -> News | Packed:
    data = _encoder.encode(news)
    if len(data) < COMPRESS_ABOVE:
        return news
    squeezed = zlib.compress(data, COMPRESS_LEVEL)
    return Packed(squeezed) if len(squeezed) * 8 < len(data) * 7 else news


def unpack(packed: Packed) -> News | None:
    """What was compressed; None if it is not that, or is larger than `UNPACKED_BYTES_MAX`."""
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(packed.data, UNPACKED_BYTES_MAX)
        if not inflate.eof or inflate.unused_data:
            return None
        return _decoder.decode(data)
    except (zlib.error, msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError):
        return None
