"""Requests walked hop by hop through whole hierarchies, with each router that is installed.

Views are built as core would. A node asks the routers of its pools, lowest first, and the first that does not refuse
decides. A node on the path is never visited again; a hop that turns out dead is avoided, and the same node asked again.
"""

import importlib
import random
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import pytest

from mpreg_core import (
    NS_PER_MS,
    Address,
    Forward,
    Local,
    Member,
    NodeId,
    PoolId,
    PoolTier,
    Refuse,
    RouterSpec,
    StrategyContext,
    Target,
    Tier,
    View,
)

FORWARDS_MAX = 5


@dataclass
class Fleet:
    """Who is attached to whom. `dead` nodes are not attached and in no view; `silent` ones are, yet do not answer."""

    spec: RouterSpec[Any, Any]
    globals: int
    regionals: int  # in each of three regions
    locals: int  # in each region
    clusters: int = 2  # below each local hub
    dead: frozenset[NodeId] = frozenset()
    silent: frozenset[NodeId] = frozenset()
    members: dict[NodeId, Member] = field(default_factory=dict)
    routers: dict[NodeId, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        regions = [f"region{r}" for r in range(3)]
        for g in range(self.globals):
            self._add(f"g{g}", "global", "region0", [])
        for number, region in enumerate(regions):
            for r in range(self.regionals):
                self._add(f"r{number}{r}", "regional", region, [f"g{g}" for g in range(self.globals)])
        for number, region in enumerate(regions):
            near = [f"r{number}{r}" for r in range(self.regionals)]
            far = [f"r{n}{r}" for n in range(3) for r in range(self.regionals) if n != number]
            for index in range(self.locals):
                self._add(f"l{number}{index}", "local", region, near + far)
        for number, region in enumerate(regions):
            for index in range(self.locals):
                others = [f"l{number}{(index + step) % self.locals}" for step in range(self.locals)]
                for c in range(self.clusters):
                    self._add(f"c{number}{index}{c}", "cluster", region, others)
        self._build()

    def _add(self, id: NodeId, tier: Tier, region: str, parents: list[NodeId]) -> None:
        if id not in self.dead:
            parent = next((hub for hub in parents if hub in self.members), None)
            self.members[id] = Member(
                id=id, incarnation=0, status="alive", tier=tier, region=region, address=Address("h"), started_ms=0,
                parent=parent,
            )  # fmt: skip

    def _pools(self) -> dict[PoolId, list[NodeId]]:
        pools: dict[PoolId, list[NodeId]] = defaultdict(list)
        for id, member in self.members.items():
            parent = self.members.get(member.parent or "")
            if member.tier in ("global", "regional"):
                pools["global"].append(id)
            if member.tier == "regional":
                pools[f"regional:{member.region}"].append(id)
            if member.tier == "local":
                pools[f"local:{id}"].append(id)
                if parent is not None:
                    pools[f"regional:{parent.region}"].append(id)
            if member.tier == "cluster" and parent is not None:
                pools[f"local:{parent.id}"].append(id)
        return pools

    def _below(self, hub: NodeId, pools: dict[PoolId, list[NodeId]]) -> frozenset[str]:
        member = self.members[hub]
        pool = {"regional": f"regional:{member.region}", "local": f"local:{hub}"}.get(member.tier, "")
        ids = {id for id in pools.get(pool, []) if id != hub and self.members[id].tier != member.tier}
        return frozenset(ids | {below for id in ids for below in self._below(id, pools)})

    def _build(self) -> None:
        rng = random.Random(5)
        pools = self._pools()
        order: list[tuple[str, PoolTier]] = [("local:", "local"), ("regional:", "regional"), ("global", "global")]
        for prefix, tier in order:
            for pool in sorted(id for id in pools if id.startswith(prefix)):
                ids = pools[pool]
                leaders = [id for id in ids if self.members[id].tier == tier]
                below = {id: self._below(id, pools) for id in ids if self.members[id].tier != "cluster"}
                for me in ids:
                    parent = self.members[me].parent
                    hub = parent if parent in leaders else next((id for id in leaders), None)
                    view = View(
                        me,
                        tier,
                        {id: self.members[id] for id in ids},
                        {id: rng.randrange(10, 200) * NS_PER_MS for id in ids if id != me},
                        None if self.members[me].tier == tier else hub,
                        below,
                    )
                    context = StrategyContext(self.members[me], pool, tier, random.Random(1), 0)
                    router = self.spec.create(context, self.spec.options())
                    router.on_view(0, view)
                    self.routers.setdefault(me, []).append(router)

    def target(self, node: NodeId) -> Target:
        member = self.members[node]
        return Target(node=node, hub=member.parent, region=member.region)

    def walk(self, start: NodeId, target: Target) -> tuple[list[NodeId], bool]:
        """The nodes visited, and whether the last one is the target."""
        path, failed = [start], set[NodeId]()
        while len(path) <= 2 * FORWARDS_MAX:
            for router in self.routers[path[-1]]:
                route = router.route(target, frozenset(path) | failed, "optimal")
                if not isinstance(route, Refuse):
                    break
            if isinstance(route, Local):
                return path, True
            if not isinstance(route, Forward):
                return path, False
            assert route.next_hop not in path, (path, route)
            if route.next_hop in self.silent:
                failed.add(route.next_hop)
            else:
                path.append(route.next_hop)
                failed.clear()
        raise AssertionError(f"no end after {path}")

    def clusters_alive(self) -> list[NodeId]:
        return [id for id, member in self.members.items() if member.tier == "cluster"]


@pytest.fixture(params=["hub", "graph"])
def spec(request: pytest.FixtureRequest) -> RouterSpec[Any, Any]:
    plugin = pytest.importorskip(f"mpreg_routing_{request.param}.plugin")
    found: RouterSpec[Any, Any] = importlib.import_module(plugin.__name__).SPEC
    return found


def assert_all_pairs_reached(fleet: Fleet) -> None:
    for start, goal in permutations(fleet.clusters_alive(), 2):
        path, reached = fleet.walk(start, fleet.target(goal))
        assert reached, (start, goal, path)
        assert path[-1] == goal
        assert len(path) - 1 <= FORWARDS_MAX, path


def hubs_of(globals: int, regionals: int, locals: int) -> list[NodeId]:
    hubs = [f"g{g}" for g in range(globals)] + [f"r{n}{r}" for n in range(3) for r in range(regionals)]
    return hubs + [f"l{n}{index}" for n in range(3) for index in range(locals)]


def test_every_pair_of_cluster_nodes_is_reached_in_five_forwards(spec: RouterSpec[Any, Any]) -> None:
    assert_all_pairs_reached(Fleet(spec, globals=1, regionals=1, locals=4))


def test_a_request_between_regions_goes_across_and_not_over_the_top(spec: RouterSpec[Any, Any]) -> None:
    fleet = Fleet(spec, globals=1, regionals=1, locals=4)
    path, _ = fleet.walk("c000", fleet.target("c231"))
    assert path == ["c000", "l00", "r00", "r20", "l23", "c231"]


@pytest.mark.parametrize("lost", hubs_of(1, 1, 4))
def test_with_any_one_hub_gone_and_its_children_attached_elsewhere_all_are_reached(
    spec: RouterSpec[Any, Any], lost: NodeId
) -> None:
    assert_all_pairs_reached(Fleet(spec, globals=1, regionals=1, locals=4, clusters=1, dead=frozenset({lost})))


@pytest.mark.parametrize("lost", hubs_of(2, 2, 0))
def test_with_two_hubs_each_the_loss_of_one_is_got_round_before_anyone_noticed(
    spec: RouterSpec[Any, Any], lost: NodeId
) -> None:
    assert_all_pairs_reached(Fleet(spec, globals=2, regionals=2, locals=2, silent=frozenset({lost})))


@pytest.mark.parametrize("lost", ["r10", "l10"])
def test_without_an_alternative_the_request_ends_in_a_refusal(spec: RouterSpec[Any, Any], lost: NodeId) -> None:
    fleet = Fleet(spec, globals=1, regionals=1, locals=4, silent=frozenset({lost}))
    path, reached = fleet.walk("c000", fleet.target("c100"))
    assert not reached
    assert len(path) - 1 <= FORWARDS_MAX


def test_a_target_known_by_its_region_alone_gets_to_that_regions_hub(spec: RouterSpec[Any, Any]) -> None:
    path, reached = Fleet(spec, globals=1, regionals=1, locals=4).walk("c000", Target(region="region2"))
    assert path == ["c000", "l00", "r00", "r20"]
    assert not reached  # there, core resolves the target anew; the router itself knows no more


def test_a_target_known_by_its_hub_alone_is_reached_at_that_hub(spec: RouterSpec[Any, Any]) -> None:
    path, reached = Fleet(spec, globals=1, regionals=1, locals=4).walk("c000", Target(hub="l23", region="region2"))
    assert path == ["c000", "l00", "r00", "r20", "l23"]
    assert reached


def test_an_unknown_node_is_refused_within_the_bound(spec: RouterSpec[Any, Any]) -> None:
    for region in (None, "region0", "region1", "nowhere"):
        path, reached = Fleet(spec, globals=1, regionals=1, locals=4).walk("c000", Target(node="nobody", region=region))
        assert not reached
        assert len(path) - 1 <= 3
