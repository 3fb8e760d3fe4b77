"""Nodes find each other: pools fill, parents are found, failures re-attach, restarts come back."""

import dataclasses

import pytest
from msgspec.structs import replace

from mpreg_core.contracts.events import (
    JoinRefused,
    MemberChanged,
    NameConflict,
    ParentChanged,
    RegionContested,
    RegionDoubted,
)
from mpreg_core.contracts.members import Coordinates
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.wire.control import Hello


def events_of(node, kind):
    return [occurrence.event for occurrence in node.events if isinstance(occurrence.event, kind)]


def status_of(fed, at, pool, node):
    return fed.world.nodes[at].core.state.stacks[pool].table.member(node).status


def test_all_pools_of_three_tiers_are_complete_soon(federation):
    fed = federation()
    fed.grow()
    assert fed.world.run_until(fed.complete, 10) < 2
    pools = {name: sorted(node.core.state.stacks) for name, node in fed.world.nodes.items()}
    assert pools["g"] == ["global"]
    assert pools["r-eu"] == ["global", "regional:eu"]
    assert pools["l-us-1"] == ["local:l-us-1", "regional:us"]
    assert pools["c-us-1-1"] == ["local:l-us-1"]
    assert all(node.core.state.life == "ready" for node in fed.world.nodes.values())


def test_pools_are_complete_whatever_the_order_of_starts_and_under_loss(federation):
    for seed in range(5):
        fed = federation(seed, loss=0.1)
        fed.add("c", "cluster", "us", "l")
        fed.world.run(seed / 3)
        fed.add("l", "local", "us", "r")
        fed.add("r", "regional", "us", "g")
        fed.world.run(seed / 2)
        fed.add("g", "global", "us", None)
        assert fed.world.run_until(fed.complete, 20) < 12, f"seed {seed}"
        assert fed.world.nodes["c"].core.state.parent == "l"


def test_the_same_seed_replays_the_same_frames(federation):
    digests = []
    for _ in range(2):
        fed = federation(7, loss=0.05)
        fed.grow()
        fed.world.run(5)
        fed.world.crash("l-us-1")
        fed.world.run(5)
        digests.append(fed.world.digest())
    other = federation(8, loss=0.05)
    other.grow()
    other.world.run(10)
    assert digests[0] == digests[1] != other.world.digest()


def test_clusters_of_a_killed_hub_attach_to_its_sibling_and_go_home_when_it_is_back(federation):
    fed = federation()
    fed.grow(clusters=2)
    fed.world.run_until(fed.complete, 10)
    fed.world.run(1)
    before = fed.world.nodes["l-us-1"].core.state.incarnation
    fed.world.crash("l-us-1")
    children = [fed.world.nodes["c-us-1-1"], fed.world.nodes["c-us-1-2"]]
    moved = fed.world.run_until(lambda: all(c.core.state.parent == "l-us-2" for c in children), 20)
    assert moved < 10
    assert status_of(fed, "r-us", "regional:us", "l-us-1") == "failed"
    assert fed.world.run_until(fed.complete, 10) < 5
    fed.world.start("l-us-1")
    assert fed.world.run_until(lambda: all(c.core.state.parent == "l-us-1" for c in children), 30) < 20
    assert fed.world.run_until(fed.complete, 10) < 5
    assert fed.world.nodes["l-us-1"].core.state.incarnation > before
    assert [event.parent for event in events_of(children[0], ParentChanged)] == ["l-us-1", "l-us-2", "l-us-1"]


def test_local_hubs_of_a_killed_regional_hub_attach_to_another_region(federation):
    fed = federation()
    fed.grow()
    fed.world.run_until(fed.complete, 10)
    fed.world.run(1)
    fed.world.crash("r-us")
    hubs = [fed.world.nodes["l-us-1"], fed.world.nodes["l-us-2"]]
    assert fed.world.run_until(lambda: all(h.core.state.parent == "r-eu" for h in hubs), 30) < 15
    reply = fed.request("c-us-1-1", "mpreg.echo", node="c-eu-1-1").reply
    assert reply.code == "not_found", "the request arrived: the simulator has no echo handler"
    assert reply.where == "c-eu-1-1"


def test_a_node_that_leaves_is_left_everywhere_and_not_failed(federation):
    fed = federation()
    fed.grow()
    fed.world.run_until(fed.complete, 10)
    fed.world.leave("l-us-2")
    fed.world.run(1)
    assert status_of(fed, "r-us", "regional:us", "l-us-2") == "left"
    fed.world.run(10)
    assert status_of(fed, "l-us-1", "regional:us", "l-us-2") == "left"
    changes = {e.change for e in events_of(fed.world.nodes["r-us"], MemberChanged) if e.member.id == "l-us-2"}
    assert "failed" not in changes


def test_a_restarted_node_is_back_with_a_higher_incarnation_though_it_lost_its_disk(federation):
    fed = federation()
    fed.grow()
    fed.world.run_until(fed.complete, 10)
    fed.world.crash("c-us-1-1")
    hub = fed.world.nodes["l-us-1"]
    fed.world.run_until(lambda: status_of(fed, "l-us-1", "local:l-us-1", "c-us-1-1") == "failed", 10)
    known = hub.core.state.stacks["local:l-us-1"].table.member("c-us-1-1").incarnation
    fed.world.nodes["c-us-1-1"].disk.wipe()
    fed.world.start("c-us-1-1")
    assert fed.world.run_until(fed.complete, 10) < 5
    assert hub.core.state.stacks["local:l-us-1"].table.member("c-us-1-1").incarnation > known


def test_a_healed_partition_makes_every_pool_whole_without_an_operator(federation):
    fed = federation()
    fed.grow()
    fed.world.run_until(fed.complete, 10)
    eu = [name for name in fed.world.nodes if "eu" in name]
    fed.world.network.partition(eu)
    fed.world.run(6)
    assert status_of(fed, "g", "global", "r-eu") == status_of(fed, "r-eu", "global", "g") == "failed"
    fed.world.network.heal()
    assert fed.world.run_until(fed.complete, 20) < 10


def refusal(fed, node):
    fed.world.run(2)
    refused = events_of(fed.world.nodes[node], JoinRefused)
    assert refused, "the node was told why"
    return refused[0]


def test_a_parent_of_the_wrong_tier_refuses_and_says_what_to_do(federation):
    fed = federation()
    fed.grow()
    fed.world.run_until(fed.complete, 10)
    fed.add("c-lost", "cluster", "us", "r-us")
    refused = refusal(fed, "c-lost")
    assert refused.reason == "tier: r-us is of tier regional and has no local pool for a node of tier cluster"
    assert "one tier above" in refused.hint


def test_a_node_of_another_federation_is_refused(federation):
    fed = federation()
    fed.grow()
    fed.add("c-other", "cluster", "us", "l-us-1", federation="other")
    assert refusal(fed, "c-other").reason == "federation: expected federation 'test', got 'other'"


def test_a_full_hub_sends_the_node_to_its_sibling(federation):
    fed = federation()
    fed.grow(clusters=1, capacity=2)
    fed.world.run_until(fed.complete, 10)
    fed.world.run(1)
    fed.add("c-2", "cluster", "us", "l-us-1")
    fed.world.run(1)
    fed.add("c-3", "cluster", "us", "l-us-1")
    node = fed.world.nodes["c-3"]
    assert fed.world.run_until(lambda: node.core.state.parent == "l-us-2", 10) < 5
    assert "full" in events_of(node, JoinRefused)[0].reason


def test_a_second_process_with_an_id_in_use_is_refused(federation):
    fed = federation()
    fed.grow()
    fed.world.run_until(fed.complete, 10)
    hub = fed.world.nodes["l-us-1"]
    held = hub.core.state.stacks["local:l-us-1"].table.member("c-us-1-1")
    twin = replace(held, incarnation=99, started_ms=held.started_ms + 1, address=replace(held.address, host="x"))
    fed.world.command("l-us-1", lambda core: core.admission.on_hello(Hello("test", twin, "local", 1)))
    assert hub.core.state.counters["mpreg_joins_refused_total", (("code", "id_in_use"),)] == 1
    assert hub.core.state.stacks["local:l-us-1"].table.member("c-us-1-1") == held


def test_an_older_process_with_the_same_id_keeps_it_when_two_halves_meet(federation):
    fed = federation()
    fed.grow()
    fed.world.run_until(fed.complete, 10)
    core = fed.world.nodes["c-us-1-1"].core
    stack = core.state.stacks["local:l-us-1"]
    me = stack.table.member("c-us-1-1")
    elsewhere = replace(me.address, host="x")
    other = replace(me, incarnation=me.incarnation + 5, started_ms=me.started_ms + 10, address=elsewhere)
    fed.world.command("c-us-1-1", lambda core: core.merging.take(stack, other, "gossip"))
    node = fed.world.nodes["c-us-1-1"]
    conflict = events_of(node, NameConflict)[0]
    assert (conflict.ours, node.stopped) == (False, "")
    assert core.state.incarnation > other.incarnation
    older = replace(other, incarnation=core.state.incarnation + 1, started_ms=me.started_ms - 10)
    fed.world.command("c-us-1-1", lambda core: core.merging.take(stack, older, "gossip"))
    assert "another node has the id c-us-1-1" in node.stopped


def test_garbage_is_dropped_and_counted_and_changes_nothing(federation):
    fed = federation()
    fed.grow()
    fed.world.run_until(fed.complete, 10)
    node = fed.world.nodes["l-us-1"]
    rng = fed.world.network.rng
    frames = [bytes(rng.randrange(256) for _ in range(rng.randrange(200))) for _ in range(500)]
    frames += [b"\x94\x01\x00\xa1x" + b"\x91" * 5000, b"", b"\x94\x02\x00\xa1x\xc0", b"\x94\x01\xcd\xff\xff\xa1x\xc0"]
    members = len(node.core.state.stacks["regional:us"].table)
    node.core.state.counters.clear()
    for frame in frames:
        fed.world._do(node, node.core.on_frames(fed.world.now_ns, "gossip", Endpoint("x", 1), [frame]))
    dropped = {key[1]: n for key, n in node.core.state.counters.items() if key[0] == "mpreg_frames_dropped_total"}
    assert sum(dropped.values()) == len(frames)
    reasons = {dict(labels)["reason"] for labels in dropped}
    assert {"bad_envelope", "wire_version", "unknown_channel"} <= reasons
    assert len(node.core.state.stacks["regional:us"].table) == members
    assert len([o for o in node.events if type(o.event).__name__ == "FrameDropped"]) <= len(reasons)


def test_guests_are_not_asked_to_vote(federation):
    """They go together when their own hub comes back, and could take a majority along."""
    fed = federation()
    fed.grow()
    fed.world.run_until(fed.complete, 10)
    fed.world.crash("l-us-1")
    host = fed.world.nodes["l-us-2"].core.state
    fed.world.run_until(lambda: host.stacks["local:l-us-2"].table.member("c-us-1-1") is not None, 60)
    fed.world.run(2)
    assert host.stacks["local:l-us-2"].voters.ids == ("c-us-2-1", "l-us-2")


@pytest.mark.parametrize(("place", "doubted"), [(Coordinates(39.9, -75.2), 0), (Coordinates(50.1, 8.7), 1)])
def test_a_node_whose_place_does_not_go_with_its_region_says_so_once(federation, place, doubted):
    fed = federation()
    fed.grow(regions=("us",), hubs=1, clusters=0)
    fed.world.run_until(fed.complete, 10)
    fed.add("c-odd", "cluster", "us", "l-us-1")
    odd = fed.world.nodes["c-odd"]
    fed.world.crash("c-odd")
    odd.settings = dataclasses.replace(odd.settings, coordinates=place)
    fed.world.start("c-odd")
    fed.world.run(20)
    told = [o.event for o in odd.events if isinstance(o.event, RegionDoubted)]
    assert len(told) == doubted
    assert all((each.hub, each.region) == ("l-us-1", "us") and 6_000 < each.distance_km < 7_000 for each in told)


def test_a_node_that_does_not_go_home_stays_with_the_hub_that_took_it_in(federation):
    fed = federation()
    fed.add("r", "regional", "us", None)
    for hub in ("l-1", "l-2"):
        fed.add(hub, "local", "us", "r")
    fed.add("stays", "cluster", "us", "l-1", goes_home=False)
    fed.add("returns", "cluster", "us", "l-1")
    fed.world.run(5)
    fed.world.crash("l-1")
    fed.world.run(10)
    fed.world.start("l-1")
    fed.world.run(20)
    assert {name: fed.world.nodes[name].core.state.parent for name in ("stays", "returns")} == {
        "stays": "l-2",
        "returns": "l-1",
    }


def test_two_hubs_that_lead_one_region_are_told_of_in_both_once(federation):
    fed = federation()
    fed.grow()
    fed.add("r-us-2", "regional", "us", "g")
    fed.world.run_until(fed.complete, 10)
    fed.world.run(60)
    told = {
        name: [o.event.hub for o in fed.world.nodes[name].events if isinstance(o.event, RegionContested)]
        for name in ("r-us", "r-us-2", "r-eu", "g")
    }
    assert told == {"r-us": ["r-us-2"], "r-us-2": ["r-us"], "r-eu": [], "g": []}
