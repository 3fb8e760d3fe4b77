"""The push: what is new here goes at once to the targets of the selection, collected when items come thick."""

from collections.abc import Iterable, Sequence
from random import Random

from mpreg_core import NS_PER_MS, Item, NodeId, Send
from mpreg_gossip_epidemic.messages import Carried, Ids, Stamps
from mpreg_gossip_epidemic.options import EpidemicOptions
from mpreg_gossip_epidemic.outgoing import Outgoing, Waiting
from mpreg_gossip_epidemic.packing import pack
from mpreg_gossip_epidemic.peers import Peers
from mpreg_gossip_epidemic.recent import version_id
from mpreg_gossip_epidemic.selection import Selection, crossing_targets, push_targets

COLLECT_NS = 5 * NS_PER_MS
"""A push waits so long after the one before, unless `batch_size` items wait."""

OFFER_ABOVE = 8 * 1024
"""Items of more bytes are offered, not pushed: each member then gets them once instead of `fanout` times."""


class Pusher:
    """The items that wait, and when they go. `due_ns` is when to flush at the latest; None when nothing waits."""

    def __init__(self, now_ns: int, options: EpidemicOptions, selection: Selection, peers: Peers, rng: Random) -> None:
        self._options = options
        self._selection = selection
        self._peers = peers
        self._rng = rng
        self._pushed_ns = now_ns - COLLECT_NS
        self.outgoing = Outgoing()
        self.due_ns: int | None = None
        self.copies = 0
        """Items sent so far, times their targets."""

    def add(self, carried: Carried, source: NodeId | None, crosses: bool) -> None:
        """Have an item pushed, but not back to `source`. `crosses`: to other regions as well."""
        id_ = version_id(carried.item.key, carried.item.stamp)
        self.outgoing.add(id_, Waiting(carried, source, crosses))

    def push(self, now_ns: int) -> list[Send]:
        """Flush now, or when the time since the last push is up."""
        if not self.outgoing:
            return []
        due_ns = self._pushed_ns + COLLECT_NS
        if due_ns <= now_ns or len(self.outgoing) >= self._options.batch_size:
            return self.flush(now_ns)
        self.due_ns = due_ns
        return []

    def flush(self, now_ns: int) -> list[Send]:
        """Send what waits, up to `max_message_size`; the rest follows after `COLLECT_NS`."""
        waiting = self.outgoing.take(self._options.max_message_size)
        self._pushed_ns = now_ns
        self.due_ns = now_ns + COLLECT_NS if self.outgoing else None
        if not waiting:
            return []
        avoid: tuple[NodeId, ...] = ()
        source = waiting[0].source
        if source is not None and all(each.source == source for each in waiting):
            avoid = (source,)
        fanout = self._options.fanout
        targets = push_targets(self._selection, self._peers, self._rng, fanout, avoid)
        sends = self._send(targets, [each.carried for each in waiting])
        crossing = [each.carried for each in waiting if each.crosses]
        if crossing:
            beyond = crossing_targets(self._peers, self._rng, fanout)
            sends += self._send(tuple(peer for peer in beyond if peer not in (*targets, *avoid)), crossing)
        return sends

    def _send(self, targets: tuple[NodeId, ...], items: Sequence[Carried]) -> list[Send]:
        if not targets:
            return []
        self.copies += len(items) * len(targets)
        small = [carried for carried in items if len(carried.item.payload) <= OFFER_ABOVE]
        sends: list[Send] = []
        if len(small) < len(items):
            large = (carried.item for carried in items if len(carried.item.payload) > OFFER_ABOVE)
            sends += (Send(targets, offer) for offer in _offers(large))
        messages = pack(small, self._options.max_message_size, self._options.compression_enabled)
        sends += (Send(targets, message, lane) for message, lane in messages)
        return sends


def _offers(items: Iterable[Item]) -> Iterable[Stamps | Ids]:
    for item in items:
        if item.kept:
            yield Stamps((), ((item.key, item.stamp),))
        else:
            yield Ids((), (version_id(item.key, item.stamp),))
