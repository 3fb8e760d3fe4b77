"""Faults: every kind does something and ends again; what is written is what happens; nonsense is told."""

from dataclasses import astuple
from pathlib import Path

import pytest

from mpreg_core.errors import InvalidInputError
from mpreg_core.sim.faults import DEFAULT_KINDS, KINDS, Fault, parse_faults, targets_of

NODES = {"global-1": "us-east", "us-east": "us-east", "eu-west": "eu-west", "us-east-1": "us-east"}


def picture(world):
    """What a fault may change, in a form to compare."""
    network = world.network
    nodes = {name: (node.paused, astuple(node.disk.faults)) for name, node in world.nodes.items() if node.alive}
    clocks = {name: (node.drift, node.jumped_ns) for name, node in world.nodes.items() if node.alive}
    ways = {(a, b) for a in nodes for b in nodes if network.connected(a, b)}
    wrong = (network.faults.loss, network.faults.burst, network.faults.duplicate, network.faults.reorder)
    times = (round(network.faults.delay_s, 9), round(network.faults.jitter_s, 9), network.faults.bandwidth_bytes_s)
    return nodes, clocks, ways, wrong, times, dict(network.slow), dict(network.links)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_of_each_kind_changes_the_world_and_its_end_changes_it_back(fleet, kind):
    made = fleet()
    wants = KINDS[kind].wants
    target = {"node": "us-east-1", "region": "us-east", "pair": "us-east>eu-west", "": ""}[wants]
    fault = Fault(kind, 0, 1, target, KINDS[kind].amount)  # a rolling restart begins with its first node
    before = picture(made.world)
    KINDS[kind].begin(made.world, fault, targets_of(fault, made.regions))
    assert picture(made.world) != before
    made.world.run(0.5)
    KINDS[kind].end(made.world, fault, targets_of(fault, made.regions))
    assert picture(made.world) == before


def test_what_is_written_comes_back_as_it_was():
    text = "crash:us-east-1@1+2,link-loss:us-east>eu-west*0.3@2+3,loss*0.25@4+5"
    faults = parse_faults(text, NODES, 1, 60)
    assert ",".join(str(fault) for fault in faults) == text
    assert parse_faults(",".join(map(str, faults)), NODES, 99, 60) == faults


def test_what_is_left_out_is_drawn_from_the_seed_and_lies_in_the_run():
    drawn = {seed: parse_faults("default", NODES, seed, 60) for seed in (1, 2)}
    assert drawn[1] == parse_faults("default", NODES, 1, 60)
    assert drawn[1] != drawn[2]
    assert all(fault.at_s > 0 and fault.at_s + fault.for_s <= 60 for fault in drawn[1])


def test_the_usual_faults_may_stand_beside_others():
    drawn = parse_faults("default,region-loss", NODES, 1, 60)
    assert sorted(fault.kind for fault in drawn) == sorted([*DEFAULT_KINDS, "region-loss"])


@pytest.mark.parametrize("text", ["", "none"])
def test_no_faults_are_none(text):
    assert parse_faults(text, NODES, 1, 60) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("crsh", "unknown fault 'crsh', did you mean 'crash'?"),
        ("crash@", "expected KIND[:TARGET][*AMOUNT][@AT[+FOR]], got 'crash@'"),
        ("crash:nobody@1+1", "no node 'nobody'"),
        ("crash:us-aest-1@1+1", "did you mean 'us-east-1'?"),
        ("region-loss:us-aest@1+1", "no region 'us-aest', did you mean 'us-east'?"),
        ("block:us-east@1+1", "expected NODE>NODE"),
        ("crash:us-east-1@50+20", "ends after 70 s, later than the run of 60 s"),
    ],
)
def test_nonsense_is_told(text, words):
    with pytest.raises(InvalidInputError) as caught:
        parse_faults(text, NODES, 1, 60)
    assert words in str(caught.value)


def test_every_kind_is_documented():
    page = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "simulate.md").read_text()
    assert [name for name, kind in KINDS.items() if f"| `{name}` | " not in page or kind.says not in page] == []
