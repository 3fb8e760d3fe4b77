"""`mpreg demo` as a process: its tour holds, it ends when told, and wrong use is told in words."""

import os
import signal
import socket
import subprocess
import sys

import pytest

DEMO = [sys.executable, "-m", "mpreg_core", "demo", "--no-browser"]
STEPS = ["formation", "discovery", "request", "state", "proposal", "gossip", "hub loss", "hub back"]


def demo(*args, within_s=90):
    return subprocess.run([*DEMO, *args], capture_output=True, text=True, check=False, timeout=within_s)


def test_every_step_of_the_tour_holds():
    done = demo("--duration", "1", "--api-port", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = done.stdout.rpartition("\n\n")[2]
    assert [line[2:11].strip() for line in summary.splitlines() if line.startswith("✓ ")] == STEPS
    print(summary)


def test_other_strategies_hold_too():
    done = demo("--duration", "1", "--api-port", "0", "--shape", "1x1x1", "--plugins", "phi,regional:graph")
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_interrupt_ends_it_cleanly():
    with subprocess.Popen(
        [*DEMO, "--api-port", "0", "--shape", "1x1x1"], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "the tour is over" in line:
                break
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "✓ formation" in rest


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--shape", "1x2"), 2, "expected GLOBALxREGIONALxLOCAL hubs"),
        (("--plugins", "swmi"), 78, "unknown plugin or strategy 'swmi', did you mean 'swim'?"),
        (("--duration", "-1"), 2, "'--duration': Input should be greater than or equal to 0"),
    ],
)
def test_wrong_use_is_told(args, code, words):
    done = demo("--api-port", "0", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr


def test_a_port_that_was_asked_for_and_is_taken_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = demo("--api-port", str(port), "--duration", "1")
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr
