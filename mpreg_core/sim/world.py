"""A world of nodes under a virtual clock. The same seed gives the same world, frame by frame: compare `digest()`.

Each node is the real `NodeCore`. The world plays the driver: it carries out the node's actions on a simulated network
and disk, and calls it when its deadline comes.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from heapq import heappop, heappush
from random import Random

from msgspec import Struct

from mpreg_core.contracts.events import Occurrence, StorageFailed
from mpreg_core.contracts.failure_detector import Evidence
from mpreg_core.contracts.members import Address
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.errors import MpregError
from mpreg_core.ids import PLANES, NodeId, Plane
from mpreg_core.node.actions import Action, CheckHealth, Complete, Invoke, Notify, StopNode, Transmit, WriteRecord
from mpreg_core.node.core import NodeCore
from mpreg_core.node.parts import NODE_JOURNAL, NodeSettings, PartsOf, decode_remembered
from mpreg_core.sim.disk import Disk
from mpreg_core.sim.network import Faults, Network
from mpreg_core.units import NS_PER_MS, NS_PER_S, ns, seconds

STEPS_PER_INSTANT_MAX = 20_000
"""Steps of one node without time passing: more is a strategy that feeds itself."""

ASK_NS = 10 * NS_PER_MS
"""How often `run_until` asks whether it is done."""

RETRY_NS = NS_PER_S
"""How soon a write to a disk that failed is tried again, as the journal does."""

EPOCH_MS = 1_700_000_000_000
PORTS: dict[Plane, int] = {plane: 1 + index for index, plane in enumerate(PLANES)}

Handler = Callable[[Invoke], tuple[str, bytes]]
"""A service's handler in the simulator: (error code or empty, payload)."""


@dataclass(eq=False)
class SimNode:
    """One node. `events` since it was started, `results` by token; `checks` is what health checks find, by cluster."""

    id: NodeId
    settings: NodeSettings
    parts_of: PartsOf
    core: NodeCore
    alive: bool = True
    paused: bool = False
    stopped: str = ""
    life: int = 0
    due_ns: int | None = None
    wanted_ns: int = 0
    events: list[Occurrence] = field(default_factory=list)
    results: dict[int, Struct | MpregError | None] = field(default_factory=dict)
    handlers: dict[str, Handler] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    disk: Disk = field(default_factory=Disk)
    unwritten: deque[WriteRecord] = field(default_factory=deque)
    waiting: list[Callable[[], None]] = field(default_factory=list)
    drift: float = 0.0
    drift_since_ns: int = 0
    offset_ns: int = 0
    jumped_ns: int = 0
    instant_ns: int = 0
    steps: int = 0
    frames_sent: int = 0
    name: bytes = b""
    bytes_sent: int = 0


STAY_S = 5.0
"""How long a node that leaves may stay for its pool's voters, as the runtime lets it."""


class RunawayError(AssertionError):
    """A node does more and more without time passing: its strategy loops through messages or deadlines."""


class World:
    """Nodes, a clock that jumps from event to event, a network and disks. `progress` counts the events."""

    def __init__(self, seed: int, faults: Faults | None = None) -> None:
        self.now_ns = 1_000_000_000
        self.seed = seed
        self.network = Network(Random(f"{seed}/network"), faults or Faults())
        self._chance = Random(f"{seed}/crash")
        self.nodes: dict[NodeId, SimNode] = {}
        self.frames = 0
        self.bytes = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self.progress = 0
        self._digest = blake2b(digest_size=16)

    # the population

    def add(self, settings: NodeSettings, parts_of: PartsOf, *, start: bool = True) -> SimNode:
        """Add a node; its id is its host name."""
        settings = replace(settings, seed=self.seed, address=address_of(settings.id), started_ms=self.wall_ms)
        core = NodeCore(settings, parts_of)
        node = SimNode(settings.id, settings, parts_of, core, alive=False, name=settings.id.encode())
        self.nodes[node.id] = node
        self.network.place(node.id, settings.coordinates)
        if start:
            self.start(node.id)
        return node

    def start(self, node_id: NodeId) -> SimNode:
        """Start a node that was added or has crashed: with what its disk holds, nothing else."""
        node = self.nodes[node_id]
        assert not node.alive
        records = node.disk.records()
        remembered = decode_remembered(records.get(NODE_JOURNAL, ()))
        settings = replace(node.settings, started_ms=self.wall_ms, records=records, remembered=remembered)
        node.core = NodeCore(settings, node.parts_of)
        node.alive, node.paused, node.stopped = True, False, ""
        node.life += 1
        node.events, node.results = [], {}
        self._do(node, node.core.start(self._now(node), EPOCH_MS * NS_PER_MS + node.jumped_ns))
        return node

    def replace(self, node_id: NodeId) -> SimNode:
        """Start a node that has crashed on another machine: the same id and address, an empty disk."""
        self.nodes[node_id].disk.wipe()
        return self.start(node_id)

    def drift(self, node_id: NodeId, share: float) -> None:
        """From now on a node's clock runs faster by this share (slower if below 0): 100 ppm are 0.0001.

        It stays continuous, as a real one does: only its pace changes.
        """
        node = self.nodes[node_id]
        node.offset_ns = self._now(node) - self.now_ns
        node.drift, node.drift_since_ns = share, self.now_ns
        self._reschedule(node)

    def jump(self, node_id: NodeId, seconds_: float) -> None:
        """A node's wall clock is set by so much; its monotonic clock goes on."""
        node = self.nodes[node_id]
        node.jumped_ns += ns(seconds_)
        node.core.state.wall_offset_ns += ns(seconds_)

    def crash(self, node_id: NodeId) -> None:
        """Kill a node: what was not yet on its disk is gone."""
        node = self.nodes[node_id]
        node.alive = False
        node.life += 1
        node.due_ns = None
        node.disk.crash(tuple(node.unwritten), self._chance)
        node.unwritten.clear()
        node.waiting.clear()

    def pause(self, node_id: NodeId) -> None:
        """Stop a process without killing it: what arrives waits."""
        self.nodes[node_id].paused = True

    def resume(self, node_id: NodeId) -> None:
        """Let a paused process go on. By chance its timers fire before it has read what came meanwhile, or after."""
        node = self.nodes[node_id]
        node.paused = False
        waiting, node.waiting = node.waiting, []
        now_ns = self._now(node)
        if node.alive and node.wanted_ns <= now_ns and self._chance.random() < 0.5:
            self._do(node, node.core.on_deadline(now_ns))
        for deliver in waiting:
            deliver()
        self._schedule(node)

    # time

    @property
    def wall_ms(self) -> int:
        """The world's wall clock."""
        return EPOCH_MS + self.now_ns // NS_PER_MS

    def run(self, duration_s: float) -> None:
        """Let time pass."""
        self.run_until(lambda: False, duration_s)

    def run_until(self, done: Callable[[], bool], timeout_s: float) -> float:
        """Let time pass until `done()`, at most so long; gives the seconds that passed. `done` is asked each 10 ms."""
        begun, end_ns = self.now_ns, self.now_ns + ns(timeout_s)
        while not done() and self.now_ns < end_ns:
            self._run_to(min(end_ns, self.now_ns + ASK_NS))
        return seconds(self.now_ns - begun)

    def _run_to(self, until_ns: int) -> None:
        queue = self._queue
        while queue and queue[0][0] <= until_ns:
            at_ns, _, event = heappop(queue)
            if at_ns > self.now_ns:
                self.now_ns = at_ns
            self.progress += 1
            event()
        self.now_ns = until_ns

    def command(self, node_id: NodeId, act: Callable[[NodeCore], object]) -> None:
        """Do something at a node as its driver would for a caller."""
        node = self.nodes[node_id]
        node.core.step(self._now(node))
        act(node.core)
        self._do(node, node.core.finish())

    def leave(self, node_id: NodeId) -> None:
        """Have a node announce its departure, then stop it as soon as it may, at latest after `STAY_S`.

        A paused process cannot announce anything.
        """
        node = self.nodes[node_id]
        if node.paused:
            self.crash(node_id)
        else:
            self._do(node, node.core.leave(self._now(node)))
            self._stop(node, node.life, self.now_ns + ns(STAY_S))

    def _stop(self, node: SimNode, life: int, latest_ns: int) -> None:
        if not node.alive or node.life != life:
            return
        if self.now_ns >= latest_ns or node.paused or node.core.may_stop():
            return self.crash(node.id)
        self.later(0.02, partial(self._stop, node, life, latest_ns))

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Do something after a while."""
        self._at(self.now_ns + ns(delay_s), act)

    def digest(self) -> str:
        """A hash over every frame delivered so far, with its time and place."""
        return self._digest.hexdigest()

    # the driver's part

    def _at(self, at_ns: int, event: Callable[[], None]) -> None:
        self._sequence += 1
        heappush(self._queue, (at_ns, self._sequence, event))

    def _now(self, node: SimNode) -> int:
        """The node's own monotonic clock."""
        if not node.drift and not node.offset_ns:
            return self.now_ns
        return self.now_ns + node.offset_ns + round((self.now_ns - node.drift_since_ns) * node.drift)

    def _reschedule(self, node: SimNode) -> None:
        node.due_ns = None
        if node.alive:
            self._schedule(node)

    def _schedule(self, node: SimNode) -> None:
        due_ns = node.wanted_ns = node.core.next_deadline()
        if node.drift or node.offset_ns:  # back from the node's clock to the world's
            own_ns = self._now(node)
            due_ns = self.now_ns + max(0, round((due_ns - own_ns) / (1 + node.drift)))
        due_ns = max(due_ns, self.now_ns + 1)
        if node.due_ns is not None and node.due_ns <= due_ns:
            return
        node.due_ns = due_ns
        life = node.life
        self._at(due_ns, lambda: self._deadline(node, life, due_ns))

    def _deadline(self, node: SimNode, life: int, due_ns: int) -> None:
        if node.life != life or node.due_ns != due_ns:
            return
        node.due_ns = None
        if node.paused:
            return
        now_ns = self._now(node)
        if node.wanted_ns <= now_ns:
            self._do(node, node.core.on_deadline(now_ns))
        else:
            self._schedule(node)

    def _do(self, node: SimNode, actions: list[Action]) -> None:
        self._count(node)
        for action in actions:
            kind = type(action)
            if kind is Transmit:
                self._transmit(node, action)  # type: ignore[arg-type]
            elif kind is Notify:
                node.events.append(action.occurrence)  # type: ignore[union-attr]
            else:
                self._do_rarer(node, action)
        if node.alive:
            self._schedule(node)

    def _do_rarer(self, node: SimNode, action: Action) -> None:
        if isinstance(action, WriteRecord):
            self._write(node, action)
        elif isinstance(action, Invoke):
            self._invoke(node, action)
        elif isinstance(action, CheckHealth):
            self._at(self.now_ns + NS_PER_MS, partial(self._checked, node, node.life, action))
        elif isinstance(action, Complete):
            node.results[action.token] = action.result
        elif isinstance(action, StopNode):
            node.stopped = action.reason

    def _count(self, node: SimNode) -> None:
        """Refuse to go on with a node that takes steps without end in one instant."""
        if self.now_ns - node.instant_ns >= NS_PER_MS:
            node.instant_ns, node.steps = self.now_ns, 0
        node.steps += 1
        if node.steps > STEPS_PER_INSTANT_MAX:
            runs = sorted({part.part.strategy for stack in node.core.state.stacks.values() for part in stack.hosted})
            raise RunawayError(
                f"{node.id} took {node.steps} steps in a millisecond of virtual time: one of its strategies "
                f"({', '.join(runs)}) feeds itself"
            )

    def _transmit(self, node: SimNode, action: Transmit) -> None:
        size = len(action.frame)
        node.frames_sent += len(action.to)
        node.bytes_sent += size * len(action.to)
        for endpoint in action.to:
            target = self.nodes.get(endpoint.host)
            self.frames += 1
            self.bytes += size
            if target is None or not target.alive:
                self._unreachable(node, endpoint, target)
            elif action.lane == "datagram":
                for at_ns in self.network.datagram(self.now_ns, node.id, target.id, size):
                    self._arrive(at_ns, node, target, action)
            else:
                arrival = self.network.stream(self.now_ns, node.id, target.id, size)
                if arrival is not None:
                    self._arrive(arrival, node, target, action)

    def _arrive(self, at_ns: int, source: SimNode, target: SimNode, action: Transmit) -> None:
        life, plane, frame, lane = target.life, action.plane, action.frame, action.lane

        def deliver() -> None:
            if target.life != life or not target.alive:
                return
            if target.paused:
                target.waiting.append(deliver)
                return
            self._digest.update(b"%d %b %b " % (self.now_ns, target.name, plane.encode()) + frame)
            remote = Endpoint(source.id, PORTS[plane])
            self._do(target, target.core.on_frames(self._now(target), plane, remote, (frame,), lane))

        self._at(at_ns, deliver)

    def _unreachable(self, node: SimNode, endpoint: Endpoint, target: SimNode | None) -> None:
        """A host that runs answers for a dead process; one that is unknown or cut off does not."""
        if target is None or not self.network.connected(node.id, target.id):
            return
        evidence: Evidence = "refused"
        life = node.life

        def tell() -> None:
            if node.life == life and node.alive and not node.paused and not target.alive:
                self._do(node, node.core.on_evidence(self._now(node), endpoint, evidence))

        self._at(self.now_ns + self.network.round_trip_ns(node.id, target.id), tell)

    def _write(self, node: SimNode, action: WriteRecord) -> None:
        """Records become durable in the order in which they were written, also when the disk fails for a while."""
        life = node.life
        node.unwritten.append(action)

        def synced() -> None:
            if node.life != life or not node.unwritten:
                return
            if node.disk.error:
                self.command(node.id, lambda core: core.state.emit(None, StorageFailed(node.disk.error)))
                self._at(self.now_ns + RETRY_NS, synced)
                return
            first = node.unwritten.popleft()
            node.disk.append(first.journal, first.record, checkpoint=first.checkpoint)
            self._do(node, node.core.on_persisted(self._now(node), first.journal, first.token))

        self._at(self.now_ns + node.disk.write_ns(), synced)

    def _checked(self, node: SimNode, life: int, action: CheckHealth) -> None:
        if node.life == life and node.alive:
            error = node.checks.get(action.cluster, "")
            self._do(node, node.core.on_checked(self._now(node), action.cluster, error))

    def _invoke(self, node: SimNode, action: Invoke) -> None:
        handler = node.handlers.get(action.service)
        code, payload = handler(action) if handler is not None else ("not_found", b"")
        life = node.life

        def handled() -> None:
            if node.life == life and node.alive:
                self._do(node, node.core.on_handled(self._now(node), action.call, code, payload))

        self._at(self.now_ns + NS_PER_MS // 10, handled)


def address_of(node: NodeId) -> Address:
    """Where a node of the world listens: its id is its host name."""
    return Address(node, PORTS["gossip"], PORTS["membership"], PORTS["consensus"], PORTS["routing"])
