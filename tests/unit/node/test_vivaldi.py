"""Network coordinates: they find out how far apart nodes are, from samples alone, and say so seldom."""

from random import Random
from statistics import median

import pytest
from msgspec import ValidationError, msgpack

from mpreg_core import Coordinates, NetworkCoordinates
from mpreg_core.node.vivaldi import PUBLISH_NS, Vivaldi
from mpreg_core.units import NS_PER_MS

CITIES = {"ashburn": (39.0, -77.5), "dublin": (53.3, -6.3), "tokyo": (35.7, 139.7), "sydney": (-33.9, 151.2)}
LINKS_MS = {
    ("ashburn", "dublin"): 68.0, ("ashburn", "tokyo"): 155.0, ("ashburn", "sydney"): 198.0,
    ("dublin", "tokyo"): 207.0, ("dublin", "sydney"): 254.0, ("sydney", "tokyo"): 104.0,
}  # fmt: skip


def settled(rounds=40, *, placed=True, seed=1):
    """Five nodes in each city after that many rounds of samples, a hundredth of them delayed to twice its length."""
    rng = Random(seed)
    nodes = {
        f"{city}-{number}": Vivaldi(Coordinates(*CITIES[city]) if placed else None, Random(f"{seed}/{city}/{number}"))
        for city in CITIES
        for number in range(5)
    }
    for _ in range(rounds):
        for name, node in nodes.items():
            other = rng.choice([each for each in nodes if each != name])
            late = 2.0 if rng.random() < 0.01 else rng.uniform(1.0, 1.05)
            node.sample(round(true_ms(name, other) * late * NS_PER_MS), nodes[other].current())
    return nodes


def true_ms(a, b):
    ends = tuple(sorted((a.rsplit("-", 1)[0], b.rsplit("-", 1)[0])))
    return 0.5 if ends[0] == ends[1] else LINKS_MS[ends]


def wrong(nodes, *, near=False):
    """How far off the estimates are, of the round trip."""
    pairs = [(a, b) for a in nodes for b in nodes if a < b and near == (true_ms(a, b) < 1)]
    estimates = [nodes[a].current().round_trip_ns(nodes[b].current()) / NS_PER_MS for a, b in pairs]
    return [abs(found - true_ms(a, b)) / true_ms(a, b) for found, (a, b) in zip(estimates, pairs, strict=True)]


def test_a_place_on_the_earth_gives_estimates_before_anything_is_measured():
    assert max(wrong(settled(0))) < 0.6


@pytest.mark.parametrize("placed", [True, False], ids=["from a place on earth", "from nowhere"])
@pytest.mark.parametrize("seed", range(5))
def test_estimates_get_good(placed, seed):
    assert median(wrong(settled(100, placed=placed, seed=seed))) < 0.1


def test_neighbours_stay_near():
    nodes = settled(100)
    distances = [
        nodes[a].current().round_trip_ns(nodes[b].current())
        for a in nodes
        for b in nodes
        if a < b and true_ms(a, b) < 1
    ]
    assert median(distances) < 20 * NS_PER_MS


def test_one_wild_sample_moves_a_settled_node_little():
    node = settled(100)["dublin-1"]
    before = node.current()
    node.sample(10_000 * NS_PER_MS, NetworkCoordinates(0, 0, 0, 50, 0))
    assert 0 < before.apart_us(node.current()) <= 100_001
    node.sample(10_001 * NS_PER_MS, before)


def test_no_sample_breaks_it():
    node = Vivaldi(None, Random(1))
    rng = Random(2)
    extremes = [-100_000_000, 0, 1, 100_000_000]
    for _ in range(2000):
        peer = NetworkCoordinates(
            *(rng.choice(extremes) for _ in range(3)), rng.choice(extremes[1:]), rng.randrange(1501)
        )
        node.sample(rng.choice([0, 1, 10**6, 10**11, 10**18]), peer)
        msgpack.decode(msgpack.encode(node.current()), type=NetworkCoordinates)


def test_nodes_in_one_place_part():
    here = Coordinates(1.0, 1.0)
    a, b = Vivaldi(here, Random(1)), Vivaldi(here, Random(2))
    for _ in range(50):
        a.sample(40 * NS_PER_MS, b.current())
        b.sample(40 * NS_PER_MS, a.current())
    assert a.current().round_trip_ns(b.current()) == pytest.approx(40 * NS_PER_MS, rel=0.05)


def test_only_a_move_is_told_and_seldom():
    node = Vivaldi(None, Random(1))
    far = NetworkCoordinates(80_000, 0, 0, 50, 100)
    assert not node.should_publish(0)
    node.sample(40 * NS_PER_MS, far)
    assert node.should_publish(1)
    assert node.published == node.current()
    node.sample(40 * NS_PER_MS, far)
    assert not node.should_publish(PUBLISH_NS)
    assert node.should_publish(PUBLISH_NS + 1)
    assert not node.should_publish(9 * PUBLISH_NS)


@pytest.mark.parametrize(
    "values", [(10**9, 0, 0, 1, 1), (0, 0, 0, -1, 1), (0, 0, 0, 1, 5000), (float("nan"), 0, 0, 1, 1)]
)
def test_coordinates_out_of_bounds_are_no_record(values):
    with pytest.raises(ValidationError):
        msgpack.decode(msgpack.encode(values), type=NetworkCoordinates)
