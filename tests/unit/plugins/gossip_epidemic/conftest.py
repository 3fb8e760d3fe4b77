"""A deterministic network for gossip: one heap of (time, order), one seed; replicas that hold versions by number.

Messages are encoded and decoded as on the wire. Loss concerns datagrams alone, as streams repeat what is lost.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from hashlib import blake2b
from operator import or_, xor
from typing import Any

import msgspec
import pytest

from mpreg_core import (
    DIGEST_FANOUT,
    NORMAL,
    NS_PER_MS,
    NS_PER_S,
    Address,
    Coordinates,
    Delivered,
    Emit,
    GossipContext,
    Item,
    Member,
    Send,
    ns,
)
from mpreg_core.limits import DATAGRAM_BYTES_MAX, FRAME_BYTES_MAX
from mpreg_gossip_epidemic.messages import Packed
from mpreg_gossip_epidemic.packing import unpack
from mpreg_gossip_epidemic.plugin import SPECS

ENVELOPE_BYTES = 64
BY_NAME = {spec.name: spec for spec in SPECS}
BORN_MS = 1_700_000_000_000


def hash63(*parts: bytes) -> int:
    return int.from_bytes(blake2b(b"\0".join(parts), digest_size=8).digest()) >> 1


def make_item(
    key: str,
    version: int = 1,
    size: int = 0,
    origin: str = "n0",
    kept: bool = True,
    priority: int = NORMAL,
    at_ns: int = 0,
) -> Item:
    """An item whose payload begins with its version; the stamp is a hash and says nothing of the order."""
    payload = (b"%d:" % version).ljust(size, b"x")
    born_ms = BORN_MS + at_ns // NS_PER_MS
    return Item(key, hash63(key.encode(), payload), payload, origin, born_ms, priority, kept)


class MemoryReplica:
    """Kept items by key, the higher version wins; a leaf's digest is computed anew when it changes."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.heard: set[tuple[str, int]] = set()
        self.by_leaf: dict[int, dict[str, int]] = {}
        self.leaf_digests = [0] * DIGEST_FANOUT**2
        self.branch_digests = [0] * DIGEST_FANOUT
        self.root_digest = 0

    def put(self, item: Item) -> None:
        if not item.kept:
            self.heard.add((item.key, item.stamp))
            return
        self.items[item.key] = item
        place = hash63(item.key.encode()) % DIGEST_FANOUT**2
        leaf = self.by_leaf.setdefault(place, {})
        leaf[item.key] = item.stamp
        digest = reduce(xor, (hash63(key.encode(), b"%d" % stamp) for key, stamp in leaf.items()), 0)
        change = digest ^ self.leaf_digests[place]
        self.leaf_digests[place] ^= change
        self.branch_digests[place // DIGEST_FANOUT] ^= change
        self.root_digest ^= change

    def is_news(self, item: Item) -> bool:
        if not item.kept:
            return (item.key, item.stamp) not in self.heard
        held = self.items.get(item.key)
        return held is None or version_of(item) > version_of(held)

    def root(self) -> int:
        return self.root_digest

    def branches(self) -> Sequence[int]:
        return self.branch_digests

    def leaves(self, branch: int) -> Sequence[int]:
        return self.leaf_digests[branch * DIGEST_FANOUT : (branch + 1) * DIGEST_FANOUT]

    def stamps(self, branch: int, leaf: int) -> Mapping[str, int]:
        return self.by_leaf.get(branch * DIGEST_FANOUT + leaf, {})

    def get(self, key: str) -> Item | None:
        return self.items.get(key)


def version_of(item: Item) -> int:
    return int(item.payload.partition(b":")[0] or b"0")


def make_member(
    name: str, region: str = "eu", status: str = "alive", place: tuple[float, float] | None = None
) -> Member:
    return Member(
        id=name,
        incarnation=1,
        status=status,  # type: ignore[arg-type]
        tier="cluster",
        region=region,
        address=Address("127.0.0.1", gossip=1),
        started_ms=1,
        coordinates=None if place is None else Coordinates(*place),
    )


def make_machine(strategy: str, me: Member, replica: Any = None, seed: int = 1, now_ns: int = 0, **options: Any) -> Any:
    """One machine alone."""
    spec = BY_NAME[strategy]
    rng = random.Random(f"{seed}/{me.id}")
    context = GossipContext(me, "local:hub", "local", rng, now_ns, MemoryReplica() if replica is None else replica)
    return spec.create(context, spec.options(**options))


class Node:
    def __init__(self, me: Member) -> None:
        self.me = me
        self.replica = MemoryReplica()
        self.machine: Any = None
        self.wake_ns: int | None = None
        self.got: Counter[tuple[str, int]] = Counter()
        self.got_ns: dict[tuple[str, int], int] = {}
        self.hops: dict[tuple[str, int], int] = {}


class Pool:
    """Nodes `n0`, `n1`, ...; the regions are dealt round. `latency` gives seconds between two regions, one way."""

    def __init__(
        self,
        strategy: str = "random",
        nodes: int = 10,
        *,
        seed: int = 1,
        loss: float = 0.0,
        regions: Mapping[str, tuple[float, float]] | None = None,
        latency: Callable[[str, str], float] = lambda a, b: 0.0005,
        jitter: float = 0.5,
        know_all: bool = True,
        **options: Any,
    ) -> None:
        self.strategy, self.seed, self.loss, self.options = strategy, seed, loss, options
        self.latency, self.jitter = latency, jitter
        self.rng = random.Random(seed)
        self.now_ns = 0
        self.order = 0
        self.heap: list[tuple[int, int, Callable[[], None]]] = []
        self.encoder = msgspec.msgpack.Encoder()
        self.decoder: Any = msgspec.msgpack.Decoder(reduce(or_, BY_NAME[strategy].messages))  # type: ignore[arg-type]
        self.frames: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.frames_to: Counter[str] = Counter()
        self.bytes_to: Counter[str] = Counter()
        self.bytes_from: Counter[str] = Counter()
        self.items = self.wan_items = 0
        self.trace: list[tuple[int, str, str, int]] = []
        self.cut: Callable[[str, str], bool] = lambda a, b: False
        self.places = dict(regions or {"eu": (50.0, 8.0)})
        self.nodes: dict[str, Node] = {}
        names = sorted(self.places)
        for index in range(nodes):
            self.add(f"n{index}", names[index % len(names)])
        if know_all:
            everyone = [node.me for node in self.nodes.values()]
            for node in self.nodes.values():
                self.tell(node, everyone)

    def add(self, name: str, region: str) -> Node:
        node = self.nodes[name] = Node(make_member(name, region, place=self.places[region]))
        node.machine = make_machine(self.strategy, node.me, node.replica, self.seed, self.now_ns, **self.options)
        return node

    def tell(self, node: Node, members: Sequence[Member]) -> None:
        self.step(node, node.machine.on_members(self.now_ns, members))

    # time

    def at(self, due_ns: int, act: Callable[[], None]) -> None:
        self.order += 1
        heapq.heappush(self.heap, (due_ns, self.order, act))

    def run(self, for_s: float, until: Callable[[], bool] | None = None) -> float:
        """Run virtual time on, or until something holds (asked every millisecond); gives the seconds it took."""
        begin_ns, end_ns = self.now_ns, self.now_ns + ns(for_s)
        ask_ns = self.now_ns
        while self.heap and self.heap[0][0] <= end_ns:
            self.now_ns, _, act = heapq.heappop(self.heap)
            act()
            quiet = not self.heap or self.heap[0][0] > self.now_ns + NS_PER_MS
            if until is not None and (quiet or self.now_ns >= ask_ns):
                ask_ns = self.now_ns + NS_PER_MS
                if until():
                    return (self.now_ns - begin_ns) / NS_PER_S
        self.now_ns = end_ns
        assert until is None or until(), f"not within {for_s} s (seed {self.seed})"
        return for_s

    # steps

    def step(self, node: Node, effects: Any) -> None:
        assert isinstance(effects, list | tuple)
        for effect in effects:
            if isinstance(effect, Send):
                self.send(node, effect)
            else:
                assert isinstance(effect, Emit)
                self.deliver(node, effect.event)
        due_ns = node.machine.next_deadline()
        if due_ns is not None and due_ns != node.wake_ns:
            node.wake_ns = due_ns
            self.at(max(due_ns, self.now_ns), lambda: self.wake(node))

    def wake(self, node: Node) -> None:
        due_ns = node.machine.next_deadline()
        if due_ns is None or due_ns > self.now_ns:
            return
        node.wake_ns = None
        self.step(node, node.machine.on_deadline(self.now_ns))
        due_ns = node.machine.next_deadline()
        assert due_ns is None or due_ns > self.now_ns, "a deadline that is never met"

    def deliver(self, node: Node, event: Any) -> None:
        assert isinstance(event, Delivered)
        version = (event.key, event.stamp)
        node.got[version] += 1
        node.got_ns.setdefault(version, self.now_ns)
        node.hops.setdefault(version, event.hops)
        item = Item(event.key, event.stamp, event.payload, event.origin, event.born_ms, kept=event.kept)
        if node.replica.is_news(item):
            node.replica.put(item)

    def send(self, node: Node, send: Send) -> None:
        frame = self.encoder.encode(send.message)
        assert len(frame) <= FRAME_BYTES_MAX - ENVELOPE_BYTES
        if send.lane == "datagram":
            assert len(frame) <= DATAGRAM_BYTES_MAX - ENVELOPE_BYTES, f"{len(frame)}: {send.message!r:.200}"
        assert len(set(send.to)) == len(send.to)
        kind = type(send.message).__name__
        news = unpack(send.message) if isinstance(send.message, Packed) else send.message
        items = len(getattr(news, "items", ()))
        for to in send.to:
            assert to != node.me.id
            self.frames[kind] += 1
            self.bytes[kind] += len(frame)
            self.frames_to[to] += 1
            self.bytes_to[to] += len(frame)
            self.bytes_from[node.me.id] += len(frame)
            self.items += items
            self.trace.append((self.now_ns, node.me.id, to, len(frame)))
            there = self.nodes.get(to)
            if there is None or self.cut(node.me.id, to):
                continue
            if there.me.region != node.me.region:
                self.wan_items += items
            if send.lane == "datagram" and self.rng.random() < self.loss:
                continue
            delay_s = self.latency(node.me.region, there.me.region) * (1 + self.jitter * self.rng.random())
            self.at(self.now_ns + ns(delay_s), lambda there=there: self.receive(there, node.me.id, frame))

    def receive(self, node: Node, sender: str, frame: bytes) -> None:
        self.step(node, node.machine.on_message(self.now_ns, sender, self.decoder.decode(frame)))

    # what is asked of it

    def publish(self, name: str, item: Item) -> tuple[str, int]:
        """Publish at a node; gives what names the version."""
        node = self.nodes[name]
        node.replica.put(item)
        node.got_ns[item.key, item.stamp] = self.now_ns
        self.step(node, node.machine.on_publish(self.now_ns, item))
        return item.key, item.stamp

    def hold(self, name: str, items: Sequence[Item]) -> None:
        """A node has held these items for long."""
        for item in items:
            self.nodes[name].replica.put(item)

    def all_have(self, version: tuple[str, int]) -> bool:
        return all(version in node.got_ns for node in self.nodes.values())

    def all_hold(self, key: str, version: int) -> bool:
        held = (node.replica.get(key) for node in self.nodes.values())
        return all(item is not None and version_of(item) == version for item in held)

    def in_sync(self) -> bool:
        return len({node.replica.root() for node in self.nodes.values()}) == 1


@pytest.fixture
def pool() -> type[Pool]:
    """The class: `pool("hybrid", 60, loss=0.1)`."""
    return Pool


@pytest.fixture
def item() -> Callable[..., Item]:
    """`item(key, version)`."""
    return make_item


@pytest.fixture
def member() -> Callable[..., Member]:
    """A member's record by name."""
    return make_member


@pytest.fixture
def machine() -> Callable[..., Any]:
    """One machine alone: `machine("random", me)`."""
    return make_machine


@pytest.fixture
def replica() -> type[MemoryReplica]:
    """The class."""
    return MemoryReplica


@pytest.fixture(params=sorted(BY_NAME))
def strategy(request: pytest.FixtureRequest) -> str:
    """Each of the four."""
    return str(request.param)
