"""Scenarios: promises are kept or broken by name, a seed gives one run, faults are shrunk to the culprit."""

from dataclasses import replace

import pytest

from mpreg_core.contracts.events import Decided
from mpreg_core.node.requests import Outcome as Answer
from mpreg_core.sim import checkers
from mpreg_core.sim.checkers import Asked, Seen, violations
from mpreg_core.sim.faults import Fault
from mpreg_core.sim.report import page
from mpreg_core.sim.scenario import Run, shrunk
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
    return Seen(fleet(), [], {}, [], [], frozenset(), {}, {}, 1.0)


def decided(proposal, value, index=1):
    return Decided(proposal, "k", value, "n", "committed", {}, index)


def answer(*path):
    return Answer(ReplyFrame(id="1", code="", payload=b"", where="x", path=path), 1)


SPOILED = {
    "whole_again": lambda seen: setattr(seen, "healed_s", None),
    "state_converges": lambda seen: (
        seen.fleet.put("us-east", "k", 1),
        setattr(seen, "written", {"k": 1}),
    ),
    "requests_end_once": lambda seen: seen.asked.append(Asked("us-east", 7, 1, 0.0, 5.0, "a request")),
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
    seen.asked.append(Asked("us-east", 7, 1, 0.0, 5.0, "a request"))
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
