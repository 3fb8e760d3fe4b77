"""A small world of the simplest strategies."""

import pytest

from mpreg_core.sim import Fleet
from mpreg_core.sim.scenario import Plan
from mpreg_core.testing.stand_ins import HEARTBEATS
from mpreg_core.testing.subject import Subject


@pytest.fixture(scope="session")
def parts():
    made = Subject(HEARTBEATS, HEARTBEATS.options()).parts()
    return lambda tier: made


@pytest.fixture
def fleet(parts):
    """A formed fleet of 1x2x2: eleven nodes."""

    def make(seed=1):
        made = Fleet.of_shape(parts, 1, 2, 2, seed=seed)
        made.world.run_until(made.is_whole, 30)
        assert made.is_whole()
        return made

    return make


@pytest.fixture
def plan(parts):
    def make(seed=1, faults=(), duration_s=20.0):
        return Plan(parts, (1, 2, 2, 1), seed, duration_s, faults)

    return make
