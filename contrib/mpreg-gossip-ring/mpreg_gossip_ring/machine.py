"""The strategy: what is news goes on to the next members of the ring; now and then a node compares with a random one.

An item stops where it is no news, so it goes around once. What a loss or a dead stretch of the ring swallowed comes by
comparison, which needs one number while nothing differs:

    Digest -> (equal: nothing) | Differs -> Stamps and what was lacking -> Stamps, newer items both ways
"""

from collections import deque
from collections.abc import Iterable, Sequence

from mpreg_core import (
    DIGEST_FANOUT,
    NOTHING,
    Delivered,
    Effect,
    Effects,
    Emit,
    GossipContext,
    Item,
    Member,
    NodeId,
    Send,
    ns,
)
from mpreg_gossip_ring.messages import (
    ITEMS_MAX,
    PASSED_MAX,
    STAMPS_MAX,
    Differs,
    Digest,
    Passed,
    RingMessage,
    RingSnapshot,
    Stamps,
)
from mpreg_gossip_ring.options import RingOptions
from mpreg_gossip_ring.ring import Ring

HOPS_MAX = 60_000
REPAIR_BYTES_MAX = 256 * 1024


class RingGossip:
    """One node's gossip in one pool."""

    def __init__(self, context: GossipContext, options: RingOptions) -> None:
        self._context = context
        self._replica = context.replica
        self._options = options
        self._ring = Ring(context.me.id)
        self._recent: deque[Item] = deque(maxlen=PASSED_MAX)  # messages, which no replica keeps
        self._due_ns = self._next(context.now_ns)
        self._counts = {"passed": 0, "repaired": 0, "duplicates": 0}

    def on_members(self, now_ns: int, members: Sequence[Member]) -> Effects:
        """The dead leave the ring: it closes behind them."""
        for member in members:
            if member.id == self._context.me.id:
                continue
            if member.status in ("alive", "suspect"):
                self._ring.add(member.id)
            else:
                self._ring.discard(member.id)
        return NOTHING

    def on_round_trip(self, now_ns: int, peer: NodeId, rtt_ns: int) -> Effects:
        """A ring does not ask how far anyone is."""
        return NOTHING

    def on_publish(self, now_ns: int, item: Item) -> Effects:
        """Begin its way."""
        return self._pass_on((item,), 1)

    def on_message(self, now_ns: int, sender: NodeId, message: RingMessage) -> Effects:
        """One branch for each message."""
        match message:
            case Passed():
                return self._on_passed(message)
            case Digest():
                return self._on_digest(sender, message)
            case Differs():
                return self._on_differs(sender, message)
            case Stamps():
                return self._on_stamps(sender, message)

    def on_deadline(self, now_ns: int) -> Effects:
        """Compare with anyone."""
        self._due_ns = self._next(now_ns)
        if not len(self._ring):
            return NOTHING
        peer = self._ring.at(self._context.rng.randrange(len(self._ring)))
        return [Send((peer,), Digest(self._replica.root(), self._passed()), "stream")]

    def next_deadline(self) -> int | None:
        """The next comparison."""
        return self._due_ns

    def on_leave(self, now_ns: int) -> Effects:
        """What was published is under way already."""
        return NOTHING

    def snapshot(self) -> RingSnapshot:
        """Counts since the start."""
        return RingSnapshot(len(self._ring), **self._counts)

    # along the ring

    def _on_passed(self, message: Passed) -> Effects:
        news = tuple(dict.fromkeys(item for item in message.items if self._replica.is_news(item)))
        self._counts["duplicates"] += len(message.items) - len(news)
        effects: list[Effect] = [Emit(_delivered(item, message.hops)) for item in news]
        if message.repair:
            self._counts["repaired"] += len(news)
            self._remember(news)
            return effects
        return [*effects, *self._pass_on(news, message.hops + 1)]

    def _pass_on(self, items: tuple[Item, ...], hops: int) -> Effects:
        self._remember(items)
        to = self._ring.successors(self._options.successors)
        if not items or not to or hops > HOPS_MAX:
            return NOTHING
        self._counts["passed"] += len(items) * len(to)
        return [Send(to, Passed(items, hops), "stream")]

    def _remember(self, items: Iterable[Item]) -> None:
        self._recent.extend(item for item in items if not item.kept)

    # comparing

    def _on_digest(self, sender: NodeId, digest: Digest) -> Effects:
        theirs, ours = set(digest.passed), set(self._passed())
        differs = digest.root != self._replica.root()
        if not differs and theirs == ours:
            return NOTHING
        branches = tuple(self._replica.branches()) if differs else ()
        lacks = tuple(stamp for stamp in digest.passed if stamp not in ours)
        return [*self._give(sender, ours - theirs, ()), Send((sender,), Differs(branches, lacks), "stream")]

    def _on_differs(self, sender: NodeId, differs: Differs) -> Effects:
        ours = self._replica.branches()
        wrong = tuple(at for at, (a, b) in enumerate(zip(ours, differs.branches, strict=False)) if a != b)
        effects = list(self._give(sender, set(differs.lacks), ()))
        if wrong:
            effects.append(Send((sender,), Stamps(wrong, self._stamps(wrong)), "stream"))
        return effects

    def _on_stamps(self, sender: NodeId, message: Stamps) -> Effects:
        """Give what is newer here, or missing there; show ours once, so that the other side does the same."""
        known = {branch for branch in message.branches if 0 <= branch < DIGEST_FANOUT}
        ours = self._stamps(sorted(known))
        better = [key for key, stamp in ours.items() if message.stamps.get(key) != stamp]
        effects = list(self._give(sender, (), better))
        if not message.answer and any(ours.get(key) != stamp for key, stamp in message.stamps.items()):
            effects.append(Send((sender,), Stamps(tuple(sorted(known)), ours, True), "stream"))
        return effects

    def _give(self, to: NodeId, messages: Iterable[int], keys: Iterable[str]) -> Effects:
        """Items that the other lacks, as many as one message may carry; it says itself what is news to it."""
        wanted = set(messages)
        items = [item for item in self._recent if item.stamp in wanted]
        items += [item for key in keys if (item := self._replica.get(key)) is not None]
        chosen: list[Item] = []
        room = REPAIR_BYTES_MAX
        for item in items[:ITEMS_MAX]:
            room -= len(item.payload)
            if room < 0 and chosen:
                break
            chosen.append(item)
        return [Send((to,), Passed(tuple(chosen), 1, True), "stream")] if chosen else NOTHING

    def _stamps(self, branches: Iterable[int]) -> dict[str, int]:
        found: dict[str, int] = {}
        for branch in branches:
            for leaf, digest in enumerate(self._replica.leaves(branch)):
                if digest and len(found) < STAMPS_MAX:
                    found.update(self._replica.stamps(branch, leaf))
        return dict(list(found.items())[:STAMPS_MAX])

    def _passed(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(item.stamp for item in self._recent))

    def _next(self, now_ns: int) -> int:
        return now_ns + 1 + int(ns(self._options.interval) * (0.75 + 0.5 * self._context.rng.random()))


def _delivered(item: Item, hops: int) -> Delivered:
    return Delivered(item.key, item.stamp, item.payload, item.origin, item.born_ms, hops, item.kept, item.priority)
