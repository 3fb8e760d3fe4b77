"""What a node costs as a process: how soon it is ready, its memory, and what it takes while nothing happens."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.slow, pytest.mark.timeout(600)]

RUNS = 5
CONFIG = """
node: {id: bench, region: here, hub_tier: global}
network:
  {listen_host: 127.0.0.1, listen_port: 0, gossip_port: 0, membership_port: 0, consensus_port: 0, routing_port: 0}
monitoring: {metrics_port: 0}
"""


def resident_mb(pid):
    with open(f"/proc/{pid}/statm") as pages:
        return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_a_process_is_ready_soon_and_small(figure, tmp_path):
    file = tmp_path / "node.yaml"
    file.write_text(CONFIG)
    ready, memory = [], []
    for _ in range(RUNS):
        begun = time.perf_counter()
        command = [sys.executable, "-m", "mpreg_core", "run", "--config", str(file)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            address = next(found[1] for line in process.stderr if (found := re.search(r"http (\S+?),", line)))
            assert urllib.request.urlopen(f"http://{address}/readyz", timeout=5).status == 200
            ready.append(time.perf_counter() - begun)
            memory.append(resident_mb(process.pid))
            process.terminate()
            process.stderr.read()
        assert process.returncode == 0
    figure("`mpreg run` until /readyz says yes", "s", 1.5, ready)
    figure("resident memory of a node in its own process", "MB", 70.0, memory)


@pytest.mark.parametrize(("nodes", "goal_kb"), [(30, 500.0), (100, 500.0)])
def test_further_nodes_in_one_process(figure, scripts, nodes, goal_kb):
    found = json.loads(
        subprocess.run(
            [sys.executable, scripts / "pool_in_one_process.py", str(nodes), "20"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    figure(f"memory of each further node in one process, a pool of {nodes}", "KB", goal_kb, [found["resident_kb_each"]])
    figure(f"an idle node of {nodes} in one pool, of a core", "%", 1.0, [found["core_percent_each"]])


def test_the_demo_is_formed_soon(figure):
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        command = [sys.executable, "-m", "mpreg_core", "demo", "--no-browser", "--api-port", "0"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        ) as process:
            next(line for line in process.stdout if "formation: " in line)
            seconds.append(time.perf_counter() - begun)
            process.terminate()
            process.stdout.read()
    figure("`mpreg demo` until all its pools are complete", "s", 5.0, seconds)
