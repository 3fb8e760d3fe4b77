"""Seeds: whole federations of the shipped strategies under drawn faults keep every promise.

A fixed set always; with MPREG_FRESH=N (`tox -e sim` sets it) N fresh ones more, whose seeds are printed.
"""

import os
from random import SystemRandom

import pytest

from mpreg_core.assembly import parts_of
from mpreg_core.config.load import read_config
from mpreg_core.config.resolve import resolve
from mpreg_core.plugin.discovery import load_plugins
from mpreg_core.sim.faults import parse_faults
from mpreg_core.sim.fleet import Fleet
from mpreg_core.sim.scenario import Plan, Run

SHAPE = (1, 2, 2, 1)
DURATION_S = 60.0
FRESH = [SystemRandom().randrange(1000, 10**9) for _ in range(int(os.environ.get("MPREG_FRESH", "0")))]
STRATEGIES = {"default": (), "phi and graph": ("phi", "graph")}


@pytest.fixture(scope="session")
def parts():
    config, _ = read_config(data={}, env={})
    plugins = load_plugins()
    return {name: parts_of(resolve(config, plugins, specs)) for name, specs in STRATEGIES.items()}


@pytest.mark.parametrize("strategies", STRATEGIES)
@pytest.mark.parametrize("seed", [*range(1, 9), *FRESH])
def test_a_federation_under_drawn_faults_keeps_its_promises(parts, seed, strategies):
    faults = parse_faults("default", Fleet.names_of(*SHAPE), seed, DURATION_S)
    outcome = Run(Plan(parts[strategies], SHAPE, seed, DURATION_S, faults)).play()
    specs = "".join(f" --plugins {spec}" for spec in STRATEGIES[strategies])
    again = f"mpreg simulate --shape 1x2x2 --seed {seed} --duration 60 --faults default{specs}"
    print(f"seed {seed}: {outcome.digest}")
    assert outcome.held, f"{outcome.violations}; again: {again}"
