"""What passed through this node lately: which items it has seen, and the recent messages, to give to who missed one.

Kept items are in the replica and need no memory here. A message is in no replica: it stays here for a while, filed by
the second in which it was born (by its origin's clock, so all nodes file it alike). Two nodes compare the XOR of the
ids in each slice, so an exchange costs some bytes a slice whatever the number of messages.
"""

from collections.abc import Iterable, Sequence
from zlib import crc32

from mpreg_core.limits import SEEN_ITEMS_MAX
from mpreg_gossip_epidemic.messages import SLICES_MAX, Carried, Slice

MESSAGES_MAX = 4096
MESSAGE_BYTES_MAX = 8 * 1024 * 1024

_MASK = (1 << 63) - 1
_SPREAD = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: takes the key's 32 bits to all 63


def version_id(key: str, stamp: int) -> int:
    """63 bits that name one version of one key, the same on every node."""
    return (stamp ^ crc32(key.encode()) * _SPREAD) & _MASK


def hash_of(name: str) -> int:
    """63 bits of a name, the same on every node."""
    return crc32(name.encode()) * _SPREAD & _MASK


class Seen:
    """A set of ids that forgets: the last `SEEN_ITEMS_MAX / 2` at least, `SEEN_ITEMS_MAX` at most."""

    def __init__(self) -> None:
        self._new: set[int] = set()
        self._old: set[int] = set()

    def __contains__(self, id_: int) -> bool:
        return id_ in self._new or id_ in self._old

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def add(self, id_: int) -> None:
        """Remember."""
        self._new.add(id_)
        if len(self._new) >= SEEN_ITEMS_MAX // 2:
            self._old, self._new = self._new, set()


class _Slice:
    def __init__(self) -> None:
        self.ids: dict[int, None] = {}
        self.digest = 0
        self.last_ns = 0


class Recent:
    """The messages of the last `hold_ns`, and no more than `MESSAGES_MAX` or `MESSAGE_BYTES_MAX`: the oldest go.

    A slice is shown to others only for the first half of `hold_ns` after its last message came, so that one node
    never misses what another has just dropped.
    """

    def __init__(self, hold_ns: int) -> None:
        self._hold_ns = hold_ns
        self._messages: dict[int, Carried] = {}
        self._slices: dict[int, _Slice] = {}  # by second of birth, the longest unchanged first
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, now_ns: int, id_: int, carried: Carried) -> None:
        """Hold a message that is not held yet."""
        second = carried.item.born_ms // 1000
        slice_ = self._slices.pop(second, None) or _Slice()
        self._slices[second] = slice_
        slice_.ids[id_] = None
        slice_.digest ^= id_
        slice_.last_ns = now_ns
        self._messages[id_] = carried
        self._bytes += len(carried.item.payload)
        self.expire(now_ns)

    def expire(self, now_ns: int) -> None:
        """Drop what is too old or too much."""
        while self._slices:
            second, oldest = next(iter(self._slices.items()))
            old = now_ns - oldest.last_ns > self._hold_ns
            while oldest.ids and (old or len(self._messages) > MESSAGES_MAX or self._bytes > MESSAGE_BYTES_MAX):
                id_ = next(iter(oldest.ids))
                del oldest.ids[id_]
                oldest.digest ^= id_
                self._bytes -= len(self._messages.pop(id_).item.payload)
            if oldest.ids:
                return
            del self._slices[second]

    def find(self, id_: int) -> Carried | None:
        """A message by its id."""
        return self._messages.get(id_)

    def slices(self, now_ns: int) -> tuple[Slice, ...]:
        """What to show to others: the `SLICES_MAX` slices that changed last, if they are young."""
        shown: list[Slice] = []
        for second, slice_ in reversed(self._slices.items()):
            if len(shown) == SLICES_MAX or 2 * (now_ns - slice_.last_ns) > self._hold_ns:
                break
            shown.append(Slice(second, slice_.digest))
        return tuple(shown)

    def differing(self, now_ns: int, theirs: Sequence[Slice]) -> tuple[int, ...]:
        """The seconds in which another node holds other messages than this one."""
        shown = {slice_.second: slice_.digest for slice_ in theirs}
        differing = {
            second
            for second, digest in shown.items()
            if second not in self._slices or self._slices[second].digest != digest
        }
        if len(theirs) < SLICES_MAX:  # else it may hold more than it shows
            differing.update(slice_.second for slice_ in self.slices(now_ns) if slice_.second not in shown)
        return tuple(sorted(differing))

    def ids(self, seconds: Iterable[int]) -> list[int]:
        """The ids of the messages held of some slices, in the order they came within each."""
        return [id_ for second in dict.fromkeys(seconds) if second in self._slices for id_ in self._slices[second].ids]
