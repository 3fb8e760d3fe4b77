"""Replicated keys over a crash: what was said to be written is there again, from the node's own journal."""

from dataclasses import replace

import pytest

from mpreg_core.errors import StorageError
from mpreg_core.node import keeping
from mpreg_core.node.keeping import STATE_JOURNAL, Written

POOL_NODES = ("l-us-1", "c-us-1-1")


@pytest.fixture
def pools(federation):
    made = federation()
    made.grow(regions=("us",), hubs=1)
    assert made.world.run_until(made.complete, 20)
    return made


def put(pools, node, key, value, scope="pool", policy=None):
    """Write, and give the outcome's token."""
    tokens = []

    def act(core):
        tokens.append(core.new_token())
        core.replication.put(key, value, scope, policy, None)
        core.keeping.complete_when_durable(tokens[0])

    pools.world.command(node, act)
    return tokens[0]


def value(pools, node, key, scope="pool"):
    return pools.world.nodes[node].core.replication.get(key, scope).value


def crash_all_and_start(pools):
    nodes = list(pools.world.nodes)
    for node in nodes:
        pools.world.crash(node)
    for node in nodes:
        pools.world.start(node)


def journal(pools, node):
    return pools.world.nodes[node].disk.journals[STATE_JOURNAL]


@pytest.mark.parametrize("scope", ["pool", "region", "federation"])
def test_an_acknowledged_write_outlives_the_crash_of_all_nodes_at_once(pools, scope):
    node = pools.world.nodes["l-us-1"]
    token = put(pools, "l-us-1", "k", {"a": 1}, scope)
    while token not in node.results:
        assert node.disk.journals.get(STATE_JOURNAL) is None
        pools.world.run(0.0001)
    assert node.results[token] == Written()
    crash_all_and_start(pools)
    assert pools.world.run_until(pools.complete, 60)
    pools.world.run(15)
    assert value(pools, "l-us-1", "k", scope) == {"a": 1}
    assert value(pools, "c-us-1-1", "k", scope) == {"a": 1}


def test_what_came_from_others_is_kept_too_and_a_removal_stays_one(pools):
    put(pools, "l-us-1", "k", 1)
    put(pools, "l-us-1", "gone", 1)
    pools.world.run(2)
    pools.world.command("l-us-1", lambda core: core.replication.delete("gone", "pool", None))
    pools.world.run(2)
    crash_all_and_start(pools)
    pools.world.nodes["l-us-1"].disk.wipe()
    store = pools.world.nodes["c-us-1-1"].core.replication.store
    assert {key.rpartition("/")[2]: entry.alive for key, entry in store._slots["pool"].items()} == {
        "k": True,
        "gone": False,
    }


def test_an_engines_decisions_are_in_its_own_journal_alone(pools):
    world = pools.world
    world.command("l-us-1", lambda core: core.decisions.propose(core.new_token(), "pool", "d", 1, 5_000_000_000))
    world.run(2)
    assert value(pools, "c-us-1-1", "d") == 1
    assert STATE_JOURNAL not in world.nodes["l-us-1"].disk.journals
    assert STATE_JOURNAL not in world.nodes["c-us-1-1"].disk.journals


def test_without_a_place_for_journals_a_write_is_done_at_once_and_nothing_is_held_for_it(pools):
    node = pools.world.nodes["l-us-1"]
    node.core.state.settings = replace(node.core.state.settings, durable=False)
    token = put(pools, "l-us-1", "k", 1)
    assert node.results[token] == Written()
    assert not node.core.replication.store.unsaved
    assert STATE_JOURNAL not in node.disk.journals


def test_a_disk_that_fails_acknowledges_when_it_is_mended(pools):
    node = pools.world.nodes["l-us-1"]
    node.disk.faults.full = True
    token = put(pools, "l-us-1", "k", 1)
    pools.world.run(5)
    assert token not in node.results
    node.disk.faults.full = False
    pools.world.run(2)
    assert node.results[token] == Written()


def test_the_journal_is_written_anew_when_it_has_grown(pools, monkeypatch):
    monkeypatch.setattr(keeping, "CHECKPOINT_BYTES_MIN", 2_000)
    for number in range(100):
        put(pools, "l-us-1", f"k{number % 3}", number)
    pools.world.run(1)
    assert len(journal(pools, "l-us-1")) < 60
    crash_all_and_start(pools)
    assert [value(pools, "l-us-1", f"k{key}") for key in range(3)] == [99, 97, 98]


def test_a_record_that_is_none_refuses_to_start_and_says_what_to_do(pools):
    pools.world.crash("l-us-1")
    pools.world.nodes["l-us-1"].disk.journals[STATE_JOURNAL] = [b"\xc1"]
    with pytest.raises(StorageError, match="restore the journal, or move it away") as caught:
        pools.world.start("l-us-1")
    assert caught.value.where == "state, record 0"


def test_revisions_go_on_above_those_of_the_life_before(pools):
    put(pools, "l-us-1", "k", 1)
    pools.world.run(1)
    before = pools.world.nodes["l-us-1"].core.replication.store.revision
    crash_all_and_start(pools)
    put(pools, "l-us-1", "k", 2)
    assert pools.world.nodes["l-us-1"].core.replication.store.revision > before
    assert value(pools, "l-us-1", "k") == 2
