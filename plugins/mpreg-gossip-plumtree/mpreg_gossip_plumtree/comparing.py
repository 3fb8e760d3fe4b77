"""Anti-entropy: what the tree lost altogether is found by comparing one number with a random member."""

from collections.abc import Iterable, Sequence

from mpreg_core import Effect, Item, NodeId, Replica, Send
from mpreg_gossip_plumtree.messages import PARTS_MAX, Carried, Differs, Digest, Gossip, Graft, Stamps
from mpreg_gossip_plumtree.recent import Recent, digest

GIVE_BYTES_MAX = 256 * 1024
STAMPS_MAX = 4 * PARTS_MAX
_ITEM_OVERHEAD = 48


class Comparing:
    """One node's side, whichever it is: each answer follows from what is held at that moment."""

    def __init__(self, replica: Replica, recent: Recent, message_bytes_max: int) -> None:
        self._replica = replica
        self._recent = recent
        self._message_bytes_max = message_bytes_max

    def digest(self) -> Digest:
        """What is shown to others."""
        since_ms, until_ms = self._recent.window()
        return Digest(self._replica.root(), since_ms, until_ms, digest(self._recent.messages(since_ms, until_ms)))

    def on_digest(self, sender: NodeId, theirs: Digest) -> list[Effect]:
        """Say what differs; nothing if nothing does."""
        ids = self._recent.messages(theirs.since_ms, theirs.until_ms)
        roots_differ = theirs.root != self._replica.root()
        if not roots_differ and digest(ids) == theirs.messages:
            return []
        branches = tuple(self._replica.branches()) if roots_differ else ()
        return [Send((sender,), Differs(branches, tuple(ids)), "stream")]

    def on_differs(self, sender: NodeId, theirs: Differs) -> list[Effect]:
        """Give messages that the other lacks, fetch those that are lacking here, show the stamps that differ."""
        since_ms, until_ms = self._recent.window()
        known = set(theirs.ids)
        ours = [id_ for id_ in self._recent.messages(since_ms, until_ms) if id_ not in known]
        effects = self.give(sender, (carried for id_ in ours if (carried := self._recent.get(id_)) is not None))
        lacking = tuple(id_ for id_ in theirs.ids if id_ not in self._recent)
        if lacking:
            effects.append(Send((sender,), Graft(lacking), "stream"))
        branches = enumerate(zip(self._replica.branches(), theirs.branches, strict=False))
        wrong = tuple(at for at, (our, their) in branches if our != their)
        if wrong:
            effects.append(Send((sender,), Stamps(wrong, self._stamps(wrong)), "stream"))
        return effects

    def on_stamps(self, sender: NodeId, theirs: Stamps) -> list[Effect]:
        """Give what differs there; show ours once, so that the other side does the same."""
        ours = self._stamps(theirs.branches)
        keys = [key for key, stamp in ours.items() if theirs.stamps.get(key) != stamp]
        items = (item for key in keys if (item := self._replica.get(key)) is not None)
        effects = self.give(sender, (Carried(item, 1) for item in items))
        if not theirs.answer and any(ours.get(key) != stamp for key, stamp in theirs.stamps.items()):
            effects.append(Send((sender,), Stamps(theirs.branches, ours, True), "stream"))
        return effects

    def give(self, to: NodeId, items: Iterable[Carried]) -> list[Effect]:
        """Items for repair, up to `GIVE_BYTES_MAX`; what is left is found by the next comparison."""
        chosen: list[Carried] = []
        room = GIVE_BYTES_MAX
        for carried in items:
            room -= _size(carried.item)
            if chosen and (room < 0 or len(chosen) >= PARTS_MAX):
                break
            chosen.append(carried)
        return [Send((to,), Gossip(tuple(run), True), "stream") for run in runs(chosen, self._message_bytes_max)]

    def _stamps(self, branches: Iterable[int]) -> dict[str, int]:
        found: dict[str, int] = {}
        for branch in dict.fromkeys(branches):
            for leaf, held in enumerate(self._replica.leaves(branch)):
                if held and len(found) < STAMPS_MAX:
                    found.update(self._replica.stamps(branch, leaf))
        return dict(list(found.items())[:STAMPS_MAX])


def runs(items: Sequence[Carried], bytes_max: int) -> list[list[Carried]]:
    """The items in their order, so many to a message as it may hold; a larger one is alone."""
    made: list[list[Carried]] = []
    room = 0
    for carried in items:
        size = _size(carried.item)
        if not made or size > room or len(made[-1]) >= PARTS_MAX:
            made.append([])
            room = bytes_max
        made[-1].append(carried)
        room -= size
    return made


def _size(item: Item) -> int:
    return _ITEM_OVERHEAD + len(item.payload) + len(item.key) + len(item.origin)
