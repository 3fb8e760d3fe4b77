"""A hub asks the clusters that registered with a check how they are."""

import pytest

from mpreg_core.contracts.api import Cluster
from mpreg_core.errors import InvalidInputError


@pytest.fixture
def fed(federation):
    made = federation()
    made.grow(regions=("us",))
    made.world.run_until(made.complete, 10)
    return made


def register(fed, name="shop", at="l-us-1", **more):
    cluster = Cluster(id=name, services=("pay",), endpoints=(f"http://{name}/",), check="tcp://shop:80", **more)
    fed.world.command(at, lambda core: core.registry.register(cluster))


def shop(fed, at="l-us-1", name="shop"):
    return next((each for each in fed.world.nodes[at].core.registry.clusters() if each.id == name), None)


def test_a_cluster_that_fails_its_checks_becomes_unhealthy_and_comes_back(fed):
    register(fed)
    fed.world.run(3)
    assert shop(fed).status == "healthy"
    hub = fed.world.nodes["l-us-1"]
    hub.checks["shop"] = "connection refused"
    assert fed.world.run_until(lambda: shop(fed).status == "degraded", 20) < 12
    assert shop(fed).check_error == "connection refused"
    assert fed.world.run_until(lambda: shop(fed).status == "unhealthy", 20) < 12
    assert hub.core.registry.offers("pay") == []
    del hub.checks["shop"]
    assert fed.world.run_until(lambda: shop(fed).status == "healthy", 20) < 12
    assert shop(fed).check_error == ""


def test_a_passed_check_is_a_heartbeat_and_a_failed_one_is_none(fed):
    register(fed, ttl=15.0, check_interval=5.0)
    fed.world.run(60)
    assert shop(fed) is not None
    fed.world.nodes["l-us-1"].checks["shop"] = "down"
    fed.world.run(25)
    assert shop(fed) is None


def test_checks_of_many_clusters_are_spread_over_time(fed):
    for number in range(100):
        register(fed, f"shop-{number}", check_interval=10.0)
    times = []
    hub = fed.world.nodes["l-us-1"].core
    ask = hub.registry.checks.on_deadline

    def watched():
        before = len(hub.state.actions)
        ask()
        times.extend([hub.state.now_ns // 10**8] * (len(hub.state.actions) - before))

    hub.registry.checks.on_deadline = watched
    fed.world.run(40)
    assert len(times) > 380
    busiest = max(times.count(tenth) for tenth in set(times))
    assert busiest < 30


def test_a_cluster_that_is_gone_or_registers_anew_is_asked_no_more_than_it_should(fed):
    register(fed)
    register(fed)
    fed.world.command("l-us-1", lambda core: core.registry.deregister("shop"))
    assert fed.world.nodes["l-us-1"].core.registry.checks.next_deadline() is None


@pytest.mark.parametrize(
    ("check", "says"),
    [
        ("ftp://x", "check: expected one of http, https, tcp, grpc, command, a colon and where"),
        ("tcp:", "check: expected one of"),
        ("tcp://host", "check: expected tcp://host:port"),
        ("grpc://host:70000/x", "check: expected grpc://host:port"),
        ("command:/bin/true", "this hub runs no commands for others; set hubs.check_commands"),
    ],
)
def test_a_check_that_cannot_be_is_refused(fed, check, says):
    cluster = Cluster(id="shop", services=("pay",), endpoints=("http://x/",), check=check)
    with pytest.raises(InvalidInputError, match=says):
        fed.world.nodes["l-us-1"].core.registry.register(cluster)
