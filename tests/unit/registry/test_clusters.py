"""A hub's registry: who may register, what is found by service, and who is dropped when it is not heard of."""

from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mpreg_core.contracts.api import Cluster
from mpreg_core.contracts.events import ClusterChanged
from mpreg_core.contracts.members import Coordinates
from mpreg_core.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from mpreg_core.registry.clusters import ClusterRegistry

TTL_NS = 1_000


def cluster(name: str, *services: str, node: str = "", endpoints: tuple[str, ...] = (), load: float = 0.0) -> Cluster:
    return Cluster(id=name, services=services or ("web",), node=node or f"node-{name}", endpoints=endpoints, load=load)


@pytest.fixture
def registry() -> ClusterRegistry:
    return ClusterRegistry("hub-1", "eu", max_clusters=3)


def test_a_registered_cluster_is_known_under_its_hub_and_region(registry: ClusterRegistry) -> None:
    kept, change = registry.register(cluster("c1", "web", "api", "web"), 0)
    assert change == ClusterChanged("c1", "registered")
    assert (kept.hub, kept.region, kept.services) == ("hub-1", "eu", ("api", "web"))
    assert registry.get("c1") == kept
    assert registry.clusters() == [kept]
    assert registry.serving("api") == [kept]
    assert registry.services() == ["api", "web"]


def test_the_same_place_may_describe_itself_anew(registry: ClusterRegistry) -> None:
    registry.register(cluster("c1", "old", "web"), 0)
    _, change = registry.register(cluster("c1", "web", "new"), 0)
    assert change == ClusterChanged("c1", "updated")
    assert registry.services() == ["new", "web"]
    assert len(registry) == 1


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        (cluster("c1", node="n1"), cluster("c1", node="n2"), ("node n1", "node n2")),
        (
            Cluster(id="c1", services=("web",), endpoints=("http://a",)),
            Cluster(id="c1", services=("web",), endpoints=("http://b", "http://c")),
            ("endpoints http://a", "endpoints http://b, http://c"),
        ),
        (cluster("c1", node="n1"), Cluster(id="c1", services=("web",)), ("node n1", "endpoints none")),
    ],
)
def test_one_id_from_two_places_is_refused_and_both_are_named(
    first: Cluster, second: Cluster, names: tuple[str, str], registry: ClusterRegistry
) -> None:
    held, _ = registry.register(first, 0)
    with pytest.raises(ConflictError) as caught:
        registry.register(second, 0)
    for name in ("'c1'", "hub-1", *names):
        assert name in str(caught.value)
    assert registry.get("c1") == held


def test_an_update_may_move_a_cluster(registry: ClusterRegistry) -> None:
    registry.register(cluster("c1", "web", node="n1"), 0)
    moved, change = registry.update(cluster("c1", "api", node="n2"))
    assert change == ClusterChanged("c1", "updated")
    assert registry.serving("api") == [moved]
    assert registry.serving("web") == []
    with pytest.raises(NotFoundError):
        registry.update(cluster("c2"))


def test_a_full_hub_takes_no_more_and_says_where_the_limit_is(registry: ClusterRegistry) -> None:
    for name in ("c1", "c2", "c3"):
        registry.register(cluster(name), 0)
    with pytest.raises(UnavailableError, match=r"hub-1.*at most 3 clusters \(hubs.max_clusters\)"):
        registry.register(cluster("c4"), 0)
    registry.register(cluster("c3", load=0.5), 0)
    registry.deregister("c1")
    registry.register(cluster("c4"), 0)


def test_a_deregistered_cluster_is_gone_from_every_service(registry: ClusterRegistry) -> None:
    registry.register(cluster("c1", "web", "api"), 0, TTL_NS)
    assert registry.deregister("c1") == ClusterChanged("c1", "deregistered")
    assert registry.services() == []
    assert "c1" not in registry
    for gone in (registry.get, registry.deregister, lambda name: registry.heartbeat(name, 0)):
        with pytest.raises(NotFoundError, match="'c1'"):
            gone("c1")
    assert registry.on_deadline(TTL_NS) == []


def test_a_cluster_that_is_not_heard_of_expires(registry: ClusterRegistry) -> None:
    registry.register(cluster("c1"), 0, TTL_NS)
    registry.register(cluster("c2"), 10, TTL_NS)
    assert registry.next_deadline() == TTL_NS
    assert registry.on_deadline(TTL_NS - 1) == []
    assert registry.on_deadline(TTL_NS + 10) == [ClusterChanged("c1", "expired"), ClusterChanged("c2", "expired")]
    assert len(registry) == 0
    assert registry.next_deadline() is None


def test_a_heartbeat_begins_the_time_to_live_anew(registry: ClusterRegistry) -> None:
    registry.register(cluster("c1"), 0, TTL_NS)
    kept, change = registry.heartbeat("c1", 600)
    assert change is None
    assert registry.on_deadline(TTL_NS) == []
    assert registry.next_deadline() == 600 + TTL_NS
    assert registry.get("c1") == kept
    assert registry.on_deadline(600 + TTL_NS) == [ClusterChanged("c1", "expired")]


def test_a_heartbeat_brings_load_and_status(registry: ClusterRegistry) -> None:
    registry.register(cluster("c1", load=0.5), 0, TTL_NS)
    kept, change = registry.heartbeat("c1", 1, load=0.0, status="degraded")
    assert change == ClusterChanged("c1", "updated")
    assert (kept.load, kept.status) == (0.0, "degraded")
    kept, _ = registry.heartbeat("c1", 2, load=0.7)
    assert (kept.load, kept.status) == (0.7, "degraded")
    for wrong in ({"load": nan}, {"load": -0.1}, {"status": "fine"}):
        with pytest.raises(InvalidInputError, match="cluster c1"):
            registry.heartbeat("c1", 900, **wrong)
    assert registry.on_deadline(2 + TTL_NS) == [ClusterChanged("c1", "expired")]


def test_a_cluster_without_a_time_to_live_stays(registry: ClusterRegistry) -> None:
    registry.register(cluster("c1"), 0, TTL_NS)
    registry.register(cluster("c1"), 0)
    registry.heartbeat("c1", 5)
    assert registry.on_deadline(1 << 60) == []
    assert registry.next_deadline() is None
    assert len(registry) == 1


def test_clusters_that_come_and_go_leave_nothing_behind() -> None:
    registry = ClusterRegistry("hub-1", "eu", max_clusters=10)
    for n in range(1_000):
        registry.register(cluster(f"c{n}"), n, TTL_NS)
        if n >= 5:
            registry.deregister(f"c{n - 5}")
    assert len(registry._deadlines) <= 20
    assert registry.services() == ["web"]
    assert len(registry.on_deadline(1_000 + TTL_NS)) == 5
    assert registry.next_deadline() is None


Steps = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["register", "beat", "drop", "wait"]), st.integers(0, 700))
)


@settings(deadline=None)
@given(Steps)
def test_the_registry_agrees_with_a_plain_table(steps: list[tuple[str, str, int]]) -> None:
    registry, expires, now = ClusterRegistry("hub-1", "eu", max_clusters=3), dict[str, int](), 0
    for name, action, passed_ns in steps:
        now += passed_ns
        expired = {change.cluster for change in registry.on_deadline(now)}
        assert expired == {each for each, at in expires.items() if at <= now}
        expires = {each: at for each, at in expires.items() if at > now}
        if action == "register":
            registry.register(cluster(name), now, TTL_NS)
            expires[name] = now + TTL_NS
        elif name in expires and action == "beat":
            registry.heartbeat(name, now)
            expires[name] = now + TTL_NS
        elif name in expires and action == "drop":
            registry.deregister(name)
            del expires[name]
        assert sorted(expires) == [each.id for each in registry.clusters()]
        assert {each.id for each in registry.serving("web")} == set(expires)
        deadline = registry.next_deadline()
        assert (deadline is None) or now < deadline
        assert not expires or (deadline is not None and deadline <= min(expires.values()))


GOOD = Cluster(id="c1", services=("web",), endpoints=("http://a:1",), coordinates=Coordinates(1, 2), tags={"a": "b"})


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (replace(GOOD, id=""), "expected a cluster id"),
        (replace(GOOD, id="a b"), "got 'a b'"),
        (replace(GOOD, node="-n"), "node"),
        (replace(GOOD, services=()), "services: expected 1 to 128, got 0"),
        (replace(GOOD, services=tuple(f"s{n}" for n in range(129))), "services: expected 1 to 128, got 129"),
        (replace(GOOD, services=("web", "no/slash")), "got 'no/slash'"),
        (replace(GOOD, endpoints=("x",) * 17), "endpoints: expected at most 16, got 17"),
        (replace(GOOD, endpoints=("",)), "endpoints"),
        (replace(GOOD, endpoints=("x" * 257,)), "endpoints"),
        (replace(GOOD, endpoints=("http://a\n",)), "endpoints"),
        (replace(GOOD, tags={f"t{n}": "" for n in range(17)}), "tags: expected at most 16, got 17"),
        (replace(GOOD, tags={"t": "x" * 129}), "129 bytes"),
        (replace(GOOD, tags={"": "x"}), "tags"),
        (replace(GOOD, capacity=0.0), "capacity"),
        (replace(GOOD, capacity=inf), "capacity"),
        (replace(GOOD, capacity=nan), "capacity"),
        (replace(GOOD, ttl=0.0), "ttl: expected seconds above 0"),
        (replace(GOOD, ttl=nan), "ttl"),
        (replace(GOOD, load=-0.1), "load"),
        (replace(GOOD, load=inf), "load"),
        (replace(GOOD, load=nan), "load"),
        (replace(GOOD, coordinates=Coordinates(90.1, 0)), "coordinates"),
        (replace(GOOD, coordinates=Coordinates(0, nan)), "coordinates"),
        (replace(GOOD, status="fine"), "status: expected healthy, degraded, unhealthy, got 'fine'"),
    ],
)
def test_a_description_out_of_bounds_is_refused_by_name(bad: Cluster, text: str, registry: ClusterRegistry) -> None:
    with pytest.raises(InvalidInputError, match=text):
        registry.register(bad, 0)
    assert len(registry) == 0
    held, _ = registry.register(GOOD, 0)
    if bad.id == "c1":
        with pytest.raises(InvalidInputError, match=text):
            registry.update(bad)
    assert registry.clusters() == [held]


def test_a_time_to_live_of_nothing_is_refused(registry: ClusterRegistry) -> None:
    with pytest.raises(InvalidInputError, match="got 0"):
        registry.register(GOOD, 0, 0)
