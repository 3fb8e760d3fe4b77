"""Whole federations of the installed strategies in the simulator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from mpreg_core.assembly import parts_of
from mpreg_core.config.load import read_config
from mpreg_core.config.resolve import resolve
from mpreg_core.contracts.members import Coordinates
from mpreg_core.ids import NodeId, Tier
from mpreg_core.node.parts import NodeSettings, PartsOf
from mpreg_core.plugin.discovery import load_plugins
from mpreg_core.sim import Faults, SimNode, World
from mpreg_core.sim.world import address_of

PLACES = {"us": Coordinates(40.7, -74.0), "eu": Coordinates(50.1, 8.7), "ap": Coordinates(1.3, 103.8)}


@dataclass
class Fleet:
    """A federation in a world: `g`, `r-<region>`, `l-<region>-<n>`, `c-<region>-<n>-<m>`."""

    world: World
    parts: PartsOf
    ids: list[NodeId] = field(default_factory=list)

    def add(self, node: NodeId, tier: Tier, region: str, parent: NodeId | None, **more: Any) -> SimNode:
        self.ids.append(node)
        settings = NodeSettings(
            id=node,
            federation="test",
            tier=tier,
            region=region,
            address=address_of(node),
            started_ms=0,
            seed=0,
            parent=parent,
            parent_address=address_of(parent) if parent else None,
            coordinates=PLACES.get(region),
            version="1",
            **more,
        )
        sim = self.world.add(settings, self.parts)
        sim.handlers["mpreg.echo"] = lambda invoke: ("", invoke.payload)
        return sim

    def grow(self, regions: Sequence[str] = ("us", "eu"), hubs: int = 2, clusters: int = 1) -> None:
        self.add("g", "global", "us", None)
        for region in regions:
            self.add(f"r-{region}", "regional", region, "g")
            for hub in range(1, hubs + 1):
                self.add(f"l-{region}-{hub}", "local", region, f"r-{region}")
                for cluster in range(1, clusters + 1):
                    self.add(f"c-{region}-{hub}-{cluster}", "cluster", region, f"l-{region}-{hub}")

    def complete(self) -> bool:
        pools: dict[str, list[set[NodeId]]] = {}
        for node in self.world.nodes.values():
            if node.alive and node.core.state.life == "joining":
                return False
            if node.alive:
                for stack in node.core.state.stacks.values():
                    alive = {entry.member.id for entry in stack.table if entry.member.status == "alive"}
                    pools.setdefault(stack.pool, []).append(alive)
        return all(len(views) == len(views[0]) and all(v == views[0] for v in views) for views in pools.values())

    def status(self, at: NodeId, pool: str, node: NodeId) -> str:
        member = self.world.nodes[at].core.state.stacks[pool].table.member(node)
        return member.status if member else "unknown"

    def request(self, at: NodeId, service: str, timeout_s: float = 2.0, **target: Any) -> Any:
        tokens: list[int] = []

        def ask(core: Any) -> None:
            tokens.append(core.new_token())
            core.requests.ask(tokens[0], service, b'"hi"', round(timeout_s * 1e9), **target)

        self.world.command(at, ask)
        results = self.world.nodes[at].results
        self.world.run_until(lambda: tokens[0] in results, timeout_s + 1)
        return results.get(tokens[0])

    def propose(self, at: NodeId, key: str, value: Any, scope: str = "pool", timeout_s: float = 10.0) -> Any:
        tokens: list[int] = []

        def act(core: Any) -> None:
            tokens.append(core.new_token())
            core.decisions.propose(tokens[0], scope, key, value, round(timeout_s * 1e9))

        self.world.command(at, act)
        results = self.world.nodes[at].results
        self.world.run_until(lambda: tokens[0] in results, timeout_s + 2)
        return results.get(tokens[0])

    def values(self, key: str, scope: Any = "federation") -> set[Any]:
        found = set()
        for node in self.world.nodes.values():
            if node.alive:
                entries = node.core.replication.list(key, scope)
                found.add(entries[0].value if entries else None)
        return found


COMBINATIONS = {
    "default": (),
    "phi": ("phi",),
    "graph": ("graph",),
    "phi and graph": ("phi", "graph"),
    "random": ("random",),
    "proximity": ("proximity",),
    "topology_aware": ("topology_aware",),
    "plumtree": ("plumtree",),
    "raft": ("raft",),
    "mixed tiers": ("local:phi", "regional:graph", "regional:plumtree", "regional:raft", "global:random"),
}


@pytest.fixture(scope="session")
def fleet() -> Callable[..., Fleet]:
    """`fleet(seed=1, combination="default", loss=0.1)`."""
    plugins = load_plugins()
    parts: dict[str, PartsOf] = {}

    def make(seed: int = 1, combination: str = "default", **faults: float) -> Fleet:
        if combination not in parts:
            config, problems = read_config(data={}, env={})
            assert not problems
            parts[combination] = parts_of(resolve(config, plugins, COMBINATIONS[combination]))
        return Fleet(World(seed, Faults(**faults)), parts[combination])

    return make


@pytest.fixture(params=list(COMBINATIONS))
def combination(request: pytest.FixtureRequest) -> str:
    return str(request.param)
