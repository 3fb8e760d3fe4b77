"""What a node holds for a pool, as the pool's gossip strategy sees it: kept items in a digest tree, and what passed."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import TypeAlias

from mpreg_core import limits
from mpreg_core.contracts.gossip import DIGEST_FANOUT, Item
from mpreg_core.errors import InvalidInputError, UnavailableError

Judge: TypeAlias = Callable[[Item | None, Item], bool]
"""(the item held, a new one of the same key with another stamp) -> whether the new one would change anything here."""

STAMP_MASK = (1 << 63) - 1


def make_stamp(payload: bytes, key: str) -> int:
    """The stamp of a version: a 63-bit hash of what it is. Messages that may repeat must differ in their payload."""
    return _hash63(key.encode(), payload)


def _hash63(key: bytes, rest: bytes) -> int:
    # The key's length in front: no two pairs of key and rest give the same bytes.
    return int.from_bytes(blake2b(b"%d:%b%b" % (len(key), key, rest), digest_size=8).digest()) & STAMP_MASK


def _newer(held: Item | None, new: Item) -> bool:
    """The judge of keys that have none: the later born, then the higher stamp."""
    return held is None or (new.born_ms, new.stamp) > (held.born_ms, held.stamp)


class ItemStore:
    """The `Replica` of one pool.

    A key's place in the tree comes from its hash alone, so replicas agree on it; the digest of an item from key and
    stamp. Updates touch three digests, whatever is held. `judges` decide by the key's prefix, the part up to the first
    `/`, whether a kept item is news. At most `limits.STATE_KEYS_MAX` items are kept, and between half of
    `limits.SEEN_ITEMS_MAX` and all of it stamps of other items are remembered, in two generations.
    """

    def __init__(self, judges: Mapping[str, Judge]) -> None:
        self._judges = dict(judges)
        self._items: dict[str, Item] = {}
        self._root = 0
        self._branches = [0] * DIGEST_FANOUT
        # By place, only where something is: most replicas are small, and one process may hold a thousand of them.
        self._leaves: dict[int, int] = {}
        self._keys: dict[int, tuple[str, ...]] = {}
        self._seen: set[int] = set()
        self._seen_before: set[int] = set()

    def __len__(self) -> int:
        return len(self._items)

    def is_news(self, item: Item) -> bool:
        """See `Replica`. An item whose stamp is not its payload's is a forgery, which would hide the true one."""
        if not item.kept:
            known = item.stamp in self._seen or item.stamp in self._seen_before
            return not known and item.stamp == make_stamp(item.payload, item.key)
        held = self._items.get(item.key)
        if held is None:
            if len(self._items) >= limits.STATE_KEYS_MAX:
                return False
        elif held.stamp == item.stamp:
            return False
        if item.stamp != make_stamp(item.payload, item.key):
            return False
        return self._judges.get(item.key.partition("/")[0], _newer)(held, item)

    def put(self, item: Item) -> None:
        """Hold a kept item in place of what its key held. Raises `UnavailableError` when a new key has no room."""
        assert item.kept, f"{item.key} is a message: mark it seen"
        held = self._items.get(item.key)
        if held is None and len(self._items) >= limits.STATE_KEYS_MAX:
            raise UnavailableError(f"expected at most {limits.STATE_KEYS_MAX} items, the replica is full")
        place = _place(item.key)
        change = _digest(item.key, item.stamp)
        if held is not None:
            change ^= _digest(held.key, held.stamp)
        self._items[item.key] = item
        if held is None:
            self._keys[place] = (*self._keys.get(place, ()), item.key)
        self._turn(place, change)

    def remove(self, key: str) -> None:
        """Hold the key no longer. Nothing happens if it was not held."""
        held = self._items.pop(key, None)
        if held is None:
            return
        place = _place(key)
        keys = tuple(each for each in self._keys.pop(place) if each != key)
        if keys:
            self._keys[place] = keys
        self._turn(place, _digest(key, held.stamp))

    def mark_seen(self, stamp: int) -> bool:
        """Remember a message by its stamp. True the first time."""
        if stamp in self._seen or stamp in self._seen_before:
            return False
        self._seen.add(stamp)
        if len(self._seen) >= limits.SEEN_ITEMS_MAX // 2:
            self._seen_before, self._seen = self._seen, set()
        return True

    def root(self) -> int:
        """See `Replica`."""
        return self._root

    def branches(self) -> Sequence[int]:
        """See `Replica`."""
        return tuple(self._branches)

    def leaves(self, branch: int) -> Sequence[int]:
        """See `Replica`. Raises `InvalidInputError` for a branch that is none."""
        first = _checked(branch, "branch") * DIGEST_FANOUT
        return tuple(self._leaves.get(first + leaf, 0) for leaf in range(DIGEST_FANOUT))

    def stamps(self, branch: int, leaf: int) -> Mapping[str, int]:
        """See `Replica`. By key. Raises `InvalidInputError` for a branch or leaf that is none."""
        keys = self._keys.get(_checked(branch, "branch") * DIGEST_FANOUT + _checked(leaf, "leaf"), ())
        return {key: self._items[key].stamp for key in sorted(keys)}

    def get(self, key: str) -> Item | None:
        """See `Replica`."""
        return self._items.get(key)

    def _turn(self, place: int, change: int) -> None:
        leaf = self._leaves.pop(place, 0) ^ change
        if leaf:
            self._leaves[place] = leaf
        self._branches[place // DIGEST_FANOUT] ^= change
        self._root ^= change


def _place(key: str) -> int:
    return _hash63(key.encode(), b"") % (DIGEST_FANOUT * DIGEST_FANOUT)


def _digest(key: str, stamp: int) -> int:
    # A byte more than a stamp has, so that any int of the wire fits.
    return _hash63(key.encode(), stamp.to_bytes(9, signed=True))


def _checked(index: int, name: str) -> int:
    if not 0 <= index < DIGEST_FANOUT:
        raise InvalidInputError(f"expected a {name} of 0 to {DIGEST_FANOUT - 1}, got {index}")
    return index
