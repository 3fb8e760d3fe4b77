"""Failover policies: the same regions in the same order for all callers, in the shares that they name."""

from collections import Counter
from random import Random

import pytest

from mpreg_core.errors import InvalidInputError
from mpreg_core.registry.failover import read_failover

KEY = "mpreg.failover/pay"


@pytest.fixture
def fed(federation):
    """Three regions; `pay` is served by a cluster in each, and answers with its node."""
    made = federation()
    made.grow(("us", "eu", "ap"))
    made.world.run_until(made.complete, 10)
    for region in ("us", "eu", "ap"):
        node = f"c-{region}-1-1"
        made.world.nodes[node].handlers["pay"] = lambda invoke: ("", b"1")
        made.world.command(node, lambda core: core.registry.serve("pay"))
    made.world.run(3)
    return made


def set_policy(fed, *groups, at="c-ap-2-1"):
    fed.world.command(at, lambda core: core.replication.put(KEY, {"groups": list(groups)}, "federation", None, None))
    fed.world.run(3)


def served_by(fed, at, count=1, **target):
    return Counter(fed.request(at, "pay", idempotent=True, **target).reply.where for _ in range(count))


def test_without_a_policy_the_own_region_serves(fed):
    assert served_by(fed, "c-eu-2-1", 5) == {"c-eu-1-1": 5}


def test_the_first_group_serves_all_callers_and_the_next_one_when_nobody_of_it_is_left(fed):
    set_policy(fed, {"us": 1}, {"ap": 1})
    for at in ("c-us-2-1", "c-eu-2-1", "c-ap-2-1", "r-eu", "g", "l-eu-1"):
        assert served_by(fed, at, 3) == {"c-us-1-1": 3}, at
    fed.world.crash("c-us-1-1")
    fed.world.run(10)
    for at in ("c-us-2-1", "c-eu-2-1", "g"):
        assert served_by(fed, at, 3) == {"c-ap-1-1": 3}, at
    fed.world.crash("c-ap-1-1")
    fed.world.run(10)
    assert fed.request("c-eu-2-1", "pay").reply.code == "no_route", "eu is in no group"


def test_local_is_the_callers_own_region(fed):
    set_policy(fed, {"local": 1}, {"us": 1})
    assert served_by(fed, "c-eu-2-1", 3) == {"c-eu-1-1": 3}
    assert served_by(fed, "c-ap-2-1", 3) == {"c-ap-1-1": 3}
    fed.world.crash("c-eu-1-1")
    fed.world.run(10)
    assert served_by(fed, "c-eu-2-1", 3) == {"c-us-1-1": 3}


def test_regions_of_a_group_get_their_shares(fed):
    set_policy(fed, {"us": 9, "ap": 1})
    found = served_by(fed, "c-eu-2-1", 300)
    assert set(found) == {"c-us-1-1", "c-ap-1-1"}
    assert 15 <= found["c-ap-1-1"] <= 50


def test_cut_off_from_its_hubs_a_node_serves_whom_it_can(fed):
    set_policy(fed, {"us": 1})
    for hub in ("g", "r-us", "r-eu", "r-ap"):
        fed.world.crash(hub)
    fed.world.run(15)
    assert served_by(fed, "l-eu-1") == {"c-eu-1-1": 1}


def test_a_request_with_a_target_goes_there_whatever_the_policy_says(fed):
    set_policy(fed, {"us": 1})
    assert served_by(fed, "c-us-2-1", node="c-ap-1-1") == {"c-ap-1-1": 1}


def test_a_policy_ends_with_its_key(fed):
    set_policy(fed, {"us": 1})
    fed.world.command("g", lambda core: core.replication.delete(KEY, "federation", None))
    fed.world.run(3)
    assert served_by(fed, "c-eu-2-1", 3) == {"c-eu-1-1": 3}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], "Expected `object`"),
        ({"groups": []}, "length >= 1 - at `$.groups`"),
        ({"groups": [{}]}, "length >= 1 - at `$.groups[0]`"),
        ({"groups": [{"us": 0}]}, "Expected `float` > 0.0 - at `$.groups[0][...]`"),
        ({"groups": [{"us": "1"}]}, "Expected `float`, got `str`"),
        ({"groups": [{"u s": 1}]}, "matching regex"),
        ({"groups": [{"us": 1}], "else": 1}, "unknown field `else`"),
    ],
)
def test_a_bad_policy_is_refused_with_the_form_and_the_place(fed, value, told):
    with pytest.raises(InvalidInputError, match="expected a failover policy") as refused:
        fed.world.command("g", lambda core: core.replication.put(KEY, value, "federation", None, None))
    assert told in str(refused.value)
    assert refused.value.where == KEY


def test_a_policy_of_another_scope_is_refused_for_it_would_say_nothing(fed):
    policy = {"groups": [{"us": 1}]}
    with pytest.raises(InvalidInputError, match="expected scope federation"):
        fed.world.command("g", lambda core: core.replication.put(KEY, policy, "pool", None, None))
    with pytest.raises(InvalidInputError, match="expected a failover policy"):
        fed.world.command("g", lambda core: core.decisions.propose(1, "federation", KEY, 1, 10**9))


def test_the_order_names_each_living_region_once():
    policy = read_failover({"groups": [{"local": 1, "us": 1}, {"us": 1, "eu": 2, "ap": 1}]}, "x")
    for seed in range(50):
        order = policy.order({"us", "eu", "sa"}, "us", Random(seed).random)
        assert order == ["us", "eu"]
