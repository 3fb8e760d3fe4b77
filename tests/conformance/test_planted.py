"""The kit can fail: for every check there is a strategy with a bug that this check finds, and no other."""

import os
from pathlib import Path

import pytest
from planted import PLANTED

from mpreg_core.testing import CHECKS, check_strategy

DEEP = bool(os.environ.get("MPREG_DEEP"))
NAMES = [f"{check}-{spec.name}" for check, spec in PLANTED]


def failed(check, spec, only=()):
    """The checks that say no."""
    name = "planted:UNORDERED" if check == "determinism" else ""
    report = check_strategy(spec, name=name, only=only)
    return [finding.check for finding in report.failed], str(report)


def test_every_check_has_a_planted_bug():
    assert {check for check, _ in PLANTED} == {check.name for check in CHECKS}


@pytest.mark.parametrize(("check", "spec"), PLANTED, ids=NAMES)
def test_a_planted_bug_is_found_by_its_check(check, spec):
    found, card = failed(check, spec, only=(check,))
    assert found == [check], card


@pytest.mark.skipif(not DEEP, reason="six minutes: with MPREG_DEEP=1, or tox -e sim")
@pytest.mark.parametrize(("check", "spec"), PLANTED, ids=NAMES)
def test_a_planted_bug_is_found_by_no_other_check(check, spec):
    found, card = failed(check, spec)
    assert found == [check], card


def test_every_check_is_documented():
    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "conformance.md").read_text()
    assert [
        f"| {check.name} | {check.says} |" for check in CHECKS if f"| {check.name} | {check.says} |" not in page
    ] == []
