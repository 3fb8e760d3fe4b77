"""The simulated network: when a frame arrives, if it does. All chance comes from one seeded stream."""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from mpreg_core.contracts.members import Coordinates
from mpreg_core.ids import NodeId
from mpreg_core.registry.selection import great_circle_km
from mpreg_core.units import NS_PER_MS, NS_PER_S

KM_PER_S = 200_000
"""Light in glass fibre, about two thirds of its speed in vacuum."""


@dataclass(slots=True)
class Faults:
    """What the network does wrong.

    `loss` is the share of datagrams lost, `duplicate` of those that come twice; `delay_s` and `jitter_s` come on top of
    the way. Streams lose nothing: they are late by a retransmission instead, or broken by a partition.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    delay_s: float = 0.000_2
    jitter_s: float = 0.000_1
    retransmit_s: float = 0.2


class Network:
    """Delays, losses and partitions between named nodes."""

    def __init__(self, rng: Random, faults: Faults | None = None) -> None:
        self._rng = rng
        self.faults = faults or Faults()
        self._places: dict[NodeId, Coordinates] = {}
        self._group: dict[NodeId, int] = {}
        self._blocked: set[tuple[NodeId, NodeId]] = set()
        self._stream_ns: dict[tuple[NodeId, NodeId], int] = {}

    def place(self, node: NodeId, coordinates: Coordinates | None) -> None:
        """Where a node is: far nodes are slow to reach."""
        if coordinates is not None:
            self._places[node] = coordinates

    def partition(self, *groups: Iterable[NodeId]) -> None:
        """Only nodes of one group reach each other; those of no group form one more."""
        self._group = {node: index for index, group in enumerate(groups, 1) for node in group}

    def block(self, source: NodeId, target: NodeId) -> None:
        """Nothing goes from source to target any more; the other way still works."""
        self._blocked.add((source, target))

    def heal(self) -> None:
        """End every partition and block."""
        self._group = {}
        self._blocked = set()

    def connected(self, source: NodeId, target: NodeId) -> bool:
        """True if frames go from source to target."""
        same = self._group.get(source, 0) == self._group.get(target, 0)
        return same and (source, target) not in self._blocked

    def datagram(self, now_ns: int, source: NodeId, target: NodeId) -> list[int]:
        """When copies of a datagram arrive: none, one, or two."""
        if not self.connected(source, target) or self._rng.random() < self.faults.loss:
            return []
        arrivals = [now_ns + self._way_ns(source, target)]
        if self.faults.duplicate and self._rng.random() < self.faults.duplicate:
            arrivals.append(now_ns + self._way_ns(source, target))
        return arrivals

    def stream(self, now_ns: int, source: NodeId, target: NodeId) -> int | None:
        """When a frame of a stream arrives, after those sent before it; None if it never does."""
        if not self.connected(source, target):
            return None
        late_ns = round(self.faults.retransmit_s * NS_PER_S) if self._rng.random() < self.faults.loss else 0
        arrival = now_ns + self._way_ns(source, target) + late_ns
        arrival = max(arrival, self._stream_ns.get((source, target), 0) + 1)
        self._stream_ns[source, target] = arrival
        return arrival

    def round_trip_ns(self, source: NodeId, target: NodeId) -> int:
        """There and back, now."""
        return self._way_ns(source, target) + self._way_ns(target, source)

    def _way_ns(self, source: NodeId, target: NodeId) -> int:
        faults = self.faults
        here, there = self._places.get(source), self._places.get(target)
        far_s = great_circle_km(here, there) / KM_PER_S if here is not None and there is not None else 0.0
        return max(NS_PER_MS // 100, round((far_s + faults.delay_s + self._rng.random() * faults.jitter_s) * NS_PER_S))
