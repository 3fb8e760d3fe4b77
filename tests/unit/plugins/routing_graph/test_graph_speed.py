"""What a decision costs, asked again and for the first time, and a changed link. Prints; the bounds are loose."""

import random
from collections.abc import Callable
from time import perf_counter_ns

import pytest

from mpreg_core import NS_PER_MS, Address, Forward, Member, StrategyContext, Target, View
from mpreg_routing_graph.machine import GraphRouter
from mpreg_routing_graph.messages import LinkState
from mpreg_routing_graph.options import GraphOptions
from mpreg_routing_graph.paths import ShortestPaths

pytestmark = pytest.mark.bench
NOBODY: frozenset[str] = frozenset()


def router_in_pool_of(size: int, links: int = 3) -> tuple[GraphRouter, list[str], random.Random]:
    """A router that knows a pool whose members told `links` links each: about the graphs of the issue's figures."""
    rng = random.Random(size)
    ids = [f"node-{number}" for number in range(size)]
    members = {
        id: Member(
            id=id, incarnation=0, status="alive", tier="cluster", region="us", address=Address("h"), started_ms=1
        )
        for id in ids
    }
    context = StrategyContext(members[ids[0]], "local:l1", "local", random.Random(0), 0)
    router = GraphRouter(context, GraphOptions(flood_direct=256))
    rtts_ns = {peer: rng.randrange(1, 300) * NS_PER_MS for peer in rng.sample(ids[1:], min(size - 1, 100))}
    router.on_view(0, View(ids[0], "local", members, rtts_ns, None, {}))
    for id in ids[1:]:
        told = tuple((peer, rng.randrange(500, 300_000)) for peer in rng.sample(ids, links) if peer != id)
        router.on_message(0, id, LinkState(id, 1, 1, told))
    return router, ids, rng


def micros(call: Callable[[int], object], rounds: int) -> float:
    best = float("inf")
    for _ in range(3):
        begin = perf_counter_ns()
        for number in range(rounds):
            call(number)
        best = min(best, (perf_counter_ns() - begin) / rounds / 1_000)
    return best


@pytest.mark.parametrize("size", [100, 1_000, 10_000])
def test_a_decision_asked_for_again_is_a_look_up(size: int) -> None:
    router, ids, _ = router_in_pool_of(size)
    targets = [Target(node=id, hub="l1", region="us") for id in ids[1:100]]
    for target in targets:
        assert isinstance(router.route(target, NOBODY, "optimal"), Forward)
    warm = micros(lambda number: router.route(targets[number % 99], NOBODY, "optimal"), 20_000)
    path = frozenset({"caller", "hub"})
    avoiding = micros(lambda number: router.route(targets[number % 99], path, "optimal"), 20_000)
    print(f"\ngraph, {size} members: warm {warm:.2f} us, with others to avoid {avoiding:.2f} us")
    assert warm < 10


@pytest.mark.parametrize("size", [100, 1_000, 10_000])
def test_cold_decisions_and_link_changes(size: int) -> None:
    router, ids, rng = router_in_pool_of(size)
    begin = perf_counter_ns()
    router.route(Target(node=ids[-1]), NOBODY, "optimal")
    cold = (perf_counter_ns() - begin) / 1_000
    unasked = iter([Target(node=id, region=str(number)) for number in range(3) for id in rng.choices(ids[1:], k=500)])
    next_cold = micros(lambda number: router.route(next(unasked), NOBODY, "optimal"), 500)
    told = [
        (id, tuple((peer, rng.randrange(500, 300_000)) for peer in rng.sample(ids, 3) if peer != id))
        for id in rng.choices(ids[1:], k=600)
    ]
    changes = iter([LinkState(id, 1, 2 + number, links) for number, (id, links) in enumerate(told)])
    change = micros(lambda number: router.on_message(0, "", next(changes)), 200)
    print(
        f"\ngraph, {size} members: first decision {cold:.0f} us, the next targets {next_cold:.1f} us, "
        f"a member's links changed {change:.1f} us"
    )
    assert change < 10_000


@pytest.mark.parametrize("size", [1_000, 10_000])
def test_one_link_changed_in_a_tree_of_many(size: int) -> None:
    rng = random.Random(size)
    ids = [f"node-{number}" for number in range(size)]
    paths = ShortestPaths(ids[0])
    told = {id: {peer: rng.randrange(500, 300_000) for peer in rng.sample(ids, 3)} for id in ids}
    for id in ids:
        paths.set_links(id, told[id])
    paths.distance(ids[-1])
    costs = []
    for _ in range(500):
        id = rng.choice(ids)
        told[id][rng.choice(list(told[id]))] = rng.randrange(500, 300_000)
        begin = perf_counter_ns()
        paths.set_links(id, told[id])
        costs.append((perf_counter_ns() - begin) / 1_000)
    costs.sort()
    print(f"\npaths, {size} members: a link changed p50 {costs[250]:.1f} us, p99 {costs[495]:.0f} us")
    assert costs[250] < 1_000
