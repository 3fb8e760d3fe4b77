"""`mpreg plugins check`: a card for each strategy, and an end for those that have none."""

import json
import subprocess
import sys

import pytest

CHECK = [sys.executable, "-m", "mpreg_core", "plugins", "check"]


def check(*args, path=""):
    env = {"PYTHONPATH": str(path), "PATH": ""}
    return subprocess.run([*CHECK, *args], capture_output=True, text=True, check=False, env=env, timeout=120)


def test_a_strategy_that_conforms_is_0():
    done = check("mpreg-routing-hub", "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    (report,) = json.loads(done.stdout)
    assert (report["strategy"], report["family"], report["passed"]) == ("hub", "routing", True)


BAD = """
from dataclasses import replace
from mpreg_core.testing.stand_ins import STRAIGHT, Straight

class Bad(Straight):
    def snapshot(self):
        {body}

SPEC = replace(STRAIGHT, name="bad", create=Bad)
"""


def test_one_that_does_not_is_1_and_says_which_check_and_how_to_see_it_again(tmp_path):
    (tmp_path / "bad.py").write_text(BAD.format(body="return {}"))
    done = check("bad:SPEC", "--output", "table", path=tmp_path)
    assert done.returncode == 1
    assert "  failed   snapshot                          expected the rule 'snapshot' to hold" in done.stdout
    assert "again: mpreg plugins check bad:SPEC" in done.stdout


def test_one_that_eats_the_memory_is_stopped_and_named(tmp_path):
    (tmp_path / "bad.py").write_text(BAD.format(body="return 'x' * (1 << 40)"))
    done = check("bad:SPEC", "--output", "table", path=tmp_path)
    assert done.returncode == 1
    assert "routing bad:" in done.stdout
    assert "MemoryError" in done.stdout


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("nosuch",), 1, "expected an installed distribution or module:SPEC, got 'nosuch'"),
        (("nosuch:SPEC",), 1, "expected module:SPEC, got 'nosuch:SPEC': No module named 'nosuch'"),
        (("json:loads",), 1, "expected json:loads to be the spec of a strategy or merge policy, got function"),
        (("mpreg-admin-http",), 1, "mpreg-admin-http provides no strategy"),
        (("mpreg-routing-hub", "--set", "x"), 2, "expected OPTION=VALUE, got 'x'"),
        (("mpreg-routing-hub", "--set", "nosuch=1"), 2, "options of hub"),
        ((), 2, "Missing argument"),
    ],
)
def test_what_cannot_be_checked_is_told(args, code, words):
    done = check(*args)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
