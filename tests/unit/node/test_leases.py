"""Keys that end by themselves: with a time, or with the life of the node that wrote them."""

import pytest

from mpreg_core.errors import InvalidInputError, NotFoundError
from mpreg_core.node.leases import CHECK_NS, GRACE_MS
from mpreg_core.units import MS_PER_S, NS_PER_S

CHECK_S, GRACE_S = CHECK_NS / NS_PER_S, GRACE_MS / MS_PER_S
NOTICED_S = 10
"""Within this a crash is known in the pool."""


@pytest.fixture
def fed(federation):
    made = federation()
    made.grow()
    made.world.run_until(made.complete, 10)
    return made


def put(fed, node, key="k", value=1, scope="federation", ttl=None, ephemeral=False):
    def act(core):
        lease = core.leases.lease(ttl, ephemeral=ephemeral)
        core.replication.put(key, value, scope, None, None, lease)
        core.leases.hold(scope, key, value, lease)

    fed.world.command(node, act)


def entry(fed, node, key="k", scope="federation"):
    try:
        return fed.world.nodes[node].core.replication.get(key, scope)
    except NotFoundError:
        return None


def everywhere(fed, key="k", scope="federation"):
    nodes = [node for node in fed.ids if fed.world.nodes[node].alive]
    return {entry.value if entry is not None else None for entry in (entry_of(fed, n, key, scope) for n in nodes)}


entry_of = entry


def test_a_key_ends_everywhere_when_its_time_is_over(fed):
    put(fed, "c-us-1-1", ttl=5)
    fed.world.run(2)
    assert everywhere(fed) == {1}
    assert entry(fed, "c-eu-1-1").expires is not None
    fed.world.run(2)
    assert everywhere(fed) == {1}
    assert fed.world.run_until(lambda: everywhere(fed) == {None}, 10) < 1 + CHECK_S + 2


def test_a_key_ends_in_time_though_its_writer_is_gone(fed):
    put(fed, "c-us-1-1", ttl=5)
    fed.world.run(1)
    fed.world.crash("c-us-1-1")
    assert fed.world.run_until(lambda: everywhere(fed) == {None}, 20) < 4 + GRACE_S + CHECK_S + 2


def test_a_write_renews_and_one_without_a_time_keeps_for_good(fed):
    put(fed, "c-us-1-1", ttl=5)
    fed.world.run(4)
    put(fed, "c-us-1-1", value=2, ttl=5)
    fed.world.run(4)
    assert everywhere(fed) == {2}
    put(fed, "c-eu-1-1", value=3)
    fed.world.run(20)
    assert everywhere(fed) == {3}
    assert entry(fed, "g").expires is None


@pytest.mark.parametrize("end", ["crash", "leave"])
def test_an_ephemeral_key_ends_with_its_node(fed, end):
    put(fed, "c-us-1-1", ephemeral=True)
    fed.world.run(2)
    assert everywhere(fed) == {1}
    assert entry(fed, "c-eu-1-1").holder == "c-us-1-1"
    getattr(fed.world, end)("c-us-1-1")
    assert fed.world.run_until(lambda: everywhere(fed) == {None}, 30) < NOTICED_S + CHECK_S + 2


def test_an_ephemeral_key_does_not_outlive_a_restart(fed):
    put(fed, "c-us-1-1", ephemeral=True)
    fed.world.run(2)
    fed.world.crash("c-us-1-1")
    fed.world.start("c-us-1-1")
    fed.world.run(10)
    assert everywhere(fed) == {None}


def test_a_holder_that_was_cut_off_writes_its_keys_again(fed):
    put(fed, "c-us-1-1", ephemeral=True)
    fed.world.run(2)
    fed.world.network.partition({"c-us-1-1"}, set(fed.ids) - {"c-us-1-1"})
    assert fed.world.run_until(lambda: entry(fed, "l-us-1") is None, 30) < NOTICED_S + 2
    assert entry(fed, "c-us-1-1") is not None
    fed.world.network.heal()
    fed.world.run_until(lambda: everywhere(fed) == {1}, 30)
    assert everywhere(fed) == {1}


def test_what_was_removed_or_written_by_hand_is_not_written_again(fed):
    put(fed, "c-us-1-1", ephemeral=True)
    put(fed, "c-us-1-1", key="other", ephemeral=True)
    fed.world.run(2)
    fed.world.command("c-eu-1-1", lambda core: core.replication.delete("k", "federation", None))
    put(fed, "c-eu-1-1", key="other", value=9)
    fed.world.run(20)
    assert everywhere(fed) == {None}
    assert everywhere(fed, "other") == {9}
    assert fed.world.nodes["c-us-1-1"].core.leases.next_deadline() is None


def test_a_lease_goes_with_the_last_write_only_and_has_bounds(fed):
    core = fed.world.nodes["g"].core
    for ttl in (0, 0.5, float("nan"), 1e9):
        with pytest.raises(InvalidInputError, match=r"expected a ttl of 1\.0 to 2592000\.0 s, got"):
            core.leases.lease(ttl, ephemeral=False)
    with pytest.raises(InvalidInputError, match="for a key that ends by itself, got set"):
        core.replication.put("s", {"add": [1]}, "pool", "set", None, core.leases.lease(5, ephemeral=False))
