"""A deterministic pool of raft engines: virtual time, a network that loses, doubles and overtakes, disks that forget.

Checkers look at every step: figure 3's promises, reads, and that an id is decided once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from random import Random
from typing import Any

from mpreg_consensus_raft.machine import Raft
from mpreg_consensus_raft.options import RaftOptions
from mpreg_core import (
    NS_PER_MS,
    NS_PER_S,
    Address,
    ConsensusContext,
    Decided,
    Emit,
    Member,
    Proposal,
    ReadDone,
    Send,
    Voters,
)


class BrokenPromiseError(AssertionError):
    """A checker's finding."""


def member(name: str, boot: int = 1, status: Any = "alive") -> Member:
    return Member(
        id=name, incarnation=boot, status=status, tier="cluster", region="here", address=Address("h"), started_ms=boot
    )


@dataclass
class Process:
    """One node: its journal as it is durable, and what waits for the disk."""

    name: str
    records: list[bytes] = field(default_factory=list)
    writing: list[tuple[Any, list[Any]]] = field(default_factory=list)
    machine: Any = None
    life: int = 0
    disk_free_ns: int = 0
    seen_commit: int = 0
    seen_leader: bool = False


class Pool:
    """`n0`..; all vote. Faults are fields that may be set at any time."""

    def __init__(self, count: int, seed: int, **options: Any) -> None:
        self.rng = Random(seed)
        self.options = RaftOptions(election_timeout=0.3, heartbeat_interval=0.05, **options)
        self.now_ns = 0
        self.heap: list[tuple[int, int, Callable[[], None]]] = []
        self.count = 0
        self.loss = self.doubled = 0.0
        self.groups: dict[str, int] = {}
        self.delay_ms = (0.2, 8.0)
        self.ids = [f"n{number}" for number in range(count)]
        self.epoch = 1
        self.voters = tuple(self.ids)
        self.processes = {name: Process(name) for name in self.ids}
        self.leaders: dict[tuple[Any, int], str] = {}
        self.committed: list[tuple[int, Any] | None] = [None]
        self.decided: dict[str, list[Decided]] = {name: [] for name in self.ids}
        self.told: dict[str, Decided] = {}
        self.asked: dict[str, int] = {}
        self.reads: dict[str, ReadDone] = {}
        self.number = 0
        for name in self.ids:
            self.start(name)

    # life

    def start(self, name: str) -> None:
        process = self.processes[name]
        process.life += 1
        process.seen_commit, process.seen_leader = 0, False
        process.disk_free_ns = self.now_ns
        context = ConsensusContext(
            member(name, process.life),
            "pool",
            "local",
            Random(f"{name}/{process.life}/{self.rng.random()}"),
            self.now_ns,
            tuple(process.records),
            lambda: b"",
        )
        process.machine = Raft(context, self.options)
        self.step(process, lambda m: m.on_members(self.now_ns, [member(each) for each in self.ids]))
        self.step(process, lambda m: m.on_voters(self.now_ns, Voters(self.epoch, self.voters)))

    def crash(self, name: str) -> None:
        """What was not synced is gone."""
        process = self.processes[name]
        process.machine = None
        process.life += 1
        process.writing.clear()

    def change(self, voters: tuple[str, ...]) -> None:
        """Other members are to vote."""
        self.epoch += 1
        self.voters = voters
        for process in self.processes.values():
            if process.machine is not None:
                self.step(process, lambda m: m.on_voters(self.now_ns, Voters(self.epoch, voters)))

    # asking

    def propose(self, at: str, key: str, timeout_s: float = 2.0, name: str = "", size: int = 0) -> str:
        self.number += 1
        name = name or f"p{self.number}"
        proposal = Proposal(name, key, f"{self.number}".encode().rjust(size), at, 0, round(timeout_s * NS_PER_S))
        self.step(self.processes[at], lambda m: m.on_proposal(self.now_ns, proposal))
        return name

    def read(self, at: str, timeout_s: float = 2.0) -> str:
        self.number += 1
        name = f"{at}/r{self.number}"
        self.asked[name] = len(self.committed) - 1
        self.step(self.processes[at], lambda m: m.on_read(self.now_ns, name, round(timeout_s * NS_PER_S)))
        return name

    # time

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        end_ns = self.now_ns + round(seconds * NS_PER_S)
        while self.heap and self.heap[0][0] <= end_ns:
            self.now_ns, _, act = heappop(self.heap)
            act()
            if until():
                return True
        self.now_ns = end_ns
        return until()

    def at(self, at_ns: int, act: Callable[[], None]) -> None:
        self.count += 1
        heappush(self.heap, (at_ns, self.count, act))

    def step(self, process: Process, call: Callable[[Any], Any]) -> None:
        if process.machine is None:
            return
        effects = list(call(process.machine))
        self.apply(process, effects)
        self.check(process)
        due_ns = process.machine.next_deadline()
        if due_ns is not None:
            life = process.life
            self.at(max(due_ns, self.now_ns), lambda: self.wake(process, life, due_ns))

    def wake(self, process: Process, life: int, due_ns: int) -> None:
        if process.life == life and process.machine.next_deadline() == due_ns:
            self.step(process, lambda m: m.on_deadline(self.now_ns))

    def apply(self, process: Process, effects: list[Any]) -> None:
        for number, effect in enumerate(effects):
            if isinstance(effect, Send):
                for to in effect.to:
                    self.send(process.name, to, effect.message)
            elif isinstance(effect, Emit):
                self.emit(process, effect.event)
            else:
                process.writing.append((effect, effects[number + 1 :]))
                written_ns = max(process.disk_free_ns, self.now_ns) + round(self.rng.uniform(0.1, 3) * NS_PER_MS)
                process.disk_free_ns = written_ns
                self.at(written_ns, partial(self.written, process, process.life))
                return

    def written(self, process: Process, life: int) -> None:
        if process.life != life:
            return
        persist, rest = process.writing.pop(0)
        if persist.checkpoint:
            process.records.clear()
        process.records.append(persist.record)
        self.apply(process, rest)
        self.step(process, lambda m: m.on_persisted(self.now_ns, persist.token))

    def send(self, source: str, to: str, message: Any) -> None:
        rng = self.rng
        if to not in self.processes or rng.random() < self.loss:
            return
        for _ in range(2 if rng.random() < self.doubled else 1):
            arrives_ns = self.now_ns + round(rng.uniform(*self.delay_ms) * NS_PER_MS)
            self.at(arrives_ns, lambda: self.arrive(source, to, message))

    def arrive(self, source: str, to: str, message: Any) -> None:
        if self.groups.get(source, 0) == self.groups.get(to, 0):
            self.step(self.processes[to], lambda m: m.on_message(self.now_ns, source, message))

    # checkers

    def emit(self, process: Process, event: Any) -> None:
        if isinstance(event, ReadDone):
            self.reads[event.read] = event
            if event.ok and process.machine._desk.applied.index < self.asked[event.read]:
                raise BrokenPromiseError(f"stale read {event.read}")
        if isinstance(event, Decided):
            if event.status == "committed":
                self.decided[process.name].append(event)
                known = self.told.setdefault(f"{event.key}/{event.index}", event)
                if (known.proposal, known.value) != (event.proposal, event.value):
                    raise BrokenPromiseError(f"{event.key} {event.index} is {known.proposal} and {event.proposal}")
                first = self.told.setdefault(event.proposal, event)
                if (first.key, first.index) != (event.key, event.index):
                    raise BrokenPromiseError(f"{event.proposal} was decided twice")
            else:
                self.told.setdefault(f"{event.status}/{event.proposal}", event)

    def check(self, process: Process) -> None:
        """Figure 3, after every step."""
        desk = process.machine._desk
        if desk.role == "leader":
            leader = self.leaders.setdefault((desk.cluster, desk.term), process.name)
            if leader != process.name:
                raise BrokenPromiseError(f"two leaders of term {desk.term}: {leader} and {process.name}")
            if not process.seen_leader:
                index = min(len(self.committed) - 1, desk.log.last_index)
                if len(self.committed) - 1 > desk.log.last_index:
                    raise BrokenPromiseError("a leader lacks what is committed")
                known = self.committed[index]
                if known is not None and index > desk.log.base and desk.log.term_at(index) != known[0]:
                    raise BrokenPromiseError("a leader has another entry for what is committed")
        process.seen_leader = desk.role == "leader"
        for index in range(process.seen_commit + 1, desk.commit + 1):
            found = None
            if index > desk.log.base:  # else compacted in the very step
                entry = desk.log.entry(index)
                found = (entry.term, entry.proposal.id if entry.proposal else entry.config)
            if index == len(self.committed):
                self.committed.append(found)
            elif found is not None:
                known = self.committed[index]
                self.committed[index] = known or found
                if known not in (None, found):
                    raise BrokenPromiseError(f"entry {index} is {known} and {found}")
        process.seen_commit = max(process.seen_commit, desk.commit)

    # looking

    def leader(self) -> str:
        """The one with the highest term, or none."""
        found = [
            (process.machine._desk.term, name)
            for name, process in self.processes.items()
            if process.machine is not None and process.machine._desk.role == "leader"
        ]
        return max(found)[1] if found else ""

    def has(self, name: str) -> Callable[[], bool]:
        return lambda: all(
            any(each.proposal == name for each in events)
            for node, events in self.decided.items()
            if self.processes[node].machine is not None
        )


def flicker(pool: Pool, rng: Random) -> None:
    """For a moment nodes go down and come back within milliseconds, leaders first: between a vote and its record."""
    for _ in range(12):
        name = rng.choice([pool.leader() or "n0", rng.choice(pool.ids)])
        if pool.processes[name].machine is not None:
            pool.crash(name)
            pool.run(rng.uniform(0.0005, 0.02))
            pool.start(name)
        for process in pool.processes.values():
            if process.machine is not None and rng.random() < 0.5:
                process.machine._desk.leader_heard_ns = -1 << 62  # as if the silence had lasted
                process.machine._desk.timers["election"] = pool.now_ns + rng.randrange(1, 4_000_000)
                pool.step(process, lambda machine: ())
        pool.run(rng.uniform(0.001, 0.03))


def chaos(seed: int, *, nodes: int = 3, seconds: int = 6, **options: Any) -> Pool:
    """Proposals and reads from everywhere while nodes crash, links lose and voters change; then peace, and progress."""
    pool = Pool(nodes, seed, **options)
    rng = Random(f"chaos/{seed}")
    pool.run(2, until=lambda: bool(pool.leader()))
    names: list[str] = []
    for _ in range(seconds * 20):
        up = [name for name, process in pool.processes.items() if process.machine is not None]
        match rng.randrange(16):
            case 14 | 15:
                flicker(pool, rng)
            case 0 if len(up) > 1:
                pool.crash(rng.choice([pool.leader() or up[0], rng.choice(up)]))
            case 1 | 2:
                down = [name for name in pool.ids if name not in up]
                if down:
                    pool.start(rng.choice(down))
            case 3:
                alone = pool.leader() if rng.random() < 0.6 else rng.choice(pool.ids)
                pool.groups = {alone: 1}
            case 4 | 5:
                pool.groups = {}
            case 6:
                pool.loss, pool.doubled = rng.choice([(0.0, 0.0), (0.1, 0.2), (0.3, 0.1)])
            case 7:
                pool.delay_ms = rng.choice([(0.2, 8.0), (0.2, 60.0)])
            case 8 if names and up:
                pool.propose(rng.choice(up), rng.choice("abc"), name=rng.choice(names))  # the same once more
            case 9 if nodes > 3:
                pool.change(tuple(sorted(rng.sample(pool.ids, rng.randrange(3, nodes + 1)))))
            case _:
                for name in rng.sample(up, min(2, len(up))):
                    names.append(pool.propose(name, rng.choice("abc")))
                if up:
                    pool.read(rng.choice(up))
        pool.run(0.05)
    pool.groups, pool.loss, pool.doubled, pool.delay_ms = {}, 0.0, 0.0, (0.2, 5.0)
    pool.change(tuple(pool.ids))
    for name, process in pool.processes.items():
        if process.machine is None:
            pool.start(name)
    pool.run(4)
    last = pool.propose(pool.leader() or "n0", "last", timeout_s=5)
    if not pool.run(5, until=pool.has(last)):
        pictures = [str(process.machine.snapshot()) for process in pool.processes.values()]
        raise BrokenPromiseError(f"nothing is decided after peace came: {pictures}")
    return pool
