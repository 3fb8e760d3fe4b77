"""What passed through this node lately: which ids it saw, and the items themselves, for those who missed one."""

from collections import OrderedDict
from zlib import crc32

from mpreg_core import NS_PER_S
from mpreg_core.limits import SEEN_ITEMS_MAX
from mpreg_gossip_plumtree.messages import PARTS_MAX, Carried

ITEMS_MAX = 4096
BYTES_MAX = 8 * 1024 * 1024
HOLD_NS = 20 * NS_PER_S
WINDOW_MS = 8_000
YOUNG_MS = 1_000
"""Messages younger than this, by the newest one seen, may still be on their way: they are not compared."""

_MASK = (1 << 63) - 1
_SPREAD = 0x9E3779B97F4A7C15


def version_id(key: str, stamp: int) -> int:
    """63 bits that name one version of one key, the same on every node."""
    return (stamp ^ crc32(key.encode()) * _SPREAD) & _MASK


class Recent:
    """Ids seen (the last `SEEN_ITEMS_MAX / 2` at least) and the last items, bounded by age, number and bytes."""

    def __init__(self) -> None:
        self._new: set[int] = set()
        self._old: set[int] = set()
        self._items: OrderedDict[int, tuple[int, Carried]] = OrderedDict()  # when it came
        self._bytes = 0
        self._newest_ms = 0

    def __contains__(self, id_: int) -> bool:
        return id_ in self._new or id_ in self._old

    def __len__(self) -> int:
        return len(self._items)

    def add(self, now_ns: int, id_: int, carried: Carried) -> None:
        """Remember an item that was not seen before."""
        self._new.add(id_)
        if len(self._new) >= SEEN_ITEMS_MAX // 2:
            self._old, self._new = self._new, set()
        self._items[id_] = now_ns, carried
        self._bytes += len(carried.item.payload)
        if not carried.item.kept:
            self._newest_ms = max(self._newest_ms, carried.item.born_ms)
        self.expire(now_ns)

    def expire(self, now_ns: int) -> None:
        """Drop what is too old or too much."""
        while self._items:
            came_ns, oldest = next(iter(self._items.values()))
            if now_ns - came_ns < HOLD_NS and len(self._items) <= ITEMS_MAX and self._bytes <= BYTES_MAX:
                return
            self._items.popitem(last=False)
            self._bytes -= len(oldest.item.payload)

    def get(self, id_: int) -> Carried | None:
        """An item that is still here."""
        held = self._items.get(id_)
        return held and held[1]

    def window(self) -> tuple[int, int]:
        """The births of the messages to compare: from, to (ms of their origins' clocks)."""
        until_ms = self._newest_ms - YOUNG_MS
        return until_ms - WINDOW_MS, until_ms

    def messages(self, since_ms: int, until_ms: int) -> list[int]:
        """The ids of the messages born in a window, the newest first, so many as one message may carry."""
        found = []
        for id_, (_, carried) in reversed(self._items.items()):
            if not carried.item.kept and since_ms <= carried.item.born_ms < until_ms:
                found.append(id_)
        return found[:PARTS_MAX]


def digest(ids: list[int]) -> int:
    """One number for a set of ids."""
    total = 0
    for id_ in ids:
        total ^= id_
    return total
