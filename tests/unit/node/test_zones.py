"""A zone is a named part of a region: what is in the caller's own is preferred while it is well and has room."""

import pytest

from mpreg_core.embed.finding import discover_here


@pytest.fixture
def fed(federation):
    """Two local hubs in zones a and b of one region; `pay` is served in both, nearer in a."""
    made = federation()
    made.add("g", "global", "us", None)
    made.add("r", "regional", "us", "g")
    for zone in ("a", "b", "c"):
        made.add(f"l-{zone}", "local", "us", "r", tags={"zone": zone})
        made.add(f"c-{zone}", "cluster", "us", f"l-{zone}", tags={"zone": zone})
    made.world.run_until(made.complete, 10)
    for node in ("c-a", "c-b"):
        made.world.nodes[node].handlers["pay"] = lambda invoke: ("", b"1")
        made.world.command(node, lambda core: core.registry.serve("pay"))
    made.world.run(3)
    return made


def test_a_request_stays_in_its_zone_and_leaves_it_when_nobody_is_left_there(fed):
    assert fed.request("l-a", "pay").reply.where == "c-a"
    assert fed.request("l-b", "pay").reply.where == "c-b"
    fed.world.crash("c-b")
    fed.world.run(10)
    assert fed.request("l-b", "pay").reply.where == "c-a"


def test_hubs_of_the_own_zone_come_first_among_those_of_the_region(fed):
    fed.add("l-b2", "local", "us", "r", tags={"zone": "b"})
    fed.add("c-b2", "cluster", "us", "l-b2", tags={"zone": "b"})
    fed.world.run(5)
    assert fed.request("c-b2", "pay").reply.where == "c-b"
    fed.world.crash("l-b")
    fed.world.run_until(lambda: fed.world.nodes["c-b"].core.state.parent == "l-b2", 10)
    assert fed.world.nodes["c-b"].core.state.parent == "l-b2", "rather than l-a, which comes first by its name"


def test_discover_says_which_are_in_this_zone(fed):
    found = discover_here(fed.world.nodes["l-b"].core, "pay", None, 10)
    assert [(each.cluster, "not in this zone" in each.why) for each in found] == [("c-b", False), ("c-a", True)]
    found = discover_here(fed.world.nodes["r"].core, "pay", None, 10)
    assert all("zone" not in each.why for each in found), "r is in none"
