"""Summaries say the same whatever way the clusters are grouped, stay in their bounds, and the newer one wins."""

from math import inf, nan
from typing import Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpreg_core import limits
from mpreg_core.contracts.api import Cluster
from mpreg_core.contracts.members import Coordinates
from mpreg_core.registry.summary import (
    SUMMARY_BYTES_MAX,
    ServiceLine,
    ServiceSummary,
    aggregate,
    newer,
    summarize,
)

DECODER = msgspec.msgpack.Decoder(ServiceSummary)
Status = Literal["healthy", "degraded", "unhealthy"]


def cluster(name: str, *services: str, capacity: float = 1.0, load: float = 0.0, status: Status = "healthy") -> Cluster:
    return Cluster(id=name, services=services, capacity=capacity, load=load, status=status)


def summary(hub: str, *clusters: Cluster, incarnation: int = 1, counter: int = 1) -> ServiceSummary:
    return summarize(clusters, hub=hub, region="eu", incarnation=incarnation, counter=counter)


def region(*summaries: ServiceSummary) -> ServiceSummary:
    return aggregate(summaries, hub="regional-1", region="eu", incarnation=1, counter=1)


def test_a_line_adds_up_the_clusters_of_a_service() -> None:
    line = summary(
        "h1",
        cluster("c1", "web", capacity=10, load=0.2),
        cluster("c2", "web", "api", capacity=30, load=0.6, status="degraded"),
        cluster("c3", "web", capacity=99, load=0.0, status="unhealthy"),
    ).services["web"]
    assert (line.clusters, line.healthy, line.capacity) == (3, 1, 40)
    assert line.load == pytest.approx((10 * 0.2 + 30 * 0.6) / 40)
    assert (line.best, line.status, line.best_load, line.hub) == ("c1", "healthy", 0.2, "h1")


def test_a_service_without_a_cluster_that_takes_requests_has_no_capacity() -> None:
    line = summary("h1", cluster("c1", "web", status="unhealthy")).services["web"]
    assert (line.clusters, line.healthy, line.capacity, line.load, line.status) == (1, 0, 0.0, 0.0, "unhealthy")


def test_the_best_is_the_healthiest_then_the_least_loaded() -> None:
    rows = [
        ([cluster("a", "s", load=0.1, status="degraded"), cluster("b", "s", load=0.9)], "b"),
        ([cluster("a", "s", load=0.9), cluster("b", "s", load=0.1)], "b"),
        ([cluster("b", "s"), cluster("a", "s")], "a"),
    ]
    for clusters, best in rows:
        assert summary("h1", *clusters).services["s"].best == best


def test_an_offer_is_the_best_cluster_as_far_as_the_summary_tells() -> None:
    at = Coordinates(50.1, 8.7)
    far = Cluster(id="c1", services=("web",), capacity=4, load=0.3, coordinates=at, status="degraded")
    offer = summary("h1", far).offer("web")
    assert offer == Cluster(
        id="c1", services=("web",), capacity=4, load=0.3, coordinates=at, status="degraded", hub="h1", region="eu"
    )
    assert summary("h1", far).offer("api") is None


Clusters = st.lists(
    st.builds(
        cluster,
        st.integers(0, 99).map(lambda n: f"c{n}"),
        st.sampled_from(["web", "api"]),
        capacity=st.sampled_from([1.0, 2.0, 8.0]),
        load=st.sampled_from([0.0, 0.25, 0.5]),
        status=st.sampled_from(["healthy", "degraded", "unhealthy"]),
    ),
    unique_by=lambda each: each.id,
    max_size=9,
)


@settings(deadline=None)
@given(Clusters, Clusters)
def test_a_regions_summary_does_not_depend_on_the_order_of_its_hubs(ours: list[Cluster], theirs: list[Cluster]) -> None:
    parts = [summary("h1", *ours), summary("h2", *theirs), summary("h3")]
    one = region(*parts)
    assert msgspec.msgpack.encode(one) == msgspec.msgpack.encode(region(*reversed(parts)))
    assert one.clusters == len(ours) + len(theirs)
    for service, line in one.services.items():
        serving = [each for each in ours + theirs if service in each.services]
        takes = [each for each in serving if each.status != "unhealthy"]
        assert line.clusters == len(serving)
        assert line.healthy == sum(each.status == "healthy" for each in serving)
        assert line.capacity == sum(each.capacity for each in takes)
        assert line.load * line.capacity == pytest.approx(sum(each.capacity * each.load for each in takes))
    assert set(one.ids) == {each.id for each in ours + theirs}


def test_of_two_summaries_of_a_hub_the_newer_counts_whichever_came_first() -> None:
    old, new = summary("h1", cluster("c1", "web")), summary("h1", cluster("c2", "api"), counter=2)
    for order in ((old, new), (new, old)):
        assert set(region(*order).services) == {"api"}


@pytest.mark.parametrize(
    ("held", "came", "wins"),
    [
        ((1, 1), (1, 2), True),
        ((1, 2), (1, 1), False),
        ((1, 9), (2, 0), True),
        ((2, 0), (1, 9), False),
        ((1, 1), (1, 1), False),
    ],
)
def test_the_incarnation_counts_before_the_counter(held: tuple[int, int], came: tuple[int, int], wins: bool) -> None:
    old, new = (summary("h1", incarnation=i, counter=c) for i, c in (held, came))
    assert newer(old, new) is wins
    assert newer(None, new)


def test_a_summary_survives_the_wire() -> None:
    full = Cluster(id="c1", services=("web",), coordinates=Coordinates(1.5, -2.5), load=0.25, capacity=3)
    one = summary("h1", full, cluster("c2", "api"))
    assert DECODER.decode(msgspec.msgpack.encode(one)) == one


def test_ids_and_services_are_cut_to_their_limits_and_the_summary_says_so() -> None:
    clusters = [cluster(f"c{n:04}", f"s{n:04}") for n in range(limits.SUMMARY_SERVICES_MAX + 5)]
    clusters.append(cluster("zz", "s4099"))  # the one service with two clusters is kept first
    one = summary("h1", *clusters)
    assert one.cut
    assert one.clusters == len(clusters)
    assert len(one.ids) <= limits.SUMMARY_IDS_MAX
    assert len(one.services) <= limits.SUMMARY_SERVICES_MAX
    assert "s4099" in one.services
    assert DECODER.decode(msgspec.msgpack.encode(one)) == one
    assert region(summary("h2"), one).cut
    assert not summary("h1", *clusters[:5]).cut


def test_the_longest_names_still_fit_in_one_item() -> None:
    clusters = [
        Cluster(
            id=f"c{n:04}".ljust(63, "x"),
            services=tuple(f"s{n:04}-{s}".ljust(63, "x") for s in range(3)),
            coordinates=Coordinates(1.23456789, 1.23456789),
            capacity=0.1,
            load=0.1,
            status="unhealthy",
        )
        for n in range(2_500)
    ]
    one = summarize(clusters, hub="h" * 63, region="r" * 63, incarnation=1 << 60, counter=1 << 60)
    size = len(msgspec.msgpack.encode(one))
    assert SUMMARY_BYTES_MAX * 0.6 < size <= SUMMARY_BYTES_MAX
    assert one.cut


LINE = ServiceLine(1, 1, 1.0, 0.5, "c1", "h1", "healthy", 0.5)


def _with(**fields: object) -> bytes:
    line = msgspec.structs.replace(LINE, **fields)
    return msgspec.msgpack.encode(ServiceSummary("h1", "eu", 1, 1, 1, {"web": line}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        _with(load=nan),
        _with(best_load=inf),
        _with(capacity=-1.0),
        _with(clusters=-1),
        _with(status="fine"),
        _with(place=[1, 2]),
        _with(place={"latitude": 91, "longitude": 0}),
        msgspec.msgpack.encode(ServiceSummary("h1", "eu", 1, 1, 1, {}, tuple(map(str, range(2_001))))),
        msgspec.msgpack.encode(ServiceSummary("h1", "eu", 1, 1, 1, {str(n): LINE for n in range(4_097)})),
    ],
)
def test_bytes_that_no_honest_hub_sends_are_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        DECODER.decode(data)
