"""One run: a fleet forms, works, suffers faults, recovers; then the checkers look at what was seen.

Everything is drawn from the seed, so the same seed gives the same run, frame by frame.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from mpreg_core.ids import NodeId
from mpreg_core.node.parts import PartsOf
from mpreg_core.sim.checkers import violations
from mpreg_core.sim.faults import KINDS, Fault, Schedule, targets_of
from mpreg_core.sim.fleet import Fleet
from mpreg_core.sim.observer import Asked, Observer
from mpreg_core.sim.reach import objects_of
from mpreg_core.sim.watchdog import watched
from mpreg_core.units import seconds

FORM_S = 60.0
"""How long a fleet may take to form before the run begins in earnest."""

RECOVER_S = 120.0
"""How long after the last fault everything must be well again."""

SETTLE_S = 30.0
REQUEST_S, PROPOSAL_S, SLACK_S = 5.0, 10.0, 1.0
WORK_EVERY_S = 0.25
SAMPLE_S = 0.5
KEYS = 100
LAST_HUBS_MAX = 20
WEIGHED_NODES = 4
BUSIEST = 12


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: `parts` are the strategies, `shape` as `fleet.parse_shape` gives it."""

    parts: PartsOf
    shape: Sequence[int]
    seed: int
    duration_s: float
    faults: Schedule = ()


@dataclass(frozen=True, slots=True)
class Load:
    """What nodes send, on average over the run: frames and bytes a second."""

    frames_s: float
    bytes_s: float


@dataclass
class Outcome:
    """What came out.

    `formed_s` is None if the fleet did not form; `curve` is (time, share of nodes that are ready); `spread_s` how long
    writes took to each node; `tiers` and `pools` are averages by tier and by the size of a node's largest pool,
    `busiest` the nodes that send most.
    """

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
    spread_s: list[float] = field(default_factory=list)
    false_failures: int = 0
    tiers: dict[str, Load] = field(default_factory=dict)
    pools: dict[int, tuple[int, Load]] = field(default_factory=dict)
    busiest: dict[NodeId, Load] = field(default_factory=dict)
    idle: Load = field(default_factory=lambda: Load(0.0, 0.0))
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
        self.observer = Observer(self.fleet)
        self._on_progress = on_progress
        self._acts = 0

    @property
    def now_s(self) -> float:
        """The world's time."""
        return seconds(self.world.now_ns)

    def play(self) -> Outcome:
        """Form, work under faults, recover, look. Raises `RunawayError`."""
        outcome, begun_s = self.outcome, self.now_s
        with _rare_collections(), watched(self.world):
            outcome.formed_s = self._until_whole(FORM_S)
            if outcome.formed_s is not None:
                self._work(self.now_s)
                outcome.healed_s = self.observer.seen.healed_s = self._until_whole(RECOVER_S)
                self._run(SETTLE_S)
                self._decide_again()
                self._rest()
        outcome.virtual_s = self.now_s - begun_s
        outcome.digest, outcome.frames, outcome.bytes = self.world.digest(), self.world.frames, self.world.bytes
        self._look()
        return outcome

    # the phases

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

    def _decide_again(self) -> None:
        """After all is over, a proposal by hubs of each tier: their pools must be able to agree."""
        hubs = [name for name in self.fleet.alive() if self.world.nodes[name].settings.tier != "cluster"]
        asked = [(at, self.fleet.propose(at, "last", 1, PROPOSAL_S)) for at in hubs[:LAST_HUBS_MAX]]
        self._run(PROPOSAL_S + SLACK_S)
        seen = self.observer.seen
        for at, token in asked:
            _, made = seen.outcomes.get((at, self.world.nodes[at].life, token), (0.0, None))
            decided = getattr(made, "decided", None)
            seen.last[at] = decided.status if decided is not None else f"no answer ({made!r:.80})"

    def _rest(self) -> None:
        """Nothing happens for a while: what that costs, and whether anything grows."""
        alive = self.fleet.alive()
        weighed = self.rng.sample(alive, min(WEIGHED_NODES, len(alive)))
        before = {name: objects_of(self.world.nodes[name].core) for name in weighed}
        frames, size = self.world.frames, self.world.bytes
        self._run(SETTLE_S)
        node_s = len(alive) * SETTLE_S
        self.outcome.idle = Load((self.world.frames - frames) / node_s, (self.world.bytes - size) / node_s)
        for name in weighed:
            self.observer.seen.grown[name] = (before[name], objects_of(self.world.nodes[name].core))

    # what happens in them

    def _apply(self, fault: Fault, *, ends: bool) -> None:
        nodes = targets_of(fault, self.fleet.regions)
        kind = KINDS[fault.kind]
        self.observer.on_fault(fault, nodes, ends=ends)
        (kind.end if ends else kind.begin)(self.world, fault, nodes)

    def _act(self) -> None:
        """One thing of the workload: a request, a write or a proposal, somewhere."""
        self._acts += 1
        alive = [node for node in self.fleet.alive() if not self.world.nodes[node].paused]
        if not alive:
            return
        at, to = self.rng.choice(alive), self.rng.choice(alive)
        what = self.rng.random()
        if what < 0.6:
            payload = str(self._acts)
            token = self.fleet.request(at, to, REQUEST_S, payload)
            self._ask(at, token, REQUEST_S, "request", f"a request to {to}", payload)
        elif what < 0.9:
            key = f"key-{self._acts % KEYS}"
            self.observer.on_write(at, key, self._acts)
            self.fleet.put(at, key, self._acts)
        elif self.world.nodes[at].core.state.life == "ready":
            key = f"choice-{self._acts % 5}"
            home = self.world.nodes[at].core.state.home()
            token = self.fleet.propose(at, key, self._acts, PROPOSAL_S)
            self._ask(at, token, PROPOSAL_S, "proposal", "a proposal", f"{home.pool if home else ''}/{key}")

    def _ask(self, at: NodeId, token: int, timeout_s: float, kind: str, what: str, subject: str) -> None:
        due_s = self.now_s + timeout_s + SLACK_S
        life = self.world.nodes[at].life
        self.observer.seen.asked.append(Asked(at, token, life, self.now_s, due_s, kind, what, subject))
        self.observer.collect(self.world.nodes[at])

    def _run(self, duration_s: float) -> None:
        self.world.run(duration_s)
        ready = 0
        for node in self.world.nodes.values():
            if node.events or node.results:
                self.observer.collect(node)
            ready += node.alive and node.core.state.life == "ready"
        self.outcome.curve.append((self.now_s, ready / len(self.world.nodes)))

    # afterwards

    def _look(self) -> None:
        outcome, seen = self.outcome, self.observer.seen
        outcome.violations = (
            violations(seen) if outcome.formed_s is not None else (("forms", "the fleet did not form"),)
        )
        outcome.detection_s, outcome.spread_s = self.observer.detection_s, self.observer.spread_s
        outcome.false_failures = sum(who not in seen.excused and by not in seen.excused for _, by, who in seen.accused)
        requests = [asked for asked in seen.asked if asked.kind == "request"]
        outcome.requests = len(requests)
        for asked in requests:
            _, result = seen.outcomes.get((asked.at, asked.life, asked.token), (0.0, None))
            reply = getattr(result, "reply", None)
            if reply is not None and not reply.code:
                outcome.answered += 1
                outcome.request_ms.append(result.duration_ns / 1e6)  # type: ignore[attr-defined]
        self._weigh()

    def _weigh(self) -> None:
        """Who sent how much."""
        outcome, tiers, pools = self.outcome, dict[str, list[Load]](), dict[int, list[Load]]()
        loads: dict[NodeId, Load] = {}
        for name, node in self.world.nodes.items():
            during_s = max(outcome.virtual_s, 1.0)
            load = loads[name] = Load(node.frames_sent / during_s, node.bytes_sent / during_s)
            tiers.setdefault(node.settings.tier, []).append(load)
            sizes = [len(stack.table.present()) for stack in node.core.state.stacks.values()]
            pools.setdefault(max(sizes, default=0), []).append(load)
        outcome.tiers = {tier: _average(each) for tier, each in sorted(tiers.items())}
        outcome.pools = {size: (len(each), _average(each)) for size, each in sorted(pools.items())}
        busiest = sorted(loads, key=lambda name: (-loads[name].bytes_s, name))[:BUSIEST]
        outcome.busiest = {name: loads[name] for name in busiest}


def _average(loads: Sequence[Load]) -> Load:
    return Load(sum(load.frames_s for load in loads) / len(loads), sum(load.bytes_s for load in loads) / len(loads))


@contextmanager
def _rare_collections() -> Iterator[None]:
    """A world is full of objects that live on: looking through them often costs a quarter of the time."""
    held = gc.get_threshold()
    gc.set_threshold(500_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*held)
