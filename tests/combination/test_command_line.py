"""What the command line says of the installed plugins, and what it refuses for want of others."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

HERE = os.environ.get("MPREG_COMBINATION")
pytestmark = [
    pytest.mark.with_plugins,
    pytest.mark.parametrize("combination", [HERE] if HERE and HERE != "none" else ["default", "alt"]),
]

STARTED_S = 30.0
STOPPED_S = 10.0
PORTS = ("listen_port", "gossip_port", "membership_port", "consensus_port", "routing_port")


def test_the_guides_file_runs_with_the_combinations_strategies(mpreg, guide, specs):
    flags = [part for spec in specs for part in ("--plugins", spec)]
    code, out, err = mpreg("validate", *flags, guide)
    assert (code, out.strip()) == (0, f"{guide}: valid"), err
    for line in err.splitlines():
        assert line.startswith("warning: "), line
        assert "it was written for" in line, line


def test_the_list_names_the_combinations_strategies(mpreg, strategies):
    code, out, err = mpreg("plugins", "list", "--output", "json")
    assert code == 0, err
    for name in strategies.values():
        assert f'"{name}"' in out


def test_an_unknown_strategy_is_refused_with_what_there_is(mpreg, guide, strategies):
    code, out, err = mpreg("run", "--config", guide, "--plugins", "routing=raphg")
    assert (code, out) == (78, "")
    assert "unknown routing strategy 'raphg'" in err
    assert f"{strategies['routing']}" in err


@pytest.fixture
def ports():
    """A free port for each of a node's, as `--set` flags, and the address of the HTTP API."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in PORTS]
        for probe in taken:
            probe.bind(("127.0.0.1", 0))
        numbers = [probe.getsockname()[1] for probe in taken]
    flags = [part for key, at in zip(PORTS, numbers, strict=True) for part in ("--set", f"network.{key}={at}")]
    return flags, f"http://127.0.0.1:{numbers[0]}"


def listens(api):
    try:
        socket.create_connection(("127.0.0.1", int(api.rpartition(":")[2])), 5).close()
    except OSError:
        return False
    return True


def test_a_node_runs_with_the_combinations_strategies_and_stops_when_asked(mpreg, guide, specs, strategies, ports):
    flags, api = ports
    flags = [*flags, "--set", "network.listen_host=127.0.0.1", "--no-metrics-enabled"]
    command = (sys.executable, "-m", "mpreg_core", "run", "--config", str(guide), *flags)
    chosen = [part for spec in specs for part in ("--plugins", spec)]
    with subprocess.Popen((*command, *chosen), stderr=subprocess.PIPE, text=True, env=os.environ) as node:
        try:
            give_up_at = time.monotonic() + STARTED_S
            while not listens(api):
                assert node.poll() is None, node.stderr.read()
                assert time.monotonic() < give_up_at, "it does not listen"
                time.sleep(0.05)
            code, _, err = mpreg("health", "--api", api)
            assert code == 0, err
            code, out, err = mpreg("status", "--api", api, "--output", "json")
            assert code == 0, err
            assert json.loads(out)["pools"][0]["strategies"] == strategies
            node.send_signal(signal.SIGTERM)
            _, log = node.communicate(timeout=STOPPED_S)
        finally:
            node.kill()
    assert node.returncode == 0, log
