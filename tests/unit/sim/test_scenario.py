"""Scenarios: promises are kept or broken by name, a seed gives one run, faults are shrunk to the culprit."""

from dataclasses import dataclass, replace

import pytest

from mpreg_core.contracts.events import Decided
from mpreg_core.node.pending import Outcome as Answer
from mpreg_core.sim import checkers
from mpreg_core.sim.checkers import violations
from mpreg_core.sim.faults import Fault
from mpreg_core.sim.observer import Asked, Seen
from mpreg_core.sim.report import page
from mpreg_core.sim.scenario import Run
from mpreg_core.sim.shrink import shrunk
from mpreg_core.sim.watchdog import watched
from mpreg_core.sim.world import RunawayError
from mpreg_core.wire.request import ReplyFrame


def test_a_run_without_faults_keeps_every_promise(plan):
    outcome = Run(plan()).play()
    assert outcome.held, outcome.violations
    assert outcome.answered == outcome.requests > 20
    assert outcome.nodes == 11


def test_the_same_seed_gives_the_same_run_and_another_seed_another(plan):
    digests = [Run(plan(seed)).play().digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


@pytest.fixture
def seen(fleet):
    """A good run's traces, to be spoiled."""
    return Seen(fleet(), healed_s=1.0)


def decided(proposal, value, index=1):
    return Decided(proposal, "k", value, "n", "committed", {}, index)


def answer(*path):
    return Answer(ReplyFrame(id="1", code="", payload=b"1", where="x", path=path), 1)


def asked(kind="request", token=7, begun_s=0.0, subject="1"):
    return Asked("us-east", token, 1, begun_s, begun_s + 5, kind, f"a {kind}", subject)


@dataclass
class Proposed:
    decided: Decided


def store_of(seen, node):
    return seen.fleet.world.nodes[node].core.replication.store


SPOILED = {
    "whole_again": lambda seen: setattr(seen, "healed_s", None),
    "state_converges": lambda seen: (
        store_of(seen, "us-east").put("/k", 1, "federation", wall_ms=seen.fleet.world.wall_ms),
        setattr(seen, "written", {"k": 1}),
    ),
    "requests_end_once": lambda seen: seen.asked.append(asked()),
    "answers_belong": lambda seen: (
        seen.asked.append(asked(subject="2")),
        seen.outcomes.update({("us-east", 1, 7): (1.0, answer("us-east"))}),
    ),
    "handled_at_most_once": lambda seen: seen.fleet.handled.update([b"5", b"5"]),
    "decisions_are_linearizable": lambda seen: (
        seen.asked.extend([asked(kind="proposal"), asked(kind="proposal", token=8, begun_s=2.0)]),
        seen.outcomes.update({("us-east", 1, 7): (1.0, Proposed(decided("p", b"1", 2)))}),
        seen.outcomes.update({("us-east", 1, 8): (3.0, Proposed(decided("q", b"1", 1)))}),
    ),
    "the_dead_are_found": lambda seen: seen.missed.append(("us-east", 40.0)),
    "memory_is_bounded": lambda seen: seen.grown.update({"us-east": (20_000, 40_000)}),
    "paths_do_not_loop": lambda seen: seen.outcomes.update({("a", 1, 1): (1.0, answer("a", "b", "a"))}),
    "decisions_agree": lambda seen: seen.decided.extend([("a", decided("p", b"1")), ("b", decided("q", b"2"))]),
    "pools_decide_again": lambda seen: seen.last.update({"us-east": "timeout"}),
    "nobody_is_wronged": lambda seen: seen.accused.append((1.0, "us-east", "eu-west")),
    "nothing_piles_up": lambda seen: seen.fleet.request("us-east", "eu-west-1-c1", 5),
}


def test_every_checker_is_tried():
    assert set(SPOILED) == {checker.__name__ for checker in checkers.CHECKERS}


@pytest.mark.parametrize("name", SPOILED)
def test_a_broken_promise_is_found_by_its_checker_alone(seen, name):
    assert violations(seen) == []
    SPOILED[name](seen)
    assert [found for found, _ in violations(seen)] == [name]


def test_an_answer_that_comes_too_late_is_found(seen):
    seen.asked.append(asked())
    seen.outcomes["us-east", 1, 7] = (6.0, answer("us-east"))
    assert violations(seen) == [("requests_end_once", "a request at us-east was answered 1.00 s too late")]


def test_faults_are_shrunk_to_those_that_break_a_promise(plan, monkeypatch):
    """Whoever loses the region us-east breaks a promise here."""

    def hates_region_loss(seen):
        return "" if "us-east-1" not in seen.excused else "us-east was lost"

    monkeypatch.setattr(checkers, "CHECKERS", (hates_region_loss,))
    harmless = [Fault("slow", at, 2.0, "eu-west", 0.1) for at in (1.0, 3.0, 5.0)]
    culprit = Fault("region-loss", 2.0, 4.0, "us-east")
    fewer = shrunk(plan(faults=(*harmless, culprit), duration_s=10.0))
    assert [fault.kind for fault in fewer] == ["region-loss"]
    assert fewer[0].for_s < culprit.for_s


def test_the_report_needs_nothing_from_elsewhere_and_shows_what_was_broken(plan):
    good = Run(plan(faults=(Fault("crash", 2.0, 3.0, "us-east-1"),))).play()
    bad = replace(good, violations=(("whole_again", "<never>"),))
    text = page([("swim", good), ("phi", bad)], "mpreg simulate --seed 1")
    assert "every promise was kept" in text
    assert "&lt;never&gt;" in text
    assert "crash:us-east-1@2+3" in text
    assert "http" not in text


SPINS = """
def spin():
    while True:
        pass

def grow(held=[]):
    while True:
        held.append(bytes(10_000))
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [("spin", "one call did not come back in 0.5 s: plugin.py, line "), ("grow", "MB of memory and did not come back")],
)
def test_a_strategy_that_never_comes_back_is_ended_and_its_line_named(name, words, fleet):
    names = {}
    exec(compile(SPINS, "plugin.py", "exec"), names)
    stuck_s, greedy_bytes = (0.5, 1 << 40) if name == "spin" else (60.0, 64 << 20)
    with pytest.raises(RunawayError) as caught, watched(fleet().world, stuck_s, greedy_bytes):
        names[name]()
    assert words in str(caught.value)
    assert f"in {name}" in str(caught.value)


def test_sizes_side_by_side_are_plotted_against_the_number_of_nodes(plan):
    small, large = Run(plan(duration_s=1.0)).play(), Run(replace(plan(duration_s=1.0), shape=(1, 2, 3, 2))).play()
    text = page([("1x2x2", small), ("1x2x3x2", large)], "mpreg simulate")
    assert "Bytes per node at rest" in text
    assert f"x from {small.nodes} to {large.nodes} nodes" in text
