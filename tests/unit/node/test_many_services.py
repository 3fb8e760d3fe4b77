"""More services than a summary has lines for: each is found from everywhere all the same."""

import pytest

from mpreg_core.contracts.api import Cluster
from mpreg_core.membership.federation import encode_summary

CLUSTERS, EACH = 150, 16


@pytest.fixture
def fed(federation):
    made = federation()
    made.grow(hubs=2, clusters=1)
    made.world.run_until(made.complete, 10)
    for number in range(CLUSTERS):
        services = tuple(f"service-{number}-{each}" for each in range(EACH))
        cluster = Cluster(id=f"shop-{number}", services=services, endpoints=("http://shop/",))
        made.world.command("l-eu-1", lambda core, cluster=cluster: core.registry.register(cluster))
    made.world.run(5)
    return made


def test_a_service_without_a_line_is_reached_through_the_hub_whose_names_have_it(fed):
    hub = fed.world.nodes["l-eu-1"]
    hub.handlers.update(dict.fromkeys((f"service-{n}-{e}" for n in range(CLUSTERS) for e in range(EACH)), _serve))
    summary = fed.world.nodes["r-us"].core.state.stacks["global"].hubs["r-eu"].services
    assert summary.cut
    assert len(summary.services) < CLUSTERS * EACH
    unlisted = [f"service-{n}-3" for n in range(CLUSTERS) if f"service-{n}-3" not in summary.services]
    assert len(unlisted) > 20
    for service in unlisted[:20]:
        outcome = fed.request("c-us-1-1", service)
        assert (outcome.reply.code, outcome.reply.where) == ("", "l-eu-1"), service


def test_a_service_that_nobody_has_is_told_as_that(fed):
    codes = {fed.request("c-us-1-1", f"nothing-{number}").reply.code for number in range(20)}
    assert codes == {"no_route"}


def test_what_another_region_holds_of_a_service_is_small(fed):
    summary = fed.world.nodes["r-us"].core.state.stacks["global"].hubs["r-eu"]
    assert len(encode_summary(summary)) / (CLUSTERS * EACH) < 300


def _serve(invoke):
    return "", b"1"
