"""The simulated network: when a frame arrives, if it does. All chance comes from one seeded stream."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from mpreg_core.contracts.members import Coordinates
from mpreg_core.ids import NodeId
from mpreg_core.registry.selection import great_circle_km
from mpreg_core.units import NS_PER_MS, NS_PER_S

KM_PER_S = 200_000
"""Light in glass fibre, about two thirds of its speed in vacuum."""

WAY_NS_MIN = NS_PER_MS // 100

FRAME_OVERHEAD_BYTES = 28
"""IP and UDP headers, which take their share of the bandwidth."""


@dataclass(slots=True)
class Faults:
    """What the network does wrong.

    `loss` is the share of datagrams lost, `duplicate` of those that come twice, `reorder` of those that are overtaken
    by up to `reorder_s`. `delay_s` and `jitter_s` come on top of the way. Losses come in bursts of `burst` datagrams
    on average (Gilbert 1960). `bandwidth_bytes_s` bounds what each node sends (0 = no bound). Streams lose nothing:
    they are late by a retransmission instead, or broken by a partition.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_s: float = 0.05
    burst: float = 1.0
    delay_s: float = 0.000_2
    jitter_s: float = 0.000_1
    retransmit_s: float = 0.2
    bandwidth_bytes_s: float = 0.0


@dataclass(slots=True)
class Link:
    """What is wrong beside: from a node (or to it), or of one directed pair. Losses add up, delays too."""

    loss: float = 0.0
    delay_s: float = 0.0


@dataclass
class Network:
    """Delays, losses and partitions between named nodes."""

    rng: Random
    faults: Faults = field(default_factory=Faults)
    slow: dict[NodeId, Link] = field(default_factory=dict)
    links: dict[tuple[NodeId, NodeId], Link] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._places: dict[NodeId, Coordinates] = {}
        self._way_s: dict[tuple[NodeId, NodeId], float] = {}
        self._group: dict[NodeId, int] = {}
        self._blocked: set[tuple[NodeId, NodeId]] = set()
        self._stream_ns: dict[tuple[NodeId, NodeId], int] = {}
        self._free_ns: dict[NodeId, int] = {}
        self._bad: set[tuple[NodeId, NodeId]] = set()

    def place(self, node: NodeId, coordinates: Coordinates | None) -> None:
        """Where a node is: far nodes are slow to reach."""
        if coordinates is not None:
            self._places[node] = coordinates
            self._way_s.clear()

    def partition(self, *groups: Iterable[NodeId]) -> None:
        """Only nodes of one group reach each other; those of no group form one more."""
        self._group = {node: index for index, group in enumerate(groups, 1) for node in group}

    def block(self, source: NodeId, target: NodeId) -> None:
        """Nothing goes from source to target any more; the other way still works."""
        self._blocked.add((source, target))

    def unblock(self, source: NodeId, target: NodeId) -> None:
        """Undo a block."""
        self._blocked.discard((source, target))

    def heal(self) -> None:
        """End every partition and block."""
        self._group = {}
        self._blocked = set()

    def connected(self, source: NodeId, target: NodeId) -> bool:
        """True if frames go from source to target."""
        group = self._group
        if group and group.get(source, 0) != group.get(target, 0):
            return False
        return not self._blocked or (source, target) not in self._blocked

    def datagram(self, now_ns: int, source: NodeId, target: NodeId, size: int = 0) -> tuple[int, ...]:
        """When copies of a datagram of `size` bytes arrive: none, one, or two."""
        if not self.connected(source, target):
            return ()
        faults, rng = self.faults, self.rng
        sent_ns = self._sent(now_ns, source, size)
        if self._is_lost(source, target):
            return ()
        arrival = sent_ns + self._way_ns(source, target)
        if faults.reorder and rng.random() < faults.reorder:
            arrival += round(rng.random() * faults.reorder_s * NS_PER_S)
        if faults.duplicate and rng.random() < faults.duplicate:
            return arrival, sent_ns + self._way_ns(source, target)
        return (arrival,)

    def stream(self, now_ns: int, source: NodeId, target: NodeId, size: int = 0) -> int | None:
        """When a frame of a stream arrives, after those sent before it; None if it never does."""
        if not self.connected(source, target):
            return None
        late_ns = round(self.faults.retransmit_s * NS_PER_S) if self._is_lost(source, target) else 0
        arrival = self._sent(now_ns, source, size) + self._way_ns(source, target) + late_ns
        pair = (source, target)
        arrival = max(arrival, self._stream_ns.get(pair, 0) + 1)
        self._stream_ns[pair] = arrival
        return arrival

    def round_trip_ns(self, source: NodeId, target: NodeId) -> int:
        """There and back, now."""
        return self._way_ns(source, target) + self._way_ns(target, source)

    def _sent(self, now_ns: int, source: NodeId, size: int) -> int:
        """When a frame has left its node: after what waits before it, where bandwidth is bounded."""
        bandwidth = self.faults.bandwidth_bytes_s
        if not bandwidth:
            return now_ns
        begin_ns = max(now_ns, self._free_ns.get(source, 0))
        self._free_ns[source] = begin_ns + round((size + FRAME_OVERHEAD_BYTES) / bandwidth * NS_PER_S)
        return self._free_ns[source]

    def _is_lost(self, source: NodeId, target: NodeId) -> bool:
        loss = self.faults.loss
        if self.slow or self.links:
            loss += sum(link.loss for link in self._wrong(source, target))
        if loss <= 0:
            return False
        if self.faults.burst <= 1:
            return self.rng.random() < loss
        return self._is_bad(source, target, min(loss, 0.99))

    def _is_bad(self, source: NodeId, target: NodeId, loss: float) -> bool:
        """Gilbert's channel: good or bad, left for the other by chance, so that `loss` is the share of bad times."""
        pair, leave_bad = (source, target), 1 / self.faults.burst
        if pair in self._bad:
            if self.rng.random() < leave_bad:
                self._bad.discard(pair)
        elif self.rng.random() < leave_bad * loss / (1 - loss):
            self._bad.add(pair)
        return pair in self._bad

    def _wrong(self, source: NodeId, target: NodeId) -> Iterable[Link]:
        found = (self.slow.get(source), self.slow.get(target), self.links.get((source, target)))
        return (link for link in found if link is not None)

    def _way_ns(self, source: NodeId, target: NodeId) -> int:
        faults = self.faults
        way_s = self._way_s.get((source, target))
        if way_s is None:
            here, there = self._places.get(source), self._places.get(target)
            way_s = great_circle_km(here, there) / KM_PER_S if here is not None and there is not None else 0.0
            self._way_s[source, target] = way_s
        way_s += faults.delay_s + self.rng.random() * faults.jitter_s
        if self.slow or self.links:
            way_s += sum(link.delay_s for link in self._wrong(source, target))
        return max(WAY_NS_MIN, int(way_s * NS_PER_S))
