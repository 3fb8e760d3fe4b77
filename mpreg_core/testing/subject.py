"""What is under test: a strategy with its options, put into real nodes whose other families are stand-ins."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import Struct

from mpreg_core.contracts.api import Json, Scope
from mpreg_core.contracts.events import Decided
from mpreg_core.contracts.strategy import AnySpec
from mpreg_core.errors import MpregError
from mpreg_core.ids import Family, NodeId, PoolTier, Tier
from mpreg_core.node.core import NodeCore
from mpreg_core.node.decisions import DecisionMade
from mpreg_core.node.parts import NodeSettings, Part, PoolParts
from mpreg_core.sim import Faults, SimNode, World
from mpreg_core.sim.world import address_of
from mpreg_core.testing.report import NotConformingError
from mpreg_core.testing.stand_ins import DICTATOR, HEARTBEATS, RUMOURS, STRAIGHT, NoOptions
from mpreg_core.testing.watch import Watch
from mpreg_core.units import ns

HUB: NodeId = "hub"
POOL = f"local:{HUB}"
STAND_INS: dict[Family, AnySpec] = {
    "failure_detector": HEARTBEATS,
    "gossip": RUMOURS,
    "consensus": DICTATOR,
    "routing": STRAIGHT,
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A strategy under test. `deep` asks for more seeds and larger pools."""

    spec: AnySpec
    options: Struct
    seeds: tuple[int, ...] = (1, 2)
    deep: bool = False
    name: str = ""
    watched: list[Watch] = field(default_factory=list, compare=False)  # of a run that several checks look at

    @property
    def family(self) -> Family:
        """Its family."""
        return self.spec.family

    @property
    def messages(self) -> tuple[type[Struct], ...]:
        """What it sends."""
        return getattr(self.spec, "messages", ())

    def create(self, context: Any) -> Any:
        """Its machine."""
        create: Any = self.spec.create
        return create(context, self.options)

    def parts(self, watch: Watch | None = None) -> PoolParts:
        """The strategies of a pool, this one among stand-ins."""
        made = {family: _part(spec, NoOptions()) for family, spec in STAND_INS.items()}
        own = _part(self.spec, self.options)
        made[self.family] = own if watch is None else replace(own, create=watch.wrap(own.create))
        return PoolParts(
            failure_detector=made["failure_detector"],
            gossip=made["gossip"],
            consensus=made["consensus"],
            routing=made["routing"],
        )

    def pool(self, nodes: int, seed: int, *, watch: Watch | None = None, **faults: float) -> "Pool":
        """A local pool of so many nodes, the hub among them, formed."""
        parts = self.parts(watch)
        made = Pool(World(seed, Faults(**faults)), lambda tier: parts, seed)
        made.add(HUB, "local", None)
        for number in range(1, nodes):
            made.add(f"n{number:02}", "cluster", HUB)
        made.expect(made.is_whole, 30, f"a pool of {nodes} to form within 30 s")
        return made


def _part(spec: AnySpec, options: Struct) -> Part:
    create: Any = spec.create
    return Part(
        family=spec.family,
        strategy=spec.name,
        protocol=spec.protocol or spec.name,
        wire=spec.wire,
        messages=getattr(spec, "messages", ()),
        create=lambda context: create(context, options),
    )


@dataclass
class Pool:
    """Nodes under a virtual clock, and what is asked of them."""

    world: World
    parts_of: Callable[[PoolTier], PoolParts]
    seed: int
    ids: list[NodeId] = field(default_factory=list)

    def add(self, node: NodeId, tier: Tier, parent: NodeId | None, region: str = "here") -> SimNode:
        """Start a node; its hub must have been added before."""
        self.ids.append(node)
        settings = NodeSettings(
            id=node,
            federation="conformance",
            tier=tier,
            region=region,
            address=address_of(node),
            started_ms=0,
            seed=self.seed,
            parent=parent,
            parent_address=address_of(parent) if parent else None,
            version="1",
        )
        made = self.world.add(settings, self.parts_of)
        made.handlers["mpreg.echo"] = lambda invoke: ("", invoke.payload)
        return made

    # looking

    def alive(self) -> list[NodeId]:
        """The nodes that run."""
        return [node for node in self.ids if self.world.nodes[node].alive]

    def status(self, at: NodeId, node: NodeId) -> str:
        """What a node holds of another."""
        for stack in self.world.nodes[at].core.state.stacks.values():
            member = stack.table.member(node)
            if member is not None:
                return member.status
        return "unknown"

    def everybody_says(self, node: NodeId, status: str) -> bool:
        """True if all others that run hold that of a node."""
        return all(self.status(at, node) == status for at in self.alive() if at != node)

    def is_whole(self) -> bool:
        """True if all that run hold all that run for alive."""
        running = self.alive()
        return all(self.status(at, node) == "alive" for at in running for node in running)

    def events(self, kind: type) -> Iterator[tuple[NodeId, Any]]:
        """All events of a kind since the nodes were started, with the node that saw them."""
        for node in self.ids:
            for occurrence in self.world.nodes[node].events:
                if isinstance(occurrence.event, kind):
                    yield node, occurrence.event

    def values(self, key: str) -> dict[NodeId, Json]:
        """A key's value at each node that runs; None where it is not known."""
        found: dict[NodeId, Json] = {}
        for node in self.alive():
            entries = self.world.nodes[node].core.replication.list(key, "pool")
            found[node] = next((entry.value for entry in entries if entry.key == key), None)
        return found

    # asking

    def put(self, at: NodeId, key: str, value: Json, scope: Scope = "pool") -> None:
        """Write replicated state."""
        self.world.command(at, lambda core: core.replication.put(key, value, scope, None, None))

    def delete(self, at: NodeId, key: str) -> None:
        """Remove replicated state."""
        self.world.command(at, lambda core: core.replication.delete(key, "pool", None))

    def listen(self) -> None:
        """Have every node want all messages: what nobody wants does not travel."""
        for node in self.alive():
            self.world.command(node, lambda core: core.messages.subscribe("#"))

    def publish(self, at: NodeId, topic: str, payload: bytes) -> None:
        """Publish a message to the pool."""
        self.world.command(at, lambda core: core.spread.publish(topic, payload))

    def propose(self, at: NodeId, key: str, value: Json, timeout_s: float = 5.0) -> int:
        """Begin a proposal; gives the token of its outcome."""
        tokens: list[int] = []

        def act(core: NodeCore) -> None:
            tokens.append(core.new_token())
            core.decisions.propose(tokens[0], "pool", key, value, ns(timeout_s))

        self.world.command(at, act)
        return tokens[0]

    def outcome(self, at: NodeId, token: int) -> Decided | MpregError | None:
        """How a proposal ended at its node; None while it has not."""
        result = self.world.nodes[at].results.get(token)
        return result.decided if isinstance(result, DecisionMade) else result  # type: ignore[return-value]

    def expect(self, condition: Callable[[], bool], within_s: float, what: str) -> float:
        """Let time pass until it is so; gives the seconds. Raises `NotConformingError` when it does not happen."""
        seconds = self.world.run_until(condition, within_s)
        if seconds >= within_s and not condition():
            raise NotConformingError(what, "it did not happen", self.seed)
        return seconds


def most_of(ids: Sequence[NodeId]) -> Sequence[NodeId]:
    """The first of them, more than half."""
    return ids[: len(ids) // 2 + 1]
