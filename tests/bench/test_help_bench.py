"""How long `mpreg --help` takes, as a person waits for it."""

import subprocess
import sys
import time

import pytest

RUNS = 9
GOAL_S = 0.4


@pytest.mark.bench
@pytest.mark.parametrize("args", [("--help",), ("members", "--help")], ids=" ".join)
def test_help_answers_at_once(figure, args):
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "mpreg_core", *args], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    figure(f"mpreg {' '.join(args)}", "s", GOAL_S, times)
