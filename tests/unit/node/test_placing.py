"""A hub says when another one is the better place for a cluster that registers with it."""

import pytest

from mpreg_core.contracts.api import Cluster
from mpreg_core.contracts.events import ClusterMisplaced
from mpreg_core.contracts.members import Coordinates
from mpreg_core.errors import UnavailableError

NEW_YORK, FRANKFURT, BOSTON = Coordinates(40.7, -74.0), Coordinates(50.1, 8.7), Coordinates(42.4, -71.1)


@pytest.fixture
def fed(federation):
    """Local hubs in the us and the eu, each with room for two."""
    made = federation()
    made.grow(hubs=1, clusters=0, capacity=2)
    made.world.run_until(made.complete, 10)
    made.world.run(2)
    return made


def register(fed, name, place):
    cluster = Cluster(id=name, services=("pay",), coordinates=place)
    fed.world.command("l-us-1", lambda core: core.registry.register(cluster))
    return [o.event for o in fed.world.nodes["l-us-1"].events if isinstance(o.event, ClusterMisplaced)]


def test_a_cluster_that_is_nearer_to_another_hub_is_told_of(fed):
    (told,) = register(fed, "far", FRANKFURT)
    assert (told.cluster, told.hub) == ("far", "r-eu")
    assert told.distance_km > 6000 > 100 > told.hub_distance_km


@pytest.mark.parametrize("place", [NEW_YORK, BOSTON, None])
def test_one_that_is_well_placed_is_not(fed, place):
    assert register(fed, "near", place) == []


def test_a_full_hub_names_others_with_room(fed):
    fed.add("l-us-2", "local", "us", "r-us", capacity=2)
    fed.world.run(3)
    for name in ("a", "b"):
        register(fed, name, NEW_YORK)
    with pytest.raises(UnavailableError, match="register with another hub, as l-us-2"):
        register(fed, "c", NEW_YORK)
