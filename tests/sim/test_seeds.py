"""Seeds: whole federations of the shipped strategies under drawn faults keep every promise.

A fixed set always; with MPREG_FRESH=N (`tox -e sim` sets it) N fresh ones more, whose seeds are printed.
"""

import os
from random import SystemRandom

import pytest

from mpreg_core.sim import Fleet, Plan, Run, parse_faults
from mpreg_core.testing import installed_parts

SHAPE = (1, 2, 2, 1)
DURATION_S = 60.0
FRESH = [SystemRandom().randrange(1000, 10**9) for _ in range(int(os.environ.get("MPREG_FRESH", "0")))]
STRATEGIES = {"default": (), "the others": ("phi", "plumtree", "raft", "graph")}


@pytest.fixture(scope="session")
def parts():
    return {name: installed_parts(*specs) for name, specs in STRATEGIES.items()}


@pytest.mark.parametrize("strategies", STRATEGIES)
@pytest.mark.parametrize("seed", [*range(1, 9), *FRESH])
def test_a_federation_under_drawn_faults_keeps_its_promises(parts, seed, strategies):
    faults = parse_faults("default", Fleet.names_of(*SHAPE), seed, DURATION_S)
    outcome = Run(Plan(parts[strategies], SHAPE, seed, DURATION_S, faults)).play()
    specs = "".join(f" --plugins {spec}" for spec in STRATEGIES[strategies])
    again = f"mpreg simulate --shape 1x2x2 --seed {seed} --duration 60 --faults default{specs}"
    print(f"seed {seed}: {outcome.digest}")
    assert outcome.held, f"{outcome.violations}; again: {again}"


FOUND = {
    "a storm of newcomers that leave together": "join-storm:us-east*60@5+30,region-loss:eu-west@10+40",
    "a machine replaced by one that remembers nothing": (
        "replace:eu-west-2-c2@21+12,leave:eu-west-2@25+10,join-storm:eu-west*20@26+8,disk-torn:us-east-2@27+9"
    ),
    "a paused hub that is told to leave": "pause:eu-west-2@18+16,leave:eu-west-2@25+10",
    "a rolling restart": "rolling-restart:us-east@5+50",
    "a rolling restart so fast that nobody has been a voter for long": (
        "rolling-restart:us-east@19.82+10.745,duplicate*0.1@24.16+8.28,jitter*0.05@25.126+17.057,"
        "link-loss:us-east-1-c2>eu-west-2*0.5@26.396+10.574,loss*0.1@28.67+10.432"
    ),
    "a global hub replaced after a regional one had left and come back": (
        "leave:us-east@7.33+7.05,replace:global-1@29.85+16.47"
    ),
    "a rolling restart of everything within two seconds": "rolling-restart:us-east@8+2",
}
"""Schedules that broke a promise once."""

SHAPES = {"a rolling restart of everything within two seconds": (1, 1, 1, 3)}
"""Of those that are not 1x2x2x2."""


@pytest.mark.parametrize("name", FOUND)
def test_what_broke_a_promise_once_does_not_again(parts, name):
    shape = SHAPES.get(name, (1, 2, 2, 2))
    faults = parse_faults(FOUND[name], Fleet.names_of(*shape), 1, 60)
    outcome = Run(Plan(parts["default"], shape, 1, 60, faults)).play()
    assert outcome.held, outcome.violations
