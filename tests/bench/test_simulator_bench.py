"""How fast the simulator is: frames of a small pool, and a fleet of a thousand nodes under faults."""

import gc
import time

import pytest

from mpreg_core.sim import Fleet, Plan, Run, parse_faults

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

ROUNDS = 5
FRAME_GOAL_US = 1e6 / 60_000
FLEET = (1, 10, 9, 10)
FLEET_S = 60.0
FLEET_GOAL_S = 90.0


def test_a_delivered_frame_of_a_small_pool(figure, default_parts):
    """Ten cluster nodes below a hub, at rest but for eighty requests a second among them."""
    costs = []
    for seed in range(ROUNDS):
        fleet = Fleet.of_shape(default_parts, 1, 1, 1, 10, seed=seed)
        fleet.world.run(10)
        nodes = [name for name in fleet.regions if "-c" in name]
        frames, begun = fleet.world.frames, time.perf_counter()
        for number in range(4_000):
            fleet.request(nodes[number % 10], nodes[(3 * number + 1) % 10], 5.0)
            fleet.world.run(1 / 80)
        costs.append((time.perf_counter() - begun) / (fleet.world.frames - frames) * 1e6)
        gc.collect()
    figure("a delivered frame in the simulator, small pool", "µs", FRAME_GOAL_US, costs)


def test_a_thousand_nodes_for_a_minute_under_faults(figure, default_parts):
    """Three tiers of hubs and their cluster nodes: from the first frame to the verdict."""
    faults = parse_faults("default,region-loss", Fleet.names_of(*FLEET), 1, FLEET_S)
    begun = time.perf_counter()
    outcome = Run(Plan(default_parts, FLEET, 1, FLEET_S, faults)).play()
    took_s = time.perf_counter() - begun
    assert outcome.held, outcome.violations
    figure(
        f"{outcome.nodes} nodes, {FLEET_S:g} virtual seconds under faults",
        "s",
        FLEET_GOAL_S,
        [took_s * FLEET_S / outcome.virtual_s],
    )
    figure(f"the same with recovery and rest, {outcome.virtual_s:.0f} virtual seconds", "s", 3 * FLEET_GOAL_S, [took_s])
