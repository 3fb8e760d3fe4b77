"""The order of candidates: health, then load, then round trip, then distance, then names; and why."""

from math import pi
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mpreg_core.contracts.api import Cluster
from mpreg_core.contracts.members import Coordinates
from mpreg_core.registry.selection import EARTH_RADIUS_KM, great_circle_km, rank
from mpreg_core.units import NS_PER_MS

FRANKFURT, PARIS, TOKYO = Coordinates(50.11, 8.68), Coordinates(48.86, 2.35), Coordinates(35.68, 139.69)
Places = st.builds(Coordinates, st.floats(-90, 90), st.floats(-180, 180))


@pytest.mark.parametrize(
    ("a", "b", "km"),
    [
        (FRANKFURT, FRANKFURT, 0),
        (FRANKFURT, PARIS, 479),
        (FRANKFURT, TOKYO, 9_360),
        (Coordinates(0, 179.5), Coordinates(0, -179.5), 111),
        (Coordinates(90, 0), Coordinates(-90, 0), 20_015),
        (Coordinates(0, 0), Coordinates(0, 180), 20_015),
    ],
)
def test_distances_are_those_of_the_globe(a: Coordinates, b: Coordinates, km: float) -> None:
    assert great_circle_km(a, b) == pytest.approx(km, rel=0.006, abs=0.5)


@given(Places, Places, Places)
def test_distance_is_a_metric(a: Coordinates, b: Coordinates, c: Coordinates) -> None:
    assert great_circle_km(a, a) == 0
    assert great_circle_km(a, b) == pytest.approx(great_circle_km(b, a))
    assert 0 <= great_circle_km(a, b) <= EARTH_RADIUS_KM * pi * 1.000001
    assert great_circle_km(a, c) <= great_circle_km(a, b) + great_circle_km(b, c) + 0.01


BASE = Cluster(id="m", services=("web",), node="n-m", hub="h1", region="eu", load=0.5, coordinates=FRANKFURT)
RTTS = {"n-m": 50 * NS_PER_MS, "near": 10 * NS_PER_MS, "h-near": 10 * NS_PER_MS}


@pytest.mark.parametrize(
    "better",
    [
        pytest.param(replace(BASE, id="z", load=0.31, coordinates=None, node="unknown"), id="less load"),
        pytest.param(replace(BASE, id="z", coordinates=TOKYO, node="near"), id="shorter round trip to the node"),
        pytest.param(
            replace(BASE, id="z", coordinates=TOKYO, node="", hub="h-near"), id="shorter round trip to the hub"
        ),
        pytest.param(replace(BASE, id="z", coordinates=PARIS), id="nearer"),
        pytest.param(replace(BASE, id="a"), id="earlier id"),
        pytest.param(replace(BASE, hub="h0"), id="earlier hub"),
    ],
)
def test_the_better_one_comes_first_and_health_comes_before_all(better: Cluster) -> None:
    for clusters in ([BASE, better], [better, BASE]):
        first, second = rank("web", clusters, near=PARIS, rtts_ns=RTTS)
        assert (first.cluster, first.hub) == (better.id, better.hub)
        assert (second.cluster, second.hub) == (BASE.id, BASE.hub)
        for status in ("degraded", "unhealthy"):
            sick = [replace(each, status=status) if each is better else each for each in clusters]
            assert rank("web", sick, near=PARIS, rtts_ns=RTTS)[0].status == "healthy"


def test_a_difference_that_is_noise_leaves_the_choice_to_the_distance() -> None:
    near = replace(BASE, id="near", coordinates=PARIS, load=0.55, node="a")
    far = replace(BASE, id="far", coordinates=TOKYO, load=0.51, node="b")
    rtts = {"a": 11_500_000, "b": 10_100_000}
    assert [each.cluster for each in rank("web", [far, near], near=PARIS, rtts_ns=rtts)] == ["near", "far"]


def test_a_measured_way_comes_before_an_unknown_one() -> None:
    known, unknown = replace(BASE, id="z", coordinates=TOKYO), replace(BASE, id="a", node="other")
    assert rank("web", [unknown, known], near=FRANKFURT, rtts_ns=RTTS)[0].cluster == "z"


def test_a_candidate_carries_what_ranked_it() -> None:
    (candidate,) = rank("web", [BASE], near=PARIS, rtts_ns=RTTS)
    assert candidate.why == "healthy, load 0.50, round trip 50.0 ms, 478 km away"
    assert candidate.rtt_ms == 50.0
    assert candidate.distance_km == pytest.approx(478, abs=2)
    assert (candidate.service, candidate.cluster, candidate.hub, candidate.node) == ("web", "m", "h1", "n-m")
    (blind,) = rank("web", [replace(BASE, coordinates=None)])
    assert blind.why == "healthy, load 0.50, round trip unknown, distance unknown"
    assert (blind.rtt_ms, blind.distance_km) == (None, None)


Clusters = st.lists(
    st.builds(
        Cluster,
        id=st.sampled_from("abcdef"),
        services=st.just(("web",)),
        hub=st.sampled_from(["h1", "h2", "h3"]),
        node=st.sampled_from(["", "n1", "n2"]),
        load=st.floats(0, 1.5),
        status=st.sampled_from(["healthy", "degraded", "unhealthy"]),
        coordinates=st.none() | Places,
    ),
    unique_by=lambda each: (each.id, each.hub),
    max_size=12,
)
Rtts = st.dictionaries(st.sampled_from(["h1", "h2", "n1", "n2"]), st.integers(0, 20 * NS_PER_MS))


@settings(deadline=None)
@given(Clusters, Rtts, st.none() | Places, st.integers(0, 13), st.randoms(use_true_random=False))
def test_a_shorter_list_is_the_beginning_of_the_longer_and_the_input_order_does_not_matter(
    clusters: list[Cluster], rtts: dict[str, int], near: Coordinates | None, limit: int, random: Random
) -> None:
    everything = rank("web", clusters, near=near, rtts_ns=rtts, limit=len(clusters))
    assert len(everything) == len(clusters)
    random.shuffle(clusters)
    assert rank("web", clusters, near=near, rtts_ns=rtts, limit=limit) == everything[:limit]
