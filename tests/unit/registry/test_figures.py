"""What discovery costs. Figures are printed (`pytest -s -m bench`); the bounds catch gross regressions."""

from random import Random
from time import perf_counter

import pytest

from mpreg_core.contracts.api import Cluster
from mpreg_core.contracts.members import Coordinates
from mpreg_core.registry.clusters import ClusterRegistry
from mpreg_core.registry.selection import rank

pytestmark = pytest.mark.bench


@pytest.mark.parametrize(("names", "bound_us"), [(1_000, 1_000), (10, 5_000)])
def test_a_service_is_found_among_a_thousand_clusters_in_under_a_millisecond(names: int, bound_us: int) -> None:
    """Ten services each, of a thousand names (a few clusters serve each), then of ten (all serve each)."""
    rng = Random(1)
    registry = ClusterRegistry("hub", "eu", max_clusters=1_000)
    for n in range(1_000):
        place = Coordinates(rng.uniform(-60, 60), rng.uniform(-180, 180))
        services = tuple(f"s{s}" for s in rng.sample(range(names), 10))
        registry.register(
            Cluster(id=f"c{n}", services=services, node=f"n{n}", coordinates=place, load=round(rng.random(), 2)), 0
        )
    rtts = {f"n{n}": rng.randrange(1_000_000, 100_000_000) for n in range(0, 1_000, 2)}
    near = Coordinates(50, 8)

    def discover() -> float:
        start = perf_counter()
        found = rank("s1", registry.serving("s1"), near=near, rtts_ns=rtts)
        assert found
        return (perf_counter() - start) * 1e6

    best_us = min(discover() for _ in range(10))
    print(f"\ndiscover among {len(registry.serving('s1'))} that serve: {best_us:.0f} µs")
    assert best_us < bound_us
