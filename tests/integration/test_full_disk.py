"""A disk that takes no more: the node stays, says so, refuses durable work in bounded time, and goes on with room."""

import signal
import time
from itertools import repeat

import pytest

pytestmark = pytest.mark.integration

PROPOSAL = {"key": "max_load", "value": 0.8, "scope": "federation", "timeout": 2.0}
ANSWER_S = 10.0


@pytest.fixture
def disk(tools, tmp_path):
    """A disk of 64 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    tools.mount("size=64k", folder)
    return folder


@pytest.fixture
def node(tools, tmp_path, disk):
    """A global hub, not started, whose data are there."""
    config = tools.guide_config(
        "global-hub-001", "global", "us-east", node={"data_dir": str(disk)}, network={"listen_host": "127.0.0.1"}
    )
    return tools.node(tmp_path, config, ports=tools.free_ports())


def fill(disk):
    with (disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        file.writelines(repeat(bytes(4096)))


def check_refuses(node, tools):
    """Durable work fails in bounded time, and everything that needs no disk goes on."""
    began = time.monotonic()
    status, answer = node.ask("POST", "/api/consensus/proposals", PROPOSAL)
    assert time.monotonic() - began < ANSWER_S
    assert status != 200 or answer["status"] == "timeout", answer
    tools.until(lambda: node.ask("GET", "/health")[1]["status"] == "unhealthy", 5, "it says that it is unhealthy")
    storage = node.ask("GET", "/health")[1]["checks"]["storage"]
    assert "No space left on device" in str(storage["details"]["reasons"])
    assert "No space left on device" in node.log()
    status, answer = node.ask("PUT", "/api/state/refused?scope=federation", {"value": 1})
    assert (status, answer["error"]["code"]) == (503, "unavailable")
    assert "No space left on device" in answer["error"]["message"]
    assert node.ask("GET", "/api/state/refused?scope=federation")[0] == 404
    assert node.answers("/livez")
    body = {"service": "mpreg.echo", "payload": 1, "target": "global-hub-001"}
    assert node.ask("POST", "/api/requests", body)[0] == 200
    assert node.log().count("No space left on device") < 10


def check_recovers(node, tools, disk):
    (disk / "filler").unlink()
    tools.until(lambda: node.answers("/health"), 10, "it is healthy again")
    status, answer = node.ask("POST", "/api/consensus/proposals", {**PROPOSAL, "key": "after"})
    assert (status, answer["status"]) == (200, "committed")
    node.signal(signal.SIGTERM)
    assert node.ended(5) == 0
    node.start()
    tools.until(lambda: node.answers("/readyz"), 20, "it starts again")
    assert node.get("/api/state/after?scope=federation&consistency=linearizable")["value"] == 0.8


def test_a_disk_that_fills_up_refuses_durable_work_until_there_is_room(node, tools, disk):
    node.start()
    tools.until(lambda: node.answers("/readyz"), 20, "it is ready")
    assert node.ask("POST", "/api/consensus/proposals", {**PROPOSAL, "key": "before"})[1]["status"] == "committed"
    fill(disk)
    for attempt in range(40):  # what the journal's last page still holds
        node.ask("POST", "/api/consensus/proposals", {**PROPOSAL, "key": f"more/{attempt}", "value": "x" * 1000})
        if node.ask("GET", "/health")[0] != 200:
            break
    check_refuses(node, tools)
    check_recovers(node, tools, disk)
    assert node.get("/api/state/before?scope=federation")["value"] == 0.8


def test_a_node_starts_on_a_full_disk_and_says_so(node, tools, disk):
    fill(disk)
    node.start()
    tools.until(node.answers, 20, "it lives")
    check_refuses(node, tools)
    check_recovers(node, tools, disk)
