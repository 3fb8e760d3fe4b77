"""Replicated state over the relays of hubs, and decisions of the pools."""

import pytest

from mpreg_core.contracts.events import Published, StateChanged
from mpreg_core.errors import ConflictError, NotFoundError


@pytest.fixture
def ready(federation):
    def make(**shape):
        fed = federation()
        fed.grow(**shape)
        fed.world.run_until(fed.complete, 10)
        return fed

    return make


def put(fed, node, key, value, scope="federation", policy=None, if_version=None):
    fed.world.command(node, lambda core: core.replication.put(key, value, scope, policy, if_version))


def value_at(fed, node, key, scope="federation"):
    try:
        return fed.world.nodes[node].core.replication.get(key, scope).value
    except NotFoundError:
        return None


def test_a_federation_key_written_below_one_region_is_read_everywhere(ready):
    fed = ready()
    put(fed, "c-us-1-1", "limits/max", 5)
    assert fed.world.run_until(lambda: all(value_at(fed, n, "limits/max") == 5 for n in fed.ids), 10) < 2


def test_the_later_of_two_writes_holds_everywhere(ready):
    fed = ready()
    put(fed, "c-us-1-1", "k", "old")
    fed.world.run(2)
    put(fed, "c-eu-2-1", "k", "new")
    fed.world.run(2)
    assert {value_at(fed, node, "k") for node in fed.ids} == {"new"}


def test_counters_added_to_on_both_sides_of_a_partition_count_each_once(ready):
    fed = ready()
    put(fed, "g", "hits", 1, policy="counter")
    fed.world.run(2)
    fed.world.network.partition([name for name in fed.ids if "eu" in name])
    put(fed, "c-us-1-1", "hits", 2, policy="counter")
    put(fed, "c-eu-1-1", "hits", 4, policy="counter")
    fed.world.run(3)
    fed.world.network.heal()
    assert fed.world.run_until(lambda: {value_at(fed, n, "hits") for n in fed.ids} == {7}, 30) < 20


def test_a_region_key_stays_in_its_region_and_a_pool_key_in_its_pool(ready):
    fed = ready()
    put(fed, "c-us-1-1", "k", 1, scope="region")
    put(fed, "c-us-1-1", "p", 2, scope="pool")
    fed.world.run(3)
    inside = [node for node in fed.ids if "us" in node and node != "g"]
    assert {value_at(fed, node, "k", "region") for node in inside} == {1}
    assert {value_at(fed, node, "k", "region") for node in fed.ids if "eu" in node} == {None}
    assert value_at(fed, "l-us-1", "p", "pool") == 2
    assert value_at(fed, "c-us-2-1", "p", "pool") is None
    assert value_at(fed, "r-us", "p", "pool") is None


def test_a_removed_key_stays_removed(ready):
    fed = ready()
    put(fed, "g", "k", 1)
    fed.world.run(2)
    fed.world.command("c-eu-1-1", lambda core: core.replication.delete("k", "federation", None))
    fed.world.run(5)
    assert {value_at(fed, node, "k") for node in fed.ids} == {None}


def test_a_node_that_joins_later_gets_what_there_is(ready):
    fed = ready()
    put(fed, "c-us-1-1", "k", 1)
    fed.world.run(1)
    fed.add("c-late", "cluster", "eu", "l-eu-1")
    assert fed.world.run_until(lambda: value_at(fed, "c-late", "k") == 1, 10) < 5


def test_writing_against_an_old_version_is_a_conflict_and_changes_nothing(ready):
    fed = ready()
    put(fed, "g", "k", 1)
    version = fed.world.nodes["g"].core.replication.get("k", "federation").version
    put(fed, "g", "k", 2, if_version=version)
    with pytest.raises(ConflictError):
        put(fed, "g", "k", 3, if_version=version)
    assert value_at(fed, "g", "k") == 2
    events = [o.event for o in fed.world.nodes["r-us"].events if isinstance(o.event, StateChanged)]
    assert all(event.key == "k" for event in events)


def propose(fed, node, key, value, scope="pool", **more):
    tokens = []

    def act(core):
        tokens.append(core.new_token())
        core.decisions.propose(tokens[0], scope, key, value, 2_000_000_000, **more)

    fed.world.command(node, act)
    results = fed.world.nodes[node].results
    fed.world.run_until(lambda: tokens[0] in results, 5)
    return results[tokens[0]]


def test_a_decision_is_applied_at_every_member_and_told_to_the_rest_of_its_domain(ready):
    fed = ready()
    made = propose(fed, "r-eu", "max_load", 0.8, scope="federation")
    assert made.decided.status == "committed"
    assert made.applied
    assert fed.world.run_until(lambda: {value_at(fed, n, "max_load") for n in fed.ids} == {0.8}, 10) < 3
    entry = fed.world.nodes["c-us-1-1"].core.replication.get("max_load", "federation")
    assert entry.policy == "consensus"


def test_of_two_compare_and_sets_read_at_the_same_decision_only_the_next_one_counts(ready):
    fed = ready()
    propose(fed, "r-eu", "k", 1, scope="federation")
    tokens = {}

    def act(node, value):
        def step(core):
            tokens[node] = core.new_token()
            core.decisions.propose(tokens[node], "federation", "k", value, 2_000_000_000, exactly_next=True)

        return step

    fed.world.command("r-us", act("r-us", 2))
    fed.world.command("r-eu", act("r-eu", 3))
    fed.world.run(2)
    outcomes = {node: fed.world.nodes[node].results[token].applied for node, token in tokens.items()}
    assert sorted(outcomes.values()) == [False, True]
    won = 2 if outcomes["r-us"] else 3
    assert {value_at(fed, node, "k") for node in fed.ids} == {won}


def test_a_published_message_reaches_every_node_of_the_federation_once(ready):
    fed = ready()
    fed.world.command("c-us-1-1", lambda core: core.spread.publish("orders.eu", b"1"))
    fed.world.run(3)
    for node in fed.world.nodes.values():
        assert len([o for o in node.events if isinstance(o.event, Published)]) == 1, node.id


def test_a_test_message_counts_the_members_it_reached(ready):
    fed = ready()
    seen = []
    fed.world.command("r-us", lambda core: seen.append(core.spread.measure()))
    fed.world.run(1)
    reached = [o.event for o in fed.world.nodes["r-us"].events if type(o.event).__name__ == "SpreadMeasured"]
    assert seen[0][1] == 4, "g, r-eu, l-us-1, l-us-2"
    assert reached[-1].reached == 4


@pytest.mark.parametrize("scope", ["pool", "federation"])
def test_what_is_wrong_with_a_key_is_told_by_the_name_its_user_gave_it(ready, scope):
    state = ready().world.nodes["g"].core.replication
    for act in (lambda: state.get("jobs/lock", scope), lambda: state.delete("jobs/lock", scope, None)):
        with pytest.raises(NotFoundError, match=f"there is no key 'jobs/lock' in scope {scope}") as told:
            act()
        assert told.value.where == "jobs/lock"
