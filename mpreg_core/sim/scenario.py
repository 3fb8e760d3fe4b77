"""One run: a fleet forms, works, suffers faults, recovers; then the checkers look at what was seen.

Everything is drawn from the seed, so the same seed gives the same run, frame by frame.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from mpreg_core.contracts.events import Decided, MemberChanged
from mpreg_core.ids import NodeId
from mpreg_core.node.actions import Transmit
from mpreg_core.node.parts import PartsOf
from mpreg_core.sim.checkers import Asked, Seen, violations
from mpreg_core.sim.faults import KINDS, Fault, Schedule, targets_of
from mpreg_core.sim.fleet import Fleet
from mpreg_core.sim.world import SimNode
from mpreg_core.units import seconds

FORM_S = 60.0
"""How long a fleet may take to form before the run begins in earnest."""

RECOVER_S = 120.0
"""How long after the last fault everything must be well again."""

SETTLE_S = 30.0
REQUEST_S, PROPOSAL_S, SLACK_S = 5.0, 10.0, 1.0
WORK_EVERY_S = 0.25
EXCUSE_S = 60.0
"""Who was hurt by a fault may be taken for dead for so long after it ended."""

SAMPLE_S = 0.5
LAST_HUBS_MAX = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: `parts` are the strategies, `shape` as `fleet.parse_shape` gives it."""

    parts: PartsOf
    shape: Sequence[int]
    seed: int
    duration_s: float
    faults: Schedule = ()


@dataclass
class Outcome:
    """What came out. `formed_s` is None if the fleet did not form; `curve` is (time, share of nodes that are ready)."""

    plan: Plan
    nodes: int = 0
    digest: str = ""
    violations: Sequence[tuple[str, str]] = ()
    formed_s: float | None = None
    healed_s: float | None = None
    frames: int = 0
    bytes: int = 0
    virtual_s: float = 0.0
    requests: int = 0
    answered: int = 0
    request_ms: list[float] = field(default_factory=list)
    detection_s: list[float] = field(default_factory=list)
    false_failures: int = 0
    bytes_per_node_s: dict[str, float] = field(default_factory=dict)
    curve: list[tuple[float, float]] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """True if every promise was kept."""
        return self.formed_s is not None and not self.violations


class Run:
    """One scenario under way."""

    def __init__(self, plan: Plan, on_progress: Callable[[float], None] = lambda share: None) -> None:
        self.plan = plan
        self.fleet = Fleet.of_shape(plan.parts, *plan.shape, seed=plan.seed)
        self.world = self.fleet.world
        self.rng = Random(f"{plan.seed}/workload")
        self.outcome = Outcome(plan, len(self.fleet.regions))
        self._on_progress = on_progress
        self._asked: list[Asked] = []
        self._ended: dict[tuple[NodeId, int, int], tuple[float, object]] = {}
        self._decided: list[tuple[NodeId, Decided]] = []
        self._accused: list[tuple[float, NodeId, NodeId]] = []
        self._down_s: dict[NodeId, float] = {}
        self._detected: set[NodeId] = set()
        self._excused: set[NodeId] = set()
        self._written: dict[str, object] = {}
        self._sent: dict[NodeId, int] = {}
        self._last: dict[NodeId, str] = {}
        self._acts = 0
        self._tap()

    @property
    def now_s(self) -> float:
        """The world's time."""
        return seconds(self.world.now_ns)

    def play(self) -> Outcome:
        """Form, work under faults, recover, look. Raises `RunawayError`."""
        outcome, begun_s = self.outcome, self.now_s
        with _rare_collections():
            formed_s = self._until_whole(FORM_S)
            outcome.formed_s = formed_s
            if formed_s is not None:
                self._work(self.now_s)
                outcome.healed_s = self._until_whole(RECOVER_S)
                self._run(SETTLE_S)
                self._decide_again()
        outcome.virtual_s = self.now_s - begun_s
        outcome.digest, outcome.frames, outcome.bytes = self.world.digest(), self.world.frames, self.world.bytes
        self._look()
        return outcome

    def _decide_again(self) -> None:
        """After all is over, a proposal by hubs of each tier: their pools must be able to agree."""
        hubs = [name for name in self.fleet.alive() if self.world.nodes[name].settings.tier != "cluster"]
        asked = [(at, self.fleet.propose(at, "last", 1, PROPOSAL_S)) for at in hubs[:LAST_HUBS_MAX]]
        self._run(PROPOSAL_S + SLACK_S)
        for at, token in asked:
            _, made = self._ended.get((at, self.world.nodes[at].life, token), (0.0, None))
            decided = getattr(made, "decided", None)
            self._last[at] = decided.status if decided is not None else f"no answer ({made!r:.80})"

    def _until_whole(self, timeout_s: float) -> float | None:
        begun_s = self.now_s
        while self.now_s - begun_s < timeout_s:
            if self.fleet.is_whole():
                return self.now_s - begun_s
            self._run(0.05 if self.now_s - begun_s < 5 else SAMPLE_S)
        return None

    def _work(self, begun_s: float) -> None:
        """The faults at their times, and something to do in between."""
        moments = sorted(
            [(begun_s + fault.at_s, 0, fault) for fault in self.plan.faults]
            + [(begun_s + fault.at_s + fault.for_s, 1, fault) for fault in self.plan.faults],
            key=lambda moment: (moment[0], moment[1], str(moment[2])),
        )
        next_s = begun_s
        while self.now_s < begun_s + self.plan.duration_s:
            while moments and moments[0][0] <= self.now_s:
                _, ends, fault = moments.pop(0)
                self._apply(fault, ends=bool(ends))
            if self.now_s >= next_s:
                self._act()
                next_s = self.now_s + WORK_EVERY_S
            until_s = min([next_s, begun_s + self.plan.duration_s, *[moment[0] for moment in moments[:1]]])
            self._run(max(0.001, until_s - self.now_s))
            self._on_progress((self.now_s - begun_s) / self.plan.duration_s)
        for _, ends, fault in moments:
            if ends:
                self._apply(fault, ends=True)

    def _apply(self, fault: Fault, *, ends: bool) -> None:
        nodes = targets_of(fault, self.fleet.regions)
        kind = KINDS[fault.kind]
        self._excused |= (
            set(nodes) if kind.wants != "region" or fault.kind == "region-loss" else set(self.fleet.regions)
        )
        if not ends and fault.kind in ("crash", "replace", "region-loss", "pause"):
            self._down_s |= dict.fromkeys(nodes, self.now_s)
        if ends:
            for node in nodes:
                self._down_s.pop(node, None)
                self._detected.discard(node)
        (kind.end if ends else kind.begin)(self.world, fault, nodes)

    def _act(self) -> None:
        """One thing of the workload: a request, a write or a proposal, somewhere."""
        self._acts += 1
        alive = [node for node in self.fleet.alive() if not self.world.nodes[node].paused]
        at, to = self.rng.choice(alive), self.rng.choice(alive)
        what = self.rng.random()
        if what < 0.6:
            self._ask(at, self.fleet.request(at, to, REQUEST_S), REQUEST_S, f"a request to {to}")
        elif what < 0.9:
            key = f"key-{self._acts % 20}"
            self._written[key] = self._acts
            self.fleet.put(at, key, self._acts)
        elif self.world.nodes[at].core.state.life == "ready":
            token = self.fleet.propose(at, f"choice-{self._acts % 5}", self._acts, PROPOSAL_S)
            self._ask(at, token, PROPOSAL_S, "a proposal")

    def _ask(self, at: NodeId, token: int, timeout_s: float, what: str) -> None:
        due_s = self.now_s + timeout_s + SLACK_S
        self._asked.append(Asked(at, token, self.world.nodes[at].life, self.now_s, due_s, what))
        self._collect(self.world.nodes[at])

    def _run(self, duration_s: float) -> None:
        self.world.run(duration_s)
        ready = 0
        for node in self.world.nodes.values():
            self._collect(node)
            ready += node.alive and node.core.state.life == "ready"
        self.outcome.curve.append((self.now_s, ready / len(self.world.nodes)))

    def _collect(self, node: SimNode) -> None:
        """Take over what a node saw since it was last looked at."""
        for occurrence in node.events:
            event = occurrence.event
            if isinstance(event, Decided):
                self._decided.append((node.id, event))
            elif isinstance(event, MemberChanged) and event.change == "failed":
                self._accuse(node.id, event.member.id)
        node.events.clear()
        for token, result in node.results.items():
            self._ended.setdefault((node.id, node.life, token), (self.now_s, result))
        node.results.clear()

    def _accuse(self, by: NodeId, who: NodeId) -> None:
        down_s = self._down_s.get(who)
        if down_s is None:
            self._accused.append((self.now_s, by, who))
        elif who not in self._detected:
            self._detected.add(who)
            self.outcome.detection_s.append(self.now_s - down_s)

    def _tap(self) -> None:
        """Count what each node sends."""
        real = self.world._transmit

        def counted(node: SimNode, action: Transmit) -> None:
            self._sent[node.id] = self._sent.get(node.id, 0) + len(action.to) * len(action.frame)
            real(node, action)

        self.world._transmit = counted  # type: ignore[method-assign]

    def _look(self) -> None:
        outcome = self.outcome
        if not self._lossless():
            self._excused |= set(self.fleet.regions)
        seen = Seen(
            self.fleet,
            self._asked,
            self._ended,
            self._decided,
            self._accused,
            frozenset(self._excused),
            self._written,
            self._last,
            outcome.healed_s,
        )
        outcome.violations = (
            violations(seen) if outcome.formed_s is not None else (("forms", "the fleet did not form"),)
        )
        outcome.false_failures = sum(
            who not in self._excused and by not in self._excused for _, by, who in self._accused
        )
        requests = [asked for asked in self._asked if asked.what.startswith("a request")]
        outcome.requests = len(requests)
        for asked in requests:
            _, result = self._ended.get((asked.at, asked.life, asked.token), (0.0, None))
            reply = getattr(result, "reply", None)
            if reply is not None and not reply.code:
                outcome.answered += 1
                outcome.request_ms.append(result.duration_ns / 1e6)  # type: ignore[attr-defined]
        tiers: dict[str, list[float]] = {}
        for name, node in self.world.nodes.items():
            tiers.setdefault(node.settings.tier, []).append(self._sent.get(name, 0) / max(outcome.virtual_s, 1))
        outcome.bytes_per_node_s = {tier: sum(values) / len(values) for tier, values in sorted(tiers.items())}

    def _lossless(self) -> bool:
        """False if faults of the whole network could make anybody look dead."""
        return all(fault.kind not in ("loss", "delay", "block", "link-loss", "burst") for fault in self.plan.faults)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """A world is full of objects that live on: looking through them often costs a quarter of the time."""
    held = gc.get_threshold()
    gc.set_threshold(500_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*held)


def shrunk(plan: Plan, *, runs_max: int = 40) -> Schedule:
    """The fewest faults that still break a promise: halves are left out, then single ones, then times shortened.

    Delta debugging (Zeller 1999), over at most `runs_max` runs.
    """
    kept, runs, size = list(plan.faults), 0, max(1, len(plan.faults) // 2)
    while size >= 1 and runs < runs_max and len(kept) > 1:
        for start in range(0, len(kept), size):
            rest = kept[:start] + kept[start + size :]
            runs += 1
            if rest and _breaks(plan, rest):
                kept = rest
                break
        else:
            size //= 2
    for at, fault in enumerate(kept):
        shorter = Fault(fault.kind, fault.at_s, round(fault.for_s / 2, 3), fault.target, fault.amount)
        if runs < runs_max and _breaks(plan, [*kept[:at], shorter, *kept[at + 1 :]]):
            kept[at] = shorter
        runs += 1
    return tuple(kept)


def _breaks(plan: Plan, faults: Sequence[Fault]) -> bool:
    return not Run(Plan(plan.parts, plan.shape, plan.seed, plan.duration_s, tuple(faults))).play().held
