"""What an outsider sees of a run: answers, decisions, accusations, times. The checkers judge by it alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from mpreg_core.contracts.events import Decided, MemberChanged, StateChanged
from mpreg_core.ids import NodeId, PoolId
from mpreg_core.sim.faults import KINDS, Fault
from mpreg_core.sim.fleet import Fleet
from mpreg_core.sim.world import SimNode
from mpreg_core.units import seconds

SPREAD_SAMPLES_MAX = 200_000
DETECT_S = 30.0
"""Who is dead so long, while somebody of its pools lives, must have been found out."""


class Asked(Struct, frozen=True):
    """A request or proposal of the workload: who asked, when, and by when it had to be answered (world time).

    `kind` is "request" or "proposal"; `what` is for people; `subject` the request's payload, or the proposal's pool and
    key.
    """

    at: NodeId
    token: int
    life: int
    begun_s: float
    due_s: float
    kind: str
    what: str
    subject: str = ""


@dataclass
class Seen:
    """What a run left to look at.

    `outcomes` are by node, life and token: when, and what. `decided` are all commits with the node that saw them, over
    all its lives; `accused` who was failed by whom and when, though it was not dead; `missed` who was dead for long and
    never found out. `last` is the status of the proposals after the faults, `grown` what grew at rest.
    """

    fleet: Fleet
    asked: list[Asked] = field(default_factory=list)
    outcomes: dict[tuple[NodeId, int, int], tuple[float, object]] = field(default_factory=dict)
    decided: list[tuple[NodeId, Decided]] = field(default_factory=list)
    accused: list[tuple[float, NodeId, NodeId]] = field(default_factory=list)
    excused: set[NodeId] = field(default_factory=set)
    missed: list[tuple[NodeId, float]] = field(default_factory=list)
    written: dict[str, object] = field(default_factory=dict)
    last: dict[NodeId, str] = field(default_factory=dict)
    healed_s: float | None = None
    grown: dict[NodeId, tuple[int, int]] = field(default_factory=dict)


class Observer:
    """Looks at a fleet while it runs. `detection_s` and `spread_s` are samples for histograms."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.seen = Seen(fleet)
        self.detection_s: list[float] = []
        self.spread_s: list[float] = []
        self._down_s: dict[NodeId, float] = {}
        self._fellows: dict[NodeId, Sequence[NodeId]] = {}
        self._detected: set[NodeId] = set()
        self._writes: dict[str, tuple[int, set[NodeId]]] = {}

    @property
    def now_s(self) -> float:
        """The world's time."""
        return seconds(self.fleet.world.now_ns)

    def on_fault(self, fault: Fault, nodes: Sequence[NodeId], *, ends: bool) -> None:
        """A fault begins or ends: who may be taken for dead from now on, and who is."""
        kind = KINDS[fault.kind]
        if kind.blames != "nobody":
            self.seen.excused |= set(self.fleet.world.nodes if kind.blames == "anyone" else nodes)
        if not kind.kills:
            return
        for node in nodes:
            if ends:
                self._risen(node)
            elif self.fleet.world.nodes[node].alive and node not in self._down_s:
                self._down_s[node] = self.now_s
                self._fellows[node] = self._fellows_of(node)

    def on_write(self, at: NodeId, key: str, value: object) -> None:
        """The workload is about to write."""
        self.seen.written[key] = value
        self._writes[key] = (self.fleet.world.now_ns, {at})

    def collect(self, node: SimNode) -> None:
        """Take over what a node saw since it was last looked at."""
        for occurrence in node.events:
            event = occurrence.event
            if isinstance(event, StateChanged):
                self._on_state(node.id, event.key, occurrence.at_ns)
            elif isinstance(event, Decided):
                self.seen.decided.append((node.id, event))
            elif isinstance(event, MemberChanged) and event.change == "failed":
                self._accuse(node.id, occurrence.pool, event.member.id, seconds(occurrence.at_ns))
        node.events.clear()
        for token, result in node.results.items():
            self.seen.outcomes.setdefault((node.id, node.life, token), (self.now_s, result))
        node.results.clear()

    def _on_state(self, at: NodeId, key: str, at_ns: int) -> None:
        begun_ns, reached = self._writes.get(key, (0, set()))
        if begun_ns and at not in reached and at_ns >= begun_ns and len(self.spread_s) < SPREAD_SAMPLES_MAX:
            reached.add(at)
            self.spread_s.append(seconds(at_ns - begun_ns))

    def _accuse(self, by: NodeId, pool: PoolId, who: NodeId, at_s: float) -> None:
        down_s = self._down_s.get(who)
        if down_s is None:
            node = self.fleet.world.nodes.get(who)
            is_there = node is not None and node.alive and pool in node.core.state.stacks
            if node is not None and is_there and node.core.state.life != "stopped":  # else it left, unheard
                self.seen.accused.append((at_s, by, who))
        elif who not in self._detected:
            self._detected.add(who)
            self.detection_s.append(max(0.0, at_s - down_s))

    def _fellows_of(self, node: NodeId) -> Sequence[NodeId]:
        """The members of its pools when it died."""
        stacks = self.fleet.world.nodes[node].core.state.stacks.values()
        return sorted({member.id for stack in stacks for member in stack.table.present()} - {node})

    def _risen(self, node: NodeId) -> None:
        down_s = self._down_s.pop(node, None)
        if down_s is None:
            return
        nodes = self.fleet.world.nodes
        alone = all(
            fellow in self._down_s or fellow not in nodes or not nodes[fellow].alive
            for fellow in self._fellows.pop(node)
        )
        if self.now_s - down_s >= DETECT_S and node not in self._detected and not alone:
            self.seen.missed.append((node, self.now_s - down_s))
        self._detected.discard(node)
