"""A deterministic pool of quorum engines: virtual time, a faulty network, disks that lose what was not synced.

It stands where core stands in production and keeps to the contract: effects in order, those behind a `Persist` held
until its record is durable, records durable in order. Messages travel encoded. A checker sees every event.
"""

import heapq
from collections.abc import Callable, Iterable
from functools import partial, reduce
from operator import or_
from random import Random
from typing import Any

import msgspec
import pytest

from mpreg_consensus_quorum.machine import Quorum
from mpreg_consensus_quorum.messages import VOTERS_KEY, Cluster, Decision, Inquire, Inventory, Roll
from mpreg_consensus_quorum.options import QuorumOptions
from mpreg_consensus_quorum.plugin import SPEC
from mpreg_consensus_quorum.records import Record, Seated
from mpreg_core import (
    Address,
    ConsensusContext,
    Decided,
    Effect,
    Emit,
    Event,
    Member,
    Persist,
    Proposal,
    ReadDone,
    Send,
    Voters,
    ns,
)

encode = msgspec.msgpack.Encoder().encode
decode_message = msgspec.msgpack.Decoder(reduce(or_, SPEC.messages)).decode
decode_record = msgspec.msgpack.Decoder(Record).decode


CLUSTER = Cluster(0, "n0")


def seated(ids: Iterable[str]) -> list[bytes]:
    """The journal of a member of a cluster whose second list of voters these are."""
    names = tuple(sorted(ids))
    roll = Roll(names, (0,) * len(names), (CLUSTER.founder,))
    proposal = Proposal("formed", VOTERS_KEY, encode(roll), CLUSTER.founder, 0, 1)
    seat = Seated(0, CLUSTER, 2, names, roll.before, 2)
    return [encode(Decision(1, proposal, 1, roll.before, ())), encode(seat)]


def member(name: str, status: str = "alive") -> Member:
    """A plain member's record."""
    return Member(
        id=name,
        incarnation=1,
        status=status,  # type: ignore[arg-type]
        tier="local",
        region="eu",
        address=Address("127.0.0.1", consensus=1),
        started_ms=1,
    )


class Checker:
    """What must hold whatever happens; complaints are collected, so that a test may also ask for them."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.chosen: dict[tuple[str, int], str] = {}
        self.instances: dict[str, int] = {}
        self.latest: dict[str, int] = {}
        self.floors: dict[str, dict[str, int]] = {}

    def on_decided(self, process: "Process", event: Decided) -> None:
        if event.status != "committed":
            count = process.ended.setdefault(event.proposal, 0)
            process.ended[event.proposal] = count + 1
            if count or event.proposal in process.committed:
                self.complaints.append(f"{process.id}: {event.proposal} ended again as {event.status}")
            if event.status == "rejected" and event.proposal in self.instances:
                self.complaints.append(f"{event.proposal} rejected, but committed elsewhere")
            process.rejected.update({event.proposal} if event.status == "rejected" else ())
            return
        where = (event.key, event.index)
        if self.chosen.setdefault(where, event.proposal) != event.proposal:
            self.complaints.append(f"{where}: {self.chosen[where]} and {event.proposal}")
        if self.instances.setdefault(event.proposal, event.index) != event.index:
            self.complaints.append(f"{event.proposal} is decision {self.instances[event.proposal]} and {event.index}")
        if event.index <= process.applied.get(event.key, 0):
            self.complaints.append(f"{process.id}: {event.key} went from {process.applied[event.key]} to {event.index}")
        if event.proposal in process.committed or event.proposal in process.rejected:
            self.complaints.append(f"{process.id}: {event.proposal} ended twice")
        process.committed.add(event.proposal)
        process.applied[event.key] = event.index
        process.values[event.key] = event.value
        if not process.is_starting:
            self.latest[event.key] = max(event.index, self.latest.get(event.key, 0))

    def on_read(self, read: str) -> None:
        self.floors[read] = dict(self.latest)

    def on_read_done(self, process: "Process", event: ReadDone) -> None:
        for key, floor in self.floors[event.read].items():
            if event.ok and process.applied.get(key, 0) < floor:
                self.complaints.append(f"stale read {event.read}: {key} at {process.applied.get(key, 0)} < {floor}")


class Process:
    """A node: its machine, its disk, and what it told its clients in this life."""

    def __init__(self, name: str, index: int) -> None:
        self.id = name
        self.index = index
        self.records: list[bytes] = []
        self.life = 0
        self.running = False
        self.machine: Any = None
        self.forget()

    def forget(self) -> None:
        self.is_starting = True
        self.writing: list[tuple[Persist, list[Effect]]] = []
        self.disk_free_ns = 0
        self.woken_ns: int | None = None
        self.applied: dict[str, int] = {}
        self.values: dict[str, bytes] = {}
        self.committed: set[str] = set()
        self.rejected: set[str] = set()
        self.ended: dict[str, int] = {}


class Pool:
    """`size` nodes n0, n1, ...; the first `voters` of them vote. Delays are ranges of seconds."""

    def __init__(
        self,
        size: int,
        *,
        seed: int = 1,
        voters: int | None = None,
        options: QuorumOptions | None = None,
        delay: tuple[float, float] = (0.001, 0.001),
        disk: tuple[float, float] = (0.0005, 0.0005),
        validate: Callable[[Proposal], bool] | None = None,
        keeps: Callable[[object], bool] | None = None,
        in_order: bool = True,
        formed: bool = True,
    ) -> None:
        self.rng = Random(seed)
        self.seed = seed
        self.now_ns = 0
        self.options = options or QuorumOptions()
        self.delay, self.disk, self.loss, self.doubled = delay, disk, 0.0, 0.0
        self.in_order = in_order
        self.validate = validate
        self.keeps = keeps
        self.checker = Checker()
        self.events: list[tuple[int, str, Event]] = []
        self.messages = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._arrived: dict[tuple[str, str], int] = {}
        self._proposals = 0
        self.cut: set[tuple[str, str]] = set()
        self.lost: tuple[type, ...] = ()  # messages of these classes never arrive
        self.nodes = {f"n{index}": Process(f"n{index}", index) for index in range(size)}
        self.voters = Voters(1, tuple(sorted(self.nodes)[: voters or size]))
        self.formed = formed
        self.alone: set[str] = set()  # nodes that see nobody else when they start
        for name in self.nodes:
            if formed:
                self.nodes[name].records = seated(self.voters.ids)
            self.start(name)

    # time

    def at(self, at_ns: int, act: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (at_ns, self._order, act))

    def after(self, span: tuple[float, float], act: Callable[[], None]) -> None:
        self.at(self.now_ns + ns(self.rng.uniform(*span)), act)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Run for so long, or until something holds; False if it never did."""
        end_ns = self.now_ns + ns(seconds)
        while not until():
            if not self._heap or self._heap[0][0] > end_ns:
                self.now_ns = end_ns
                return until()
            self.now_ns, _, act = heapq.heappop(self._heap)
            act()
        return True

    # nodes

    def start(self, name: str) -> None:
        """Start, or restart from the disk."""
        process = self.nodes[name]
        process.life += 1
        process.forget()
        process.running = True
        records = [r for r in process.records if self.keeps is None or self.keeps(decode_record(r))]
        rng = Random(f"{self.seed} {name} {process.life}")
        context = ConsensusContext(member(name), "local:hub", "local", rng, self.now_ns, records, lambda: b"")
        arguments = (self.validate,) if self.validate else ()
        process.machine = Quorum(context, self.options, *arguments)
        seen = [name] if name in self.alone else list(self.nodes)
        voters = Voters(1, (name,)) if name in self.alone else self.voters
        self.step(process, lambda m: m.on_members(self.now_ns, [member(n) for n in seen]))
        self.step(process, lambda m: m.on_voters(self.now_ns, voters))

    def crash(self, name: str) -> None:
        """Stop; of the records on their way to the disk, a prefix may have reached it."""
        process = self.nodes[name]
        process.running = False
        for persist, _ in process.writing[: self.rng.randint(0, len(process.writing))]:
            self.store(process, persist)

    def set_voters(self, names: Iterable[str], epoch: int, at: Iterable[str] | None = None) -> None:
        voters = Voters(epoch, tuple(sorted(names)))
        for name in at or self.nodes:
            self.step(self.nodes[name], lambda m: m.on_voters(self.now_ns, voters))

    def partition(self, *groups: Iterable[str]) -> None:
        """Nothing goes from one group to another."""
        self.cut = {(a, b) for g in groups for h in groups if g is not h for a in g for b in h}

    # clients

    def propose(self, at: str, key: str = "k", value: bytes = b"v", timeout: float = 10.0, name: str = "") -> str:
        self._proposals += 1
        name = name or f"{at}-{self._proposals}"
        proposal = Proposal(name, key, value, at, 0, ns(timeout))
        self.step(self.nodes[at], lambda m: m.on_proposal(self.now_ns, proposal))
        return name

    def vote(self, at: str, proposal: str, yes: bool) -> None:
        self.step(self.nodes[at], lambda m: m.on_vote(self.now_ns, proposal, yes))

    def read(self, at: str, timeout: float = 2.0) -> str:
        self._proposals += 1
        name = f"read-{self._proposals}"
        self.checker.on_read(name)
        self.step(self.nodes[at], lambda m: m.on_read(self.now_ns, name, ns(timeout)))
        return name

    def status(self, proposal: str, at: str) -> list[str]:
        """The ends of a proposal at a node, in order, over all its lives."""
        return [
            e.status for _, node, e in self.events if node == at and isinstance(e, Decided) and e.proposal == proposal
        ]

    def read_done(self, read: str) -> ReadDone | None:
        return next((e for _, _, e in self.events if isinstance(e, ReadDone) and e.read == read), None)

    # the contract

    def step(self, process: Process, call: Callable[[Any], Any]) -> None:
        if not process.running:
            return
        self.apply(process, call(process.machine))
        due_ns = process.machine.next_deadline()
        if due_ns is not None and (process.woken_ns is None or due_ns < process.woken_ns):
            process.woken_ns = due_ns
            life = process.life
            self.at(max(due_ns, self.now_ns), lambda: self.wake(process, life))

    def wake(self, process: Process, life: int) -> None:
        if not process.running or process.life != life:
            return
        process.woken_ns = None
        self.step(process, lambda m: m.on_deadline(self.now_ns))
        due_ns = process.machine.next_deadline()
        assert due_ns is None or due_ns > self.now_ns, "a deadline that is never met"

    def apply(self, process: Process, effects: list[Effect]) -> None:
        for number, effect in enumerate(effects):
            if isinstance(effect, Send):
                self.send(process, effect)
            elif isinstance(effect, Emit):
                self.emit(process, effect.event)
            else:
                process.writing.append((effect, list(effects[number + 1 :])))
                written_ns = self.now_ns + ns(self.rng.uniform(*self.disk))
                process.disk_free_ns = max(process.disk_free_ns, written_ns)
                self.at(process.disk_free_ns, partial(self.written, process, process.life))
                return

    def written(self, process: Process, life: int) -> None:
        if not process.running or process.life != life:
            return
        persist, held = process.writing.pop(0)
        self.store(process, persist)
        self.apply(process, held)
        self.step(process, lambda m: m.on_persisted(self.now_ns, persist.token))

    def store(self, process: Process, persist: Persist) -> None:
        if persist.checkpoint:
            process.records.clear()
        process.records.append(persist.record)

    def send(self, process: Process, send: Send) -> None:
        frame = encode(send.message)
        assert type(send.message) in SPEC.messages
        is_sync = isinstance(send.message, (Inquire, Inventory)) and not send.message.nonce
        assert send.lane == ("datagram" if is_sync else "stream")
        for to in send.to:
            assert to != process.id
            if to not in self.nodes:
                continue
            self.messages += 1
            if self.rng.random() < self.loss or (process.id, to) in self.cut or isinstance(send.message, self.lost):
                continue
            for _ in range(2 if self.rng.random() < self.doubled else 1):
                at_ns = self.now_ns + ns(self.rng.uniform(*self.delay))
                if self.in_order:
                    at_ns = self._arrived[process.id, to] = max(at_ns, self._arrived.get((process.id, to), 0))
                self.at(at_ns, partial(self.deliver, process.id, to, frame))

    def deliver(self, source: str, to: str, frame: bytes) -> None:
        message = decode_message(frame)
        self.step(self.nodes[to], lambda m: m.on_message(self.now_ns, source, message))

    def emit(self, process: Process, event: Event) -> None:
        process.is_starting = not process.machine.snapshot().ready
        self.events.append((self.now_ns, process.id, event))
        if isinstance(event, Decided):
            self.checker.on_decided(process, event)
        elif isinstance(event, ReadDone):
            self.checker.on_read_done(process, event)

    # what is asked of it

    def check(self) -> None:
        conflicts = sum(p.machine.snapshot().conflicts for p in self.nodes.values())
        assert not self.checker.complaints, f"seed {self.seed}: {self.checker.complaints[:3]}"
        assert conflicts == 0, f"seed {self.seed}: {conflicts} conflicting commits"

    def committed_at(self, proposal: str) -> list[str]:
        """The nodes that were told of its commit in their present life."""
        return [name for name, process in self.nodes.items() if proposal in process.committed]


class Solo:
    """One engine named `me` among the voters me, a, b, c, d, at a disk that is at once done unless it is `held`."""

    def __init__(self, options: QuorumOptions | None = None, **more: Any) -> None:
        self.options = options or QuorumOptions()
        self.more = more
        self.now_ns = 0
        self.records: list[bytes] = seated(("a", "b", "c", "d", "me"))
        self.held = False
        self.writing: list[tuple[Persist, list[Effect]]] = []
        self.start()

    def start(self, voters: Voters = Voters(1, ("a", "b", "c", "d", "me"))) -> list[Effect]:  # noqa: B008
        """Build the engine from what is durable."""
        self.writing.clear()
        context = ConsensusContext(member("me"), "local:hub", "local", Random(1), 0, list(self.records), lambda: b"")
        self.engine = Quorum(context, self.options, **self.more)
        self.call("on_members", [member(name) for name in ("me", "a", "b", "c", "d", "e")])
        return self.call("on_voters", voters)

    def call(self, name: str, *arguments: Any) -> list[Effect]:
        """Call the engine; gives all effects that are let out, with those of the records that became durable."""
        return self.let_out(getattr(self.engine, name)(self.now_ns, *arguments))

    def hear(self, sender: str, message: Any) -> list[Any]:
        """A message comes in; gives the messages sent."""
        effects = self.call("on_message", sender, decode_message(encode(message)))
        return [effect.message for effect in effects if isinstance(effect, Send)]

    def let_out(self, effects: Iterable[Effect]) -> list[Effect]:
        effects = list(effects)
        for number, effect in enumerate(effects):
            if isinstance(effect, Persist):
                self.writing.append((effect, effects[number + 1 :]))
                return effects[:number] + ([] if self.held else self.sync())
        return effects

    def sync(self) -> list[Effect]:
        """The disk gets done."""
        out: list[Effect] = []
        while self.writing:
            persist, rest = self.writing.pop(0)
            if persist.checkpoint:
                self.records.clear()
            self.records.append(persist.record)
            out += self.let_out(rest)
            out += self.let_out(self.engine.on_persisted(self.now_ns, persist.token))
        return out

    @property
    def stamp(self) -> Any:
        """What messages must name as the voters."""
        return self.engine._desk.electorate.stamp

    def drops(self) -> dict[str, int]:
        return self.engine.snapshot().drops


@pytest.fixture
def make_pool() -> type[Pool]:
    """The class: `make_pool(5, seed=3)`."""
    return Pool


@pytest.fixture
def make_solo() -> type[Solo]:
    """The class: `make_solo(options)`."""
    return Solo
