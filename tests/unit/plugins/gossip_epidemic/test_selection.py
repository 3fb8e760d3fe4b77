"""The four selections choose differently, and it shows: on WAN links, and in the time to the last member."""

from collections import Counter
from random import Random

import pytest

from mpreg_core import NS_PER_MS, Coordinates
from mpreg_gossip_epidemic.peers import Peers, distance_km
from mpreg_gossip_epidemic.selection import HYBRID, PROXIMITY, RANDOM, TOPOLOGY_AWARE, crossing_targets, push_targets

THREE = {"ap": (1.3, 103.8), "eu": (50.0, 8.0), "us": (40.0, -75.0)}
ONE_WAY_S = {("ap", "eu"): 0.08, ("ap", "us"): 0.1, ("eu", "us"): 0.04}


def latency(a, b):
    return 0.0005 if a == b else ONE_WAY_S[min(a, b), max(a, b)]


@pytest.fixture
def three_regions(member):
    """60 members in three regions, seen from `me` in eu."""
    names = sorted(THREE)
    peers = Peers(member("me", "eu", place=THREE["eu"]))
    peers.update([member(f"n{i}", names[i % 3], place=THREE[names[i % 3]]) for i in range(60)])
    return peers


def spread(pool, item, strategy, seed):
    """(WAN crossings an item, seconds to the last member of 60), means of 12 items."""
    p = pool(strategy, 60, regions=THREE, latency=latency, jitter=0.2, seed=seed)
    p.run(15)
    crossings = seconds = 0.0
    for i in range(12):
        p.wan_items = 0
        at = f"n{i}"
        version = p.publish(at, item(f"k{i}", origin=at))
        begun_ns = p.now_ns
        p.run(3)
        crossings += p.wan_items / 12
        seconds += max(node.got_ns[version] - begun_ns for node in p.nodes.values()) / 12e9
    return crossings, seconds


def test_the_selections_differ_on_the_wan_and_in_time(pool, item):
    got = {name: spread(pool, item, name, seed=3) for name in ("random", "proximity", "topology_aware", "hybrid")}
    print({name: (round(wan, 1), round(seconds, 3)) for name, (wan, seconds) in got.items()})
    assert 3.5 < got["topology_aware"][0] <= 2 * 2, "two senders, two other regions"
    assert got["topology_aware"][0] < got["hybrid"][0] < got["proximity"][0] < got["random"][0] / 3
    assert all(got[name][1] < 0.7 * got["random"][1] for name in ("proximity", "topology_aware", "hybrid"))


def test_random_is_uniform(three_regions):
    rng = Random(1)
    counts = Counter(RANDOM.pick(three_regions, rng, ()) for _ in range(12_000))
    assert len(counts) == 60
    assert min(counts.values()) > 140
    assert max(counts.values()) < 260


def test_proximity_prefers_the_lowest_round_trip_and_still_tells_the_far(three_regions):
    for i in range(60):
        three_regions.measured(f"n{i}", (i + 1) * NS_PER_MS)
    rng = Random(1)
    counts = Counter(PROXIMITY.pick(three_regions, rng, ()) for _ in range(6000))
    nearest = sum(counts[f"n{i}"] for i in range(10))
    assert nearest > 6000 * 0.5
    assert len(counts) == 60


def test_an_unmeasured_member_is_as_far_as_the_globe_says_and_a_measured_one_as_measured(member):
    peers = Peers(member("me", "eu", place=THREE["eu"]))
    peers.update([member("us", "us", place=THREE["us"]), member("eu", "eu"), member("ap", "ap")])
    assert 60 * NS_PER_MS < peers.near.cost_ns("us") < 70 * NS_PER_MS
    assert peers.near.cost_ns("eu") < peers.near.cost_ns("us") < peers.near.cost_ns("ap")
    peers.measured("us", NS_PER_MS)
    assert peers.near.cost_ns("us") == NS_PER_MS
    peers.measured("us", 9 * NS_PER_MS)
    assert peers.near.cost_ns("us") == 2 * NS_PER_MS
    peers.measured("nobody", 5)
    peers.measured("eu", -5)
    assert peers.near.cost_ns("eu") == 5 * NS_PER_MS


def test_topology_aware_stays_in_its_region(three_regions):
    rng = Random(1)
    for _ in range(100):
        targets = push_targets(TOPOLOGY_AWARE, three_regions, rng, 5, ())
        assert {three_regions.region_of(peer) for peer in targets} == {"eu"}


def test_hybrid_prefers_the_near_of_its_region_and_leaves_it_at_times(three_regions):
    in_region = [f"n{i}" for i in range(60) if three_regions.region_of(f"n{i}") == "eu"]
    for rank, peer in enumerate(in_region):
        three_regions.measured(peer, (rank + 1) * NS_PER_MS)
    rng = Random(1)
    counts = Counter(HYBRID.pick(three_regions, rng, ()) for _ in range(6000))
    assert sum(counts[peer] for peer in in_region[:5]) > 3000
    away = sum(count for peer, count in counts.items() if peer not in in_region)
    assert 300 < away < 700


def test_crossing_targets_are_one_in_each_other_region(three_regions):
    targets = crossing_targets(three_regions, Random(1), 3)
    assert sorted(three_regions.region_of(peer) for peer in targets) == ["ap", "us"]


def test_with_many_regions_the_two_beside_are_always_told(member):
    peers = Peers(member("me", "r10"))
    peers.update([member(f"n{i}", f"r{i:02}") for i in range(40)])
    for seed in range(20):
        targets = crossing_targets(peers, Random(seed), 3)
        assert len(set(targets)) == 3
        assert {"n9", "n11"} < set(targets)


@pytest.mark.parametrize("selection", [RANDOM, PROXIMITY, TOPOLOGY_AWARE, HYBRID])
def test_targets_are_distinct_live_others_and_at_most_fanout(selection, three_regions, member):
    rng = Random(1)
    three_regions.update([member("n4", "eu", status="failed"), member("n7", "eu", status="left")])
    for fanout in (1, 2, 3, 10):
        for _ in range(50):
            targets = push_targets(selection, three_regions, rng, fanout, ("n1", "n10"))
            assert len(set(targets)) == len(targets) == fanout
            assert not {"me", "n1", "n10", "n4", "n7"} & set(targets)


@pytest.mark.parametrize("selection", [RANDOM, PROXIMITY, TOPOLOGY_AWARE, HYBRID])
def test_both_neighbours_on_the_ring_are_always_told(selection, three_regions):
    neighbours = {selection.beside(three_regions, step) for step in (1, -1)}
    assert len(neighbours) == 2
    for seed in range(20):
        assert neighbours < set(push_targets(selection, three_regions, Random(seed), 3, ()))


@pytest.mark.parametrize("selection", [RANDOM, PROXIMITY, TOPOLOGY_AWARE, HYBRID])
def test_alone_there_is_nobody_to_tell(selection, member):
    peers = Peers(member("me"))
    assert push_targets(selection, peers, Random(1), 3, ()) == ()
    peers.update([member("a")])
    assert push_targets(selection, peers, Random(1), 3, ()) == ("a",)
    assert push_targets(selection, peers, Random(1), 3, ("a",)) == ()


def test_every_node_is_the_next_of_exactly_one(member):
    members = [member(f"n{i}", f"r{i % 4}") for i in range(50)]
    views = []
    for me in members:
        views.append(Peers(me))
        views[-1].update(members)
    for selection in (RANDOM, PROXIMITY):
        assert len({selection.beside(view, 1) for view in views}) == 50
        by_id = {view.me: view for view in views}
        assert all(selection.beside(by_id[selection.beside(view, 1)], -1) == view.me for view in views)


def test_a_view_built_member_by_member_is_the_one_built_at_once(member):
    members = [member(f"n{i}", f"r{i % 4}") for i in range(50)]
    one, all_ = Peers(member("n0", "r0")), Peers(member("n0", "r0"))
    assert all_.update(members) == 49
    assert sum(one.update([each]) for each in reversed(members)) == 49
    assert one.update([member("n5", "r9"), member("n6", "r2", status="failed")]) == 0
    assert all_.update([*members[7:40], member("n5", "r9"), member("n6", "r2", status="failed")]) == 0
    for region in all_.regions:
        assert list(one.in_region(region)) == list(all_.in_region(region))
    assert (one.live, one.failed, one.regions) == (all_.live, all_.failed, all_.regions)
    assert one.update([member("n6", "r2")]) == 1
    assert one.update([member(f"n{i}", status="left") for i in range(1, 50)]) == 0
    assert (one.live, one.failed, one.regions) == ([], [], ["r0"])


def test_a_node_that_moves_is_found_in_its_new_region(member):
    peers = Peers(member("me", "eu"))
    peers.update([member("a", "us"), member("b", "us"), member("me", "us", place=THREE["us"])])
    assert peers.region == "us"
    assert peers.regions == ["us"]
    assert {peers.beside("me", step, "us") for step in (1, -1)} == {"a", "b"}


def test_distances_on_the_globe():
    assert distance_km(Coordinates(0, 0), Coordinates(0, 0)) == 0
    assert distance_km(Coordinates(0, 0), Coordinates(0, 180)) == pytest.approx(20_015, rel=0.01)
    assert distance_km(Coordinates(51.5, -0.1), Coordinates(40.7, -74.0)) == pytest.approx(5_570, rel=0.01)
