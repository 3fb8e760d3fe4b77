"""Epidemic gossip: news is pushed on arrival, what a push missed is repaired by comparing (Demers et al. 1987).

Push: a node that hears of an item for the first time sends it on at once, to `fanout` members, and then never again
("infect and die"): its retransmit budget is `fanout`, so an item costs a pool `fanout` copies for each member. When
items come thick, they are collected for a moment and leave together.

Repair: each interval a node compares with the next on the ring and with one chosen member; see `kept_repair` and
`message_repair`. When nothing is new for some rounds, the interval grows, to `REST_NS` at most. An item that
came by repair is news to others as well, so it is pushed on, unless there are so many that this is a new member
being filled.

    on_publish, on_message(News) -> Pusher -> News to the targets of the selection
    exchange (by time)           -> Digest -> the answers named in `messages`
"""

from collections.abc import Iterable, Sequence

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
from mpreg_gossip_epidemic.giving import Asked, Giver
from mpreg_gossip_epidemic.kept_repair import KeptRepair
from mpreg_gossip_epidemic.message_repair import MessageRepair
from mpreg_gossip_epidemic.messages import (
    Branches,
    Carried,
    Digest,
    EpidemicMessage,
    Ids,
    Leaves,
    News,
    Packed,
    Pull,
    Stamps,
    Want,
)
from mpreg_gossip_epidemic.options import EpidemicOptions
from mpreg_gossip_epidemic.packing import text_bytes, unpack
from mpreg_gossip_epidemic.peers import Peers
from mpreg_gossip_epidemic.pushing import Pusher
from mpreg_gossip_epidemic.recent import Recent, Seen, version_id
from mpreg_gossip_epidemic.selection import (
    Selection,
    exchange_target,
    must_cross,
    ring_target,
)

HOPS_MAX = 64
"""An item that came so far is not sent on: its way through any pool is shorter, so something is wrong with it."""

PUSH_REPAIRED_MAX = 64
"""Items of one repair message that are pushed on."""

BUSY_ROUNDS = 3
REST_NS = 8 * NS_PER_S
QUIET_ROUNDS_MAX = 32
"""After `BUSY_ROUNDS` rounds without anything new the interval doubles each round, up to `REST_NS`."""

FILL_NS = 20 * NS_PER_MS
"""A node that finds itself new in a pool makes its first exchange within this time, and the next ones as quickly."""

HOLD_INTERVALS = 8
HOLD_NS_MIN = 10_000 * NS_PER_MS
"""Messages are held for the greater of the two, and shown to others for half of it."""


class EpidemicCounters(Struct):
    """Counts since the machine was created."""

    delivered: int = 0
    duplicates: int = 0
    stale: int = 0
    malformed: int = 0
    exchanges: int = 0
    in_sync: int = 0  # digests that came in and were equal
    differing: int = 0


class EpidemicSnapshot(Struct, frozen=True):
    """What `EpidemicMachine.snapshot` gives.

    `waiting`, `seen` and `recent` are lengths now, the rest counts: `pushed` items times their targets, `dropped` ones
    that the queue had no room for, `given` items for repair, `refused` repairs put off for lack of budget.
    """

    counters: dict[str, int]
    live: int
    failed: int
    waiting: int
    pushed: int
    dropped: int
    seen: int
    recent: int
    given: int
    refused: int
    quiet_rounds: int


class EpidemicMachine:
    """One node's gossip in one pool. All four strategies are this machine; `selection` tells them apart."""

    def __init__(self, context: GossipContext, options: EpidemicOptions, selection: Selection) -> None:
        self._options = options
        self._selection = selection
        self._rng = context.rng
        self._replica = context.replica
        self._interval_ns = ns(options.interval)
        self._peers = Peers(context.me, selection.ranks)
        self._pusher = Pusher(context.now_ns, options, selection, self._peers, context.rng)
        self._seen = Seen()
        self._recent = Recent(max(HOLD_INTERVALS * self._interval_ns, HOLD_NS_MIN))
        self._giver = Giver(context.now_ns, options)
        self._asked = Asked(self._interval_ns // 2)
        size = options.max_message_size
        self._kept = KeptRepair(context.replica, self._giver, self._asked, size)
        self._messages = MessageRepair(self._recent, self._seen, self._giver, self._asked, size)
        self._counters = EpidemicCounters()
        self._exchange_ns: int | None = None
        self._fill: tuple[int, NodeId | None] | None = None  # when to make an extra exchange, and with whom
        self._quiet_rounds = 0

    # the contract

    def on_members(self, now_ns: int, members: Sequence[Member]) -> Effects:
        """A node that finds more new members than old ones is new itself: it compares at once, with anyone."""
        known = len(self._peers.live)
        joined = self._peers.update(members)
        if joined:
            self._stir(now_ns)
            if joined > known and self._fill is None:
                self._fill = (now_ns + 1 + int(self._rng.random() * FILL_NS), None)
        return NOTHING

    def on_round_trip(self, now_ns: int, peer: NodeId, rtt_ns: int) -> Effects:
        """What proximity goes by."""
        self._peers.measured(peer, rtt_ns)
        return NOTHING

    def on_publish(self, now_ns: int, item: Item) -> Effects:
        """Push it. What was pushed from here before is not pushed again."""
        id_ = version_id(item.key, item.stamp)
        if id_ in self._seen:
            return NOTHING
        carried = Carried(item, 1)
        self._remember(now_ns, id_, carried)
        self._pusher.add(carried, None, self._selection.crosses)
        self._stir(now_ns)
        return self._pusher.push(now_ns)

    def on_message(self, now_ns: int, sender: NodeId, message: EpidemicMessage) -> Effects:
        """One branch for each message."""
        match message:
            case News():
                return self._on_news(now_ns, sender, message)
            case Digest():
                return self._on_digest(now_ns, sender, message)
            case Packed():
                news = unpack(message)
                if news is None:
                    self._counters.malformed += 1
                    return NOTHING
                return self._on_news(now_ns, sender, news)
            case Branches():
                return self._kept.on_branches(now_ns, sender, message)
            case Leaves():
                return self._kept.on_leaves(now_ns, sender, message)
            case Stamps():
                return self._kept.on_stamps(now_ns, sender, message)
            case Want():
                return self._kept.on_want(now_ns, sender, message)
            case Ids():
                return self._messages.on_ids(now_ns, sender, message)
            case Pull():
                return self._messages.on_pull(now_ns, sender, message)

    def on_deadline(self, now_ns: int) -> Effects:
        """Push what waits, fill, compare: whatever is due, once."""
        effects: list[Effect] = []
        if self._pusher.due_ns is not None and self._pusher.due_ns <= now_ns:
            effects += self._pusher.flush(now_ns)
        if self._fill is not None and self._fill[0] <= now_ns:
            peer, self._fill = self._fill[1], None
            effects += self._compare(now_ns, [peer or exchange_target(self._selection, self._peers, self._rng)])
        if self._exchange_ns is not None and self._exchange_ns <= now_ns:
            effects += self._exchange(now_ns)
        return effects

    def next_deadline(self) -> int | None:
        """The earliest of the three."""
        fill_ns = self._fill and self._fill[0]
        due = [due_ns for due_ns in (self._pusher.due_ns, fill_ns, self._exchange_ns) if due_ns is not None]
        return min(due, default=None)

    def on_leave(self, now_ns: int) -> Effects:
        """Push what waits."""
        return self._pusher.flush(now_ns)

    def snapshot(self) -> EpidemicSnapshot:
        """Counts and lengths."""
        return EpidemicSnapshot(
            counters={name: getattr(self._counters, name) for name in EpidemicCounters.__struct_fields__},
            live=len(self._peers.live),
            failed=len(self._peers.failed),
            waiting=len(self._pusher.outgoing),
            pushed=self._pusher.copies,
            dropped=self._pusher.outgoing.dropped,
            seen=len(self._seen),
            recent=len(self._recent),
            given=self._giver.items,
            refused=self._giver.refusals,
            quiet_rounds=self._quiet_rounds,
        )

    # news

    def _on_news(self, now_ns: int, sender: NodeId, news: News) -> Effects:
        effects: list[Effect] = []
        taken: set[int] = set()
        newer: list[Carried] = []
        push = not news.repair or len(news.items) <= PUSH_REPAIRED_MAX
        for carried in news.items:
            item = carried.item
            if not _is_sound(item):
                self._counters.malformed += 1
                continue
            id_ = version_id(item.key, item.stamp)
            seen = id_ in self._seen
            # A kept item that repair brings was lost here after it was seen: it is taken, but not pushed again.
            if seen and (id_ in taken or not (news.repair and item.kept)):
                self._counters.duplicates += 1
            elif not self._replica.is_news(item):
                self._counters.stale += 1
                if news.repair and item.kept:
                    newer += self._newer(item)
            else:
                taken.add(id_)
                effects.append(Emit(_delivered(carried)))
                onward = Carried(item, carried.hops + 1)
                self._remember(now_ns, id_, onward)
                if push and not seen and carried.hops < HOPS_MAX:
                    self._pusher.add(onward, sender, self._must_cross(sender, news, carried))
        if newer:
            effects += self._giver.give(now_ns, sender, newer, repair=False)
        if taken:
            self._counters.delivered += len(taken)
            self._learned(now_ns, sender, news, len(taken))
            effects += self._pusher.push(now_ns)
        return effects

    def _newer(self, stale: Item) -> list[Carried]:
        """What is held instead of a version that repair brought in vain: the other side did not know which is newer."""
        held = self._replica.get(stale.key)
        return [] if held is None or held.stamp == stale.stamp else [Carried(held, 1)]

    def _must_cross(self, sender: NodeId, news: News, carried: Carried) -> bool:
        return not news.repair and must_cross(self._selection, self._peers, self._options.fanout, sender, carried.hops)

    def _learned(self, now_ns: int, sender: NodeId, news: News, count: int) -> None:
        """Something was new. Where much was missing, more may be: go on with the same member, or with another."""
        self._stir(now_ns)
        if not news.repair:
            return
        if news.more:
            self._asked.clear()
            self._fill = (now_ns + 1, sender)
        elif count > PUSH_REPAIRED_MAX and self._fill is None:
            self._fill = (now_ns + 1 + int(self._rng.random() * FILL_NS), None)

    def _remember(self, now_ns: int, id_: int, carried: Carried) -> None:
        if id_ in self._seen:
            return
        self._seen.add(id_)
        if not carried.item.kept:
            self._recent.add(now_ns, id_, carried)

    # exchange

    def _stir(self, now_ns: int) -> None:
        """Something is new: compare within an interval from now, and for some rounds."""
        self._quiet_rounds = 0
        if self._exchange_ns is None or self._exchange_ns > now_ns + self._interval_ns:
            self._exchange_ns = now_ns + 1 + int(self._rng.random() * self._interval_ns)

    def _exchange(self, now_ns: int) -> list[Effect]:
        peers, rng = self._peers, self._rng
        self._recent.expire(now_ns)
        rest = min(1 << max(0, self._quiet_rounds - BUSY_ROUNDS), max(1, REST_NS // self._interval_ns))
        self._quiet_rounds = min(self._quiet_rounds + 1, QUIET_ROUNDS_MAX)
        # At rest the ring takes turns with the chosen member: one small datagram a round.
        targets: list[NodeId | None] = []
        if rest == 1 or rng.random() < 0.5:
            targets.append(ring_target(self._selection, peers))
        if rest == 1 or not targets:
            targets.append(exchange_target(self._selection, peers, rng))
        # Who is taken for dead may only be cut off: as each side asks as many of the other as it misses, a healed
        # partition is found out in an interval, and one dead member costs the pool one datagram.
        failed = len(peers.failed)
        if failed and rng.random() * (failed + len(peers.live)) < failed:
            targets.append(rng.choice(peers.failed))
        if not peers.live and not failed:
            self._exchange_ns = None
            return []
        self._exchange_ns = now_ns + max(1, int(self._interval_ns * rest * (0.75 + 0.5 * rng.random())))
        return self._compare(now_ns, targets)

    def _compare(self, now_ns: int, targets: Iterable[NodeId | None]) -> list[Effect]:
        to = tuple(dict.fromkeys(peer for peer in targets if peer is not None))
        if not to:
            return []
        self._counters.exchanges += len(to)
        return [Send(to, Digest(self._replica.root(), self._recent.slices(now_ns)))]

    def _on_digest(self, now_ns: int, sender: NodeId, message: Digest) -> Effects:
        sends = self._kept.on_root(sender, message.root) + self._messages.on_digest(now_ns, sender, message)
        if sends:
            self._counters.differing += 1
            self._stir(now_ns)
        else:
            self._counters.in_sync += 1
        return sends


def _is_sound(item: Item) -> bool:
    return (
        URGENT <= item.priority <= BULK
        and 0 <= item.stamp < 1 << 63
        and len(item.payload) <= ITEM_BYTES_MAX
        and 0 < text_bytes(item.key) <= KEY_BYTES_MAX
        and len(item.origin) <= KEY_BYTES_MAX
    )


def _delivered(carried: Carried) -> Delivered:
    item = carried.item
    return Delivered(
        item.key, item.stamp, item.payload, item.origin, item.born_ms, carried.hops, item.kept, item.priority
    )
