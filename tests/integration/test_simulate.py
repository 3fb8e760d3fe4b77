"""`mpreg simulate` as a process: the same digest whatever the hash seed, a report, an end for a plugin that loops."""

import json
import os
import subprocess
import sys

import pytest

SIMULATE = [sys.executable, "-m", "mpreg_core", "simulate"]


def simulate(*args, hash_seed="0", path=""):
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(path)}
    return subprocess.run([*SIMULATE, *args], capture_output=True, text=True, check=False, env=env, timeout=120)


def test_the_same_seed_prints_the_same_digest_whatever_the_hash_seed():
    runs = [simulate("--seed", "5", "--duration", "20", "--output", "json", hash_seed=each) for each in ("1", "77")]
    assert [done.returncode for done in runs] == [0, 0], runs[0].stderr
    first, second = (json.loads(done.stdout) for done in runs)
    assert first == second
    assert len(first["digest"]) == 32
    assert first["held"]


def test_a_report_of_two_strategies_is_written(tmp_path):
    faults = tmp_path / "faults.yaml"
    faults.write_text('faults: ["region-loss:us-east@5+10", "loss*0.05@2+4"]\n')
    where = tmp_path / "report"
    done = simulate(
        "--duration", "20", "--faults", str(faults), "--compare", "phi", "--report", str(where), "--output", "table"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads((where / "figures.json").read_text())
    assert [run["name"] for run in figures["runs"]] == ["as configured", "phi"]
    assert "region-loss:us-east@5+10" in figures["again"]
    assert "every promise was kept" in (where / "report.html").read_text()


LOOP = """
from dataclasses import replace
from mpreg_core import Send, hookimpl
from mpreg_core.testing.stand_ins import HEARTBEATS, Beat, Heartbeats

class Loop(Heartbeats):
    def on_deadline(self, now_ns):
        super().on_deadline(now_ns)
        self.due_ns = now_ns + 1
        return ()

@hookimpl
def mpreg_failure_detectors():
    return (replace(HEARTBEATS, name="loop", create=Loop),)
"""


def test_a_plugin_that_spins_is_ended_and_named(tmp_path):
    (tmp_path / "loop.py").write_text(LOOP)
    made = tmp_path / "loop-0.1.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: loop\nVersion: 0.1\n")
    (made / "entry_points.txt").write_text("[mpreg.v1]\nloop = loop\n")
    done = simulate("--plugins", "loop", "--duration", "10", path=tmp_path)
    assert done.returncode == 1
    assert "feeds itself" in done.stderr
    assert "loop" in done.stderr


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--faults", "crsh"), 2, "unknown fault 'crsh', did you mean 'crash'?"),
        (("--shape", "1x2"), 2, "expected AxBxC"),
        (("--plugins", "swmi"), 78, "did you mean 'swim'?"),
        (("--duration", "0"), 2, "--duration"),
        (("--faults", "nosuch.yaml"), 78, "nosuch.yaml"),
    ],
)
def test_wrong_use_is_told(args, code, words):
    done = simulate(*args)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
