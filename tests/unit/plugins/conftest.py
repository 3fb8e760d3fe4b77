"""A tiny deterministic network for detectors: one heap of (time, order), one seed, a minimal table for each node.

It stands where core and the simulator stand in production: it carries messages (encoded, as on the wire), merges
verdicts as the pool's table does (higher incarnation first, then the graver status), refutes what is said of a node
itself, tells the machines, and spreads each change to the others after a delay.
"""

import heapq
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from mpreg_core import Address, Emit, Event, FailureDetectorSpec, Member, RoundTrip, Send, StrategyContext, Verdict, ns
from mpreg_core.limits import DATAGRAM_BYTES_MAX

ENVELOPE_BYTES = 64
GRAVITY = {"alive": 0, "suspect": 1, "failed": 2, "left": 3}


def member(name: str, incarnation: int = 1, status: str = "alive", started_ms: int = 1, **fields: Any) -> Member:
    """A plain member's record."""
    return Member(
        id=name,
        incarnation=incarnation,
        status=status,  # type: ignore[arg-type]
        tier="cluster",
        region="eu",
        address=Address("127.0.0.1", membership=1),
        started_ms=started_ms,
        **fields,
    )


def machine_of(spec: FailureDetectorSpec[Any, Any], options: Any, name: str = "me", seed: int = 1) -> Any:
    """One machine alone, at time 0."""
    return spec.create(StrategyContext(member(name), "local:hub", "local", random.Random(seed), 0), options)


class Node:
    """A process: its machine, its table, and whether it runs."""

    def __init__(self, me: Member) -> None:
        self.id = me.id
        self.me = me
        self.machine: Any = None
        self.table: dict[str, Member] = {me.id: me}
        self.running = True
        self.paused_until_ns = 0
        self.inbox: list[Callable[[], None]] = []
        self.woken_at_ns: int | None = None


class Network:
    """Nodes `n0`, `n1`, ... of one pool. `loss` concerns datagrams alone, as streams repeat what is lost."""

    def __init__(
        self,
        spec: FailureDetectorSpec[Any, Any],
        options: Any,
        nodes: int,
        *,
        seed: int = 1,
        loss: float = 0.0,
        delay: tuple[float, float] = (0.001, 0.02),
        gossip_delay: tuple[float, float] = (0.05, 0.4),
    ) -> None:
        self.spec, self.options, self.seed = spec, options, seed
        self.loss, self.delay, self.gossip_delay = loss, delay, gossip_delay
        self.rng = random.Random(seed)
        self.now_ns = 0
        self.heap: list[tuple[int, int, Callable[[], None]]] = []
        self.order = 0
        self.trace: list[tuple[int, str, Event]] = []  # verdicts, as emitted
        self.changes: list[tuple[float, str, str, str]] = []  # seconds, at, about, status
        self.frames = self.bytes = self.frame_bytes_max = self.round_trips = 0
        self.blocked: Callable[[str, str, str], bool] = lambda source, to, lane: False
        self.refuses = False  # hosts of crashed processes answer with a reset
        self.evidence_at: dict[tuple[str, str], int] = {}
        self.decoder = msgspec.msgpack.Decoder(msgspec_union(spec.messages))
        self.encoder = msgspec.msgpack.Encoder()
        self.nodes = {f"n{i}": Node(member(f"n{i}")) for i in range(nodes)}
        everyone = {node.id: node.me for node in self.nodes.values()}
        for node in self.nodes.values():
            node.table = dict(everyone)
            self.start(node)

    # time

    def at(self, due_ns: int, act: Callable[[], None]) -> None:
        self.order += 1
        heapq.heappush(self.heap, (due_ns, self.order, act))

    def run(self, for_s: float, until: Callable[[], bool] | None = None) -> float:
        """Run virtual time on, or until something holds; gives the time reached, s."""
        end_ns = self.now_ns + ns(for_s)
        while self.heap and self.heap[0][0] <= end_ns:
            self.now_ns, _, act = heapq.heappop(self.heap)
            act()
            if until is not None and until():
                return self.now_ns / 1e9
        assert until is None, f"not within {for_s} s (seed {self.seed})"
        self.now_ns = end_ns
        return self.now_ns / 1e9

    def seconds(self, span: tuple[float, float]) -> int:
        return ns(self.rng.uniform(*span))

    # processes

    def start(self, node: Node) -> None:
        """Start a process: a machine that is told the table."""
        rng = random.Random(f"{self.seed}/{node.id}/{node.me.incarnation}")
        context = StrategyContext(node.me, "local:hub", "local", rng, self.now_ns)
        node.machine = self.spec.create(context, self.options)
        node.running = True
        self.step(node, lambda: node.machine.on_members(self.now_ns, list(node.table.values())))

    def crash(self, name: str) -> None:
        """Kill a process. Where `refuses`, the others' connections to it break at once."""
        self.nodes[name].running = False
        if self.refuses:
            for node in self.nodes.values():
                self.tell(node, name, "reset")

    def restart(self, name: str) -> None:
        """The same id again: another process, told by its journal to take a higher incarnation."""
        node = self.nodes[name]
        node.me = msgspec.structs.replace(node.me, incarnation=node.me.incarnation + 1, started_ms=self.now_ns)
        node.table[name] = node.me
        node.inbox, node.woken_at_ns = [], None
        self.start(node)
        self.spread(node, node.me)

    def pause(self, name: str, for_s: float) -> None:
        """Stop a process; what comes in meanwhile waits in its buffers."""
        node = self.nodes[name]
        node.paused_until_ns = self.now_ns + ns(for_s)
        self.at(node.paused_until_ns, lambda: self.resume(node))

    def resume(self, node: Node) -> None:
        inbox, node.inbox = node.inbox, []
        for act in inbox:
            act()
        self.wake(node)

    def input(self, node: Node, act: Callable[[], None]) -> None:
        """Deliver now, or when the process runs again."""
        if not node.running:
            return
        if self.now_ns < node.paused_until_ns:
            node.inbox.append(act)
        else:
            act()

    # steps

    def step(self, node: Node, call: Callable[[], Any]) -> None:
        """One call into a machine, its effects, and whatever the table makes of them."""
        for effect in call():
            if isinstance(effect, Send):
                self.send(node, effect)
            elif isinstance(effect, Emit):
                self.emit(node, effect.event)
        due_ns = node.machine.next_deadline()
        if due_ns is not None and due_ns != node.woken_at_ns:
            node.woken_at_ns = due_ns
            self.at(max(due_ns, self.now_ns), lambda: self.wake(node))

    def wake(self, node: Node) -> None:
        due_ns = node.machine.next_deadline()
        if not node.running or due_ns is None or due_ns > self.now_ns or self.now_ns < node.paused_until_ns:
            return
        self.step(node, lambda: node.machine.on_deadline(self.now_ns))
        due_ns = node.machine.next_deadline()
        assert due_ns is None or due_ns > self.now_ns, "a deadline that is never met"

    def send(self, node: Node, send: Send) -> None:
        frame = self.encoder.encode(send.message)
        self.frame_bytes_max = max(self.frame_bytes_max, len(frame))
        assert len(frame) <= DATAGRAM_BYTES_MAX - ENVELOPE_BYTES, f"{len(frame)} bytes: {send.message}"
        for to in send.to:
            assert to != node.id
            self.frames += 1
            self.bytes += len(frame)
            if to not in self.nodes or self.blocked(node.id, to, send.lane):
                continue
            if send.lane == "datagram" and self.rng.random() < self.loss:
                continue
            self.at(self.now_ns + self.seconds(self.delay), lambda to=to: self.deliver(node, to, frame))

    def deliver(self, source: Node, to: str, frame: bytes) -> None:
        node = self.nodes[to]
        if not node.running and self.refuses:
            self.tell(source, to, "refused")
        message = self.decoder.decode(frame)
        self.input(node, lambda: self.step(node, lambda: node.machine.on_message(self.now_ns, source.id, message)))

    def tell(self, node: Node, peer: str, evidence: str) -> None:
        """What the kernel says of a peer, at most once a second for each kind."""
        if self.now_ns - self.evidence_at.get((node.id, peer + evidence), -ns(9)) < ns(1.0):
            return
        self.evidence_at[node.id, peer + evidence] = self.now_ns
        act = lambda: self.step(node, lambda: node.machine.on_evidence(self.now_ns, peer, evidence))  # noqa: E731
        self.at(self.now_ns + self.seconds(self.delay), lambda: self.input(node, act))

    # the table

    def emit(self, node: Node, event: Event) -> None:
        if isinstance(event, RoundTrip):
            self.round_trips += 1
            assert event.rtt_ns > 0
        if not isinstance(event, Verdict):
            return
        self.trace.append((self.now_ns, node.id, event))
        held = node.table.get(event.peer)
        if event.peer == node.id:
            if event.status != "alive" and event.incarnation >= node.me.incarnation:
                node.me = msgspec.structs.replace(node.me, incarnation=event.incarnation + 1)
                self.merge(node, node.me)
        elif held is not None:
            record = msgspec.structs.replace(held, incarnation=event.incarnation, status=event.status)
            self.merge(node, record)

    def merge(self, node: Node, record: Member) -> None:
        """Take a record if it wins; then the machine is told and the others after a while."""
        held = node.table.get(record.id)
        if held is not None and (record.incarnation, GRAVITY[record.status]) <= (
            held.incarnation,
            GRAVITY[held.status],
        ):
            return
        if record.id == node.id and record.status != "alive":
            refuted = msgspec.structs.replace(node.me, incarnation=record.incarnation + 1)
            node.me = record = refuted
        node.table[record.id] = record
        if held is None or record.status != held.status:
            self.changes.append((self.now_ns / 1e9, node.id, record.id, record.status))
        self.step(node, lambda: node.machine.on_members(self.now_ns, [record]))
        self.spread(node, record)

    def spread(self, node: Node, record: Member) -> None:
        for other in self.nodes.values():
            if other is not node and not self.blocked(node.id, other.id, "gossip"):
                self.at(
                    self.now_ns + self.seconds(self.gossip_delay),
                    lambda other=other: self.input(other, lambda: self.merge(other, record)),
                )

    def anti_entropy(self, every_s: float) -> None:
        """From now on each node swaps tables with one it takes for alive, again and again."""

        def swap(node: Node) -> None:
            others = sorted(name for name, m in node.table.items() if m.status == "alive" and name != node.id)
            if node.running and others:
                other = self.nodes[self.rng.choice(others)]
                ready = other.running and self.now_ns >= max(node.paused_until_ns, other.paused_until_ns)
                if ready and not self.blocked(node.id, other.id, "gossip"):
                    for record in list(node.table.values()):
                        self.merge(other, record)
                    for record in list(other.table.values()):
                        self.merge(node, record)
            self.at(self.now_ns + ns(every_s), lambda: swap(node))

        for node in self.nodes.values():
            self.at(self.now_ns + self.seconds((0, every_s)), lambda node=node: swap(node))

    # what is asked of it

    def status(self, at: str, about: str) -> str:
        return self.nodes[at].table[about].status

    def all_say(self, about: str, status: str) -> bool:
        """True if every running node but the one concerned has that status in its table."""
        return all(
            node.table[about].status == status for node in self.nodes.values() if node.running and node.id != about
        )

    def all_alive(self) -> bool:
        return all(m.status == "alive" for node in self.nodes.values() if node.running for m in node.table.values())

    def verdicts(self, status: str) -> list[Verdict]:
        return [v for _, at, v in self.trace if isinstance(v, Verdict) and v.status == status and v.peer != at]


def msgspec_union(messages: tuple[type, ...]) -> Any:
    union: Any = messages[0]
    for message in messages[1:]:
        union = union | message
    return union


@pytest.fixture
def network() -> type[Network]:
    """The class: `network(SPEC, options, 10, seed=3)`."""
    return Network


@pytest.fixture
def make_member() -> Callable[..., Member]:
    """A member's record by name."""
    return member


@pytest.fixture
def make_machine() -> Callable[..., Any]:
    """One machine alone."""
    return machine_of


@pytest.fixture(params=range(3))
def seed(request: pytest.FixtureRequest) -> int:
    """A few seeds."""
    return int(request.param)
