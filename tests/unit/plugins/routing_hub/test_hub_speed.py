"""What a decision costs, asked again and for the first time, and what a view costs. Prints; bounds are loose."""

import random
from collections.abc import Callable
from time import perf_counter_ns

import pytest

from mpreg_core import NS_PER_MS, Address, Forward, Member, StrategyContext, Target, Tier, View
from mpreg_routing_hub.machine import HubRouter
from mpreg_routing_hub.options import HubOptions

pytestmark = pytest.mark.bench
NOBODY: frozenset[str] = frozenset()


def pool_of(size: int) -> View:
    """A local hub's view of a regional pool: one in fifty members is a hub with two hundred ids below it."""
    members = {}
    for number in range(size):
        tier: Tier = "local" if number % 50 == 0 else "cluster"
        id = f"node-{number}"
        members[id] = Member(
            id=id, incarnation=0, status="alive", tier=tier, region="us", address=Address("h"), started_ms=1
        )
    hubs = [id for id, member in members.items() if member.tier == "local"]
    below = {hub: frozenset(f"{hub}-{number}" for number in range(200)) for hub in hubs}
    rng = random.Random(size)
    rtts_ns = {id: rng.randrange(1, 300) * NS_PER_MS for id in members if id != "node-0"}
    return View("node-0", "regional", members, rtts_ns, None, below)


def micros(call: Callable[[int], object], rounds: int) -> float:
    best = float("inf")
    for _ in range(3):
        begin = perf_counter_ns()
        for number in range(rounds):
            call(number)
        best = min(best, (perf_counter_ns() - begin) / rounds / 1_000)
    return best


@pytest.mark.parametrize("size", [100, 1_000, 10_000])
def test_decisions_and_views(size: int) -> None:
    view = pool_of(size)
    context = StrategyContext(view.members["node-0"], "regional:us", "regional", random.Random(0), 0)
    router = HubRouter(context, HubOptions())
    begin = perf_counter_ns()
    router.on_view(0, view)
    first = (perf_counter_ns() - begin) / 1e6
    again = micros(lambda number: router.on_view(number, view), 20) / 1e3
    targets = [Target(node=f"node-50-{number}", hub="node-50", region="us") for number in range(100)]
    for target in targets:
        assert isinstance(router.route(target, NOBODY, "optimal"), Forward)
    warm = micros(lambda number: router.route(targets[number % 100], NOBODY, "optimal"), 20_000)
    path = frozenset({"caller", "hub"})
    avoiding = micros(lambda number: router.route(targets[number % 100], path, "optimal"), 20_000)
    unasked = iter([Target(node=f"node-50-{number % 200}", region=str(number)) for number in range(3_000)])
    cold = micros(lambda number: router.route(next(unasked), NOBODY, "optimal"), 1_000)
    print(
        f"\nhub, {size} members: warm {warm:.2f} us, with others to avoid {avoiding:.2f} us, cold {cold:.2f} us; "
        f"the first view {first:.1f} ms, a further one {again:.2f} ms"
    )
    assert warm < 5
