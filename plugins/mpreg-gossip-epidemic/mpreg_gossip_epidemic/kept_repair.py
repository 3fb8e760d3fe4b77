"""Anti-entropy of kept items: two nodes walk down their digest trees to where they differ, and swap only that.

Roots, then branches, then leaves, then the (key, stamp) pairs of a leaf (a Merkle tree as Dynamo's, section 4.7 of
DeCandia et al. 2007). No step remembers the one before: each answers by what is held at that moment, so a lost
message costs nothing but the next round. Which of two versions is newer the replica alone knows; a stamp's order is
only a guess of who should send first, and who receives an old version answers with the newer one.
"""

from collections.abc import Iterable, Iterator, Mapping

from mpreg_core import DIGEST_FANOUT, NodeId, Replica, Send
from mpreg_gossip_epidemic.giving import GIVEN_MAX, GIVEN_NS, Asked, Giver
from mpreg_gossip_epidemic.messages import Branch, Branches, Carried, Leaves, Stamps, Want
from mpreg_gossip_epidemic.packing import split, text_bytes
from mpreg_gossip_epidemic.recent import hash_of, version_id

SCANNED_KEYS_MAX = 20_000
"""Keys looked at in one step; the rest waits for the next round."""

_DIGEST_BYTES = 9
_HEAD_BYTES = 8
_EMPTY = (0,) * DIGEST_FANOUT


class KeptRepair:
    """One node's side of the walk, whichever side it is."""

    def __init__(self, replica: Replica, giver: Giver, asked: Asked, message_bytes_max: int) -> None:
        self._replica = replica
        self._giver = giver
        self._asked = asked
        self._message_bytes_max = message_bytes_max
        self._given = Asked(GIVEN_NS, GIVEN_MAX)

    def on_root(self, sender: NodeId, root: int) -> list[Send]:
        """A member's root: show it the branches if it is another than here."""
        if root == self._replica.root():
            return []
        return [Send((sender,), Branches(tuple(self._replica.branches())))]

    def on_branches(self, now_ns: int, sender: NodeId, message: Branches) -> list[Send]:
        """Show the leaves of the branches that differ."""
        differing: list[Branch] = []
        for branch, (ours, theirs) in enumerate(zip(self._replica.branches(), message.digests, strict=False)):
            if ours != theirs and self._asked.may_ask(now_ns, _branch_id(branch)):
                differing.append(Branch(branch, tuple(self._replica.leaves(branch)) if ours else ()))
        runs = split(differing, _branch_bytes, self._message_bytes_max)
        return [Send((sender,), Leaves(tuple(run)), lane) for run, lane in runs]

    def on_leaves(self, now_ns: int, sender: NodeId, message: Leaves) -> list[Send]:
        """Give what the sender has nothing of; show the stamps where both hold something, or where only it does."""
        give: list[int] = []
        show: list[int] = []
        for part in message.branches:
            theirs = part.digests or _EMPTY
            may_ask: bool | None = None
            for leaf, (our, their) in enumerate(zip(self._replica.leaves(part.branch), theirs, strict=False)):
                if our == their:
                    continue
                place = part.branch * DIGEST_FANOUT + leaf
                if not their:
                    give.append(place)
                elif our:
                    show.append(place)
                else:
                    if may_ask is None:
                        may_ask = self._asked.may_ask(now_ns, _branch_id(part.branch))
                    if may_ask:
                        show.append(place)
        sends = self._give_once(now_ns, sender, give) if give else []
        return sends + self._show(sender, show)

    def on_stamps(self, now_ns: int, sender: NodeId, message: Stamps) -> list[Send]:
        """Give what the sender lacks in these leaves, ask for what is lacking here."""
        theirs = dict(message.entries)
        sends: list[Send] = []
        lacking = [key for key, stamp in self._pairs(message.leaves) if theirs.get(key, -1) < stamp]
        if lacking:
            sends += self._giver.give(now_ns, sender, self._items(lacking))
        wanted: list[str] = []
        for key, stamp in theirs.items():
            held = self._replica.get(key)
            if (held is None or held.stamp < stamp) and self._asked.may_ask(now_ns, version_id(key, stamp)):
                wanted.append(key)
        runs = split(wanted, _key_bytes, self._message_bytes_max)
        return sends + [Send((sender,), Want(tuple(run)), lane) for run, lane in runs]

    def on_want(self, now_ns: int, sender: NodeId, message: Want) -> list[Send]:
        """Give what is asked for."""
        return self._giver.give(now_ns, sender, self._items(dict.fromkeys(message.keys)))

    def _show(self, sender: NodeId, places: Iterable[int]) -> list[Send]:
        """The stamps of some leaves, as many leaves as one message (or a few datagrams) can hold."""
        shown: list[tuple[int, tuple[tuple[str, int], ...]]] = []
        left = self._message_bytes_max
        for place in places:
            entries = tuple(self._replica.stamps(*divmod(place, DIGEST_FANOUT)).items())
            left -= _leaf_bytes((place, entries))
            if shown and left < 0:
                break
            shown.append((place, entries))
        sends = []
        for run, lane in split(shown, _leaf_bytes, self._message_bytes_max):
            leaves = tuple(place for place, _ in run)
            sends.append(Send((sender,), Stamps(leaves, tuple(e for _, entries in run for e in entries)), lane))
        return sends

    def _pairs(self, places: Iterable[int]) -> Iterator[tuple[str, int]]:
        scanned = 0
        for place in dict.fromkeys(places):
            stamps: Mapping[str, int] = self._replica.stamps(*divmod(place, DIGEST_FANOUT))
            yield from stamps.items()
            scanned += len(stamps)
            if scanned > SCANNED_KEYS_MAX:
                return

    def _keys(self, places: Iterable[int]) -> Iterator[str]:
        return (key for key, _ in self._pairs(places))

    def _give_once(self, now_ns: int, to: NodeId, places: Iterable[int]) -> list[Send]:
        """Give what is held in some leaves but for what is on its way there: it asks again before it has got all."""
        recipient, given, on_its_way = hash_of(to), list[Carried](), self._given

        def id_of(carried: Carried) -> int:
            return version_id(carried.item.key, carried.item.stamp) ^ recipient

        items = (each for each in self._items(self._keys(places)) if on_its_way.is_free(now_ns, id_of(each)))
        sends = self._giver.give(now_ns, to, items, given=given)
        for carried in given:
            on_its_way.may_ask(now_ns, id_of(carried))
        return sends

    def _items(self, keys: Iterable[str]) -> Iterator[Carried]:
        for key in keys:
            item = self._replica.get(key)
            if item is not None:
                yield Carried(item, 1)


def _branch_id(branch: int) -> int:
    return -1 - branch  # apart from the ids of versions


def _branch_bytes(branch: Branch) -> int:
    return _HEAD_BYTES + _DIGEST_BYTES * len(branch.digests)


def _key_bytes(key: str) -> int:
    return 3 + text_bytes(key)


def _leaf_bytes(leaf: tuple[int, tuple[tuple[str, int], ...]]) -> int:
    return _HEAD_BYTES + sum(_key_bytes(key) + 1 + _DIGEST_BYTES for key, _ in leaf[1])
