"""The strategy: items run down the tree, announcements over the other links, comparisons with anyone close the rest."""

from collections.abc import Sequence

from msgspec import Struct

from mpreg_core import (
    BULK,
    NOTHING,
    NS_PER_MS,
    NS_PER_S,
    URGENT,
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
from mpreg_core.limits import ITEM_BYTES_MAX, KEY_BYTES_MAX
from mpreg_gossip_plumtree.comparing import Comparing, runs
from mpreg_gossip_plumtree.links import Links
from mpreg_gossip_plumtree.messages import (
    Carried,
    Differs,
    Digest,
    Gossip,
    Graft,
    IHave,
    Link,
    Linked,
    PlumtreeMessage,
    Prune,
    Stamps,
    Unlink,
)
from mpreg_gossip_plumtree.options import PlumtreeOptions
from mpreg_gossip_plumtree.recent import Recent, version_id
from mpreg_gossip_plumtree.tree import Tree

HOPS_MAX = 64
COLLECT_NS = 5 * NS_PER_MS
"""Items that come so soon after others are sent on together."""

WAITING_MAX = 4096
BUSY_ROUNDS = 3
REST_NS = 8 * NS_PER_S
QUIET_ROUNDS_MAX = 32
"""After `BUSY_ROUNDS` rounds without anything new the interval doubles each round, up to `REST_NS`."""

FILL_NS = 20 * NS_PER_MS
"""A node that is new in a pool compares within this time."""


class PlumtreeSnapshot(Struct, frozen=True):
    """Links of the tree and beside it, items that wait or are awaited, and counts since the start."""

    live: int
    eager: int
    lazy: int
    waiting: int
    missing: int
    recent: int
    delivered: int
    duplicates: int
    malformed: int
    dropped: int
    grafts: int
    prunes: int


class Plumtree:
    """One node's gossip in one pool."""

    def __init__(self, context: GossipContext, options: PlumtreeOptions) -> None:
        self._rng = context.rng
        self._replica = context.replica
        self._options = options
        self._interval_ns = ns(options.interval)
        self._links = Links(context.me.id, options.links, context.now_ns, context.rng)
        self._tree = Tree(ns(options.graft_timeout))
        self._recent = Recent()
        self._comparing = Comparing(context.replica, self._recent, options.max_message_size)
        self._waiting: dict[NodeId, list[Carried]] = {}  # by whom they came from: they do not go back
        self._waits = 0
        self._sent_ns = context.now_ns - COLLECT_NS
        self._flush_ns: int | None = None
        self._seek_ns = context.now_ns
        self._compare_ns = context.now_ns + self._interval_ns
        self._quiet_rounds = 0
        self._delivered = self._duplicates = self._malformed = self._dropped = 0

    # the contract

    def on_members(self, now_ns: int, members: Sequence[Member]) -> Effects:
        """Links of the dead are made up for at once; a node that is new compares at once."""
        was_alone = not self._links.live
        lost = self._links.update(members)
        for peer in lost:
            self._tree.unlink(peer)
        if was_alone and self._links.live:
            self._compare_ns = min(self._compare_ns, now_ns + 1 + int(self._rng.random() * FILL_NS))
        return self._seek(now_ns) if lost or was_alone else NOTHING

    def on_round_trip(self, now_ns: int, peer: NodeId, rtt_ns: int) -> Effects:
        """The links are chosen by chance: that keeps the overlay whole."""
        return NOTHING

    def on_publish(self, now_ns: int, item: Item) -> Effects:
        """Down the tree."""
        id_ = version_id(item.key, item.stamp)
        if id_ in self._recent:
            return NOTHING
        self._take(now_ns, id_, Carried(item, 1), "")
        return self._send_on(now_ns)

    def on_message(self, now_ns: int, sender: NodeId, message: PlumtreeMessage) -> Effects:
        """One branch for each message."""
        match message:
            case Gossip():
                effects = self._on_gossip(now_ns, sender, message)
                return effects if message.repair else [*effects, *self._links.settle(sender)]
            case IHave():
                if sender not in self._links.linked:
                    return self._links.settle(sender)
                self._tree.on_announced(now_ns, sender, (id_ for id_ in message.ids if id_ not in self._recent))
            case Graft():
                return self._on_graft(sender, message)
            case Prune():
                self._tree.on_prune(sender)
            case Digest():
                return self._comparing.on_digest(sender, message)
            case Differs():
                self._stir(now_ns)
                return self._comparing.on_differs(sender, message)
            case Stamps():
                return self._comparing.on_stamps(sender, message)
            case Link() | Linked() | Unlink():
                return self._on_overlay(now_ns, sender, message)
        return NOTHING

    def on_deadline(self, now_ns: int) -> Effects:
        """Send what waits, fetch what did not come, seek links, compare: whatever is due."""
        effects: list[Effect] = []
        if self._flush_ns is not None and self._flush_ns <= now_ns:
            effects += self._flush(now_ns)
        fetch_ns = self._tree.due_ns()
        if fetch_ns is not None and fetch_ns <= now_ns:
            effects += self._tree.fetch(now_ns)
        if self._seek_ns <= now_ns:
            effects += self._seek(now_ns)
        if self._compare_ns <= now_ns:
            effects += self._compare(now_ns)
        return effects

    def next_deadline(self) -> int | None:
        """The earliest of the four."""
        best = min(self._seek_ns, self._compare_ns)
        for due_ns in (self._flush_ns, self._tree.due_ns()):
            if due_ns is not None and due_ns < best:
                best = due_ns
        return best

    def on_leave(self, now_ns: int) -> Effects:
        """Send what waits, let the neighbours look for others."""
        effects = self._flush(now_ns)
        for peer in list(self._links.linked):
            effects += self._links.drop(peer)
        return effects

    def snapshot(self) -> PlumtreeSnapshot:
        """Counts and lengths."""
        return PlumtreeSnapshot(
            live=len(self._links.live),
            eager=len(self._tree.eager),
            lazy=len(self._tree.lazy),
            waiting=self._waits,
            missing=len(self._tree),
            recent=len(self._recent),
            delivered=self._delivered,
            duplicates=self._duplicates,
            malformed=self._malformed,
            dropped=self._dropped,
            grafts=self._tree.grafts,
            prunes=self._tree.prunes,
        )

    # the tree

    def _on_gossip(self, now_ns: int, sender: NodeId, message: Gossip) -> Effects:
        effects: list[Effect] = []
        news = 0
        for carried in message.items:
            item = carried.item
            if not _is_sound(item):
                self._malformed += 1
                continue
            id_ = version_id(item.key, item.stamp)
            effects += self._tree.arrived(id_, by_tree=not message.repair)
            # A kept item that repair brings was lost here after it was seen: it is taken again.
            if (id_ in self._recent and not (message.repair and item.kept)) or not self._replica.is_news(item):
                self._duplicates += 1
                continue
            news += 1
            effects.append(Emit(_delivered(carried)))
            if id_ not in self._recent:
                self._take(now_ns, id_, Carried(item, carried.hops + 1), sender)
        if news:
            self._delivered += news
            self._stir(now_ns)
            if not message.repair:
                self._tree.brought_news(sender)
            effects += self._send_on(now_ns)
        elif message.items and not message.repair:
            effects += self._tree.brought_nothing_new(sender)
        return effects

    def _take(self, now_ns: int, id_: int, carried: Carried, source: NodeId) -> None:
        """Remember an item, and have it go on."""
        self._recent.add(now_ns, id_, carried)
        if carried.hops > HOPS_MAX:
            return
        if self._waits >= WAITING_MAX:
            self._dropped += 1  # a comparison finds it
            return
        self._waiting.setdefault(source, []).append(carried)
        self._waits += 1
        self._tree.announce(id_, source)

    def _send_on(self, now_ns: int) -> list[Effect]:
        if not self._waits:
            return []
        if now_ns - self._sent_ns >= COLLECT_NS:
            return self._flush(now_ns)
        self._flush_ns = self._sent_ns + COLLECT_NS
        return []

    def _flush(self, now_ns: int) -> list[Effect]:
        effects: list[Effect] = []
        for source, items in self._waiting.items():
            to = tuple(peer for peer in self._tree.eager if peer != source)
            if to:
                items.sort(key=lambda carried: carried.item.priority)
                effects += [Send(to, Gossip(tuple(run))) for run in runs(items, self._options.max_message_size)]
        self._waiting = {}
        self._waits = 0
        self._sent_ns, self._flush_ns = now_ns, None
        return effects + self._tree.flush()

    def _on_graft(self, sender: NodeId, message: Graft) -> Effects:
        if sender in self._links.linked:
            self._tree.link(sender)
        found = (self._recent.get(id_) for id_ in dict.fromkeys(message.ids))
        return self._comparing.give(sender, (carried for carried in found if carried is not None))

    # the overlay

    def _on_overlay(self, now_ns: int, sender: NodeId, message: Link | Linked | Unlink) -> Effects:
        effects: list[Effect] = []
        gone: NodeId | None = None
        match message:
            case Link():
                was_linked = sender in self._links.linked
                effects, gone = self._links.on_link(sender, message.urgent)
                if sender in self._links.linked and not was_linked:
                    self._tree.link(sender)
            case Linked():
                is_new, gone = self._links.on_linked(sender, message.yes)
                if is_new:
                    self._tree.link(sender)
                effects = self._links.drop(gone) if gone is not None else []
                if message.yes:
                    effects += self._links.settle(sender)
            case Unlink():
                if sender in self._links.linked:
                    del self._links.linked[sender]
                    gone = sender
        if gone is not None:
            self._tree.unlink(gone)
        self._seek_ns = max(now_ns + 1, self._links.next_deadline(now_ns))
        return effects

    def _seek(self, now_ns: int) -> list[Effect]:
        effects = self._links.seek(now_ns)
        self._seek_ns = max(now_ns + 1, self._links.next_deadline(now_ns))
        return effects

    # comparing

    def _stir(self, now_ns: int) -> None:
        """Something is new: compare soon, and for some rounds."""
        self._quiet_rounds = 0
        self._compare_ns = min(self._compare_ns, now_ns + 1 + int(self._rng.random() * self._interval_ns))

    def _compare(self, now_ns: int) -> list[Effect]:
        self._recent.expire(now_ns)
        rest = min(1 << max(0, self._quiet_rounds - BUSY_ROUNDS), max(1, REST_NS // self._interval_ns))
        self._quiet_rounds = min(self._quiet_rounds + 1, QUIET_ROUNDS_MAX)
        self._compare_ns = now_ns + 1 + int(self._interval_ns * rest * (0.75 + 0.5 * self._rng.random()))
        peer = self._links.anyone()
        return [Send((peer,), self._comparing.digest())] if peer is not None else []


def _is_sound(item: Item) -> bool:
    return (
        URGENT <= item.priority <= BULK
        and 0 <= item.stamp < 1 << 63
        and len(item.payload) <= ITEM_BYTES_MAX
        and 0 < len(item.key.encode(errors="replace")) <= KEY_BYTES_MAX
        and len(item.origin) <= KEY_BYTES_MAX
    )


def _delivered(carried: Carried) -> Delivered:
    item = carried.item
    return Delivered(
        item.key, item.stamp, item.payload, item.origin, item.born_ms, carried.hops, item.kept, item.priority
    )
