"""`mpreg serve`: a service that a command answers, from the first call to Ctrl-C."""

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

COUNT = "import json, os, sys; print(json.dumps({os.environ['MPREG_SERVICE']: len(json.load(sys.stdin))}))"
FAILS = "import sys; sys.exit('it is broken')"


@pytest.fixture
def hub(tools, tmp_path):
    config = tools.guide_config("hub", "local", "us-east", network={"listen_host": "127.0.0.1"})
    node = tools.node(tmp_path, config, ports=tools.free_ports())
    node.start()
    tools.until(node.answers, 20, "it serves")
    return node


def serving(node, service, program):
    """`mpreg serve` in a process of its own, its standard error read up to the word that it serves."""
    command = (sys.executable, "-m", "mpreg_core", "serve", service, "--api", node.address("listen_port"))
    process = subprocess.Popen((*command, "--", sys.executable, "-c", program), stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline() == f"serves {service} at hub; Ctrl-C ends it\n"
    return process


def ask(node, service):
    return node.ask("POST", "/api/requests", {"service": service, "payload": [1, 2, 3]})


def test_a_command_serves_until_it_is_interrupted(hub, tools):
    with serving(hub, "count", COUNT) as process:
        status, answer = ask(hub, "count")
        assert (status, answer["payload"], answer["served_by"]) == (200, {"count": 3}, "hub")
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "stopped\n"
        assert process.wait(5) == 0
    tools.until(lambda: ask(hub, "count")[1]["error"]["code"] == "no_route", 5, "it is offered no longer")


def test_a_command_that_fails_fails_the_call_with_what_it_said(hub):
    with serving(hub, "broken", FAILS) as process:
        status, answer = ask(hub, "broken")
        assert status != 200
        assert answer["error"]["code"] == "handler_failed"
        assert answer["error"]["message"].endswith("ended with 1: it is broken")
        process.kill()


def test_without_a_node_it_says_so(tools):
    code, out, err = tools.mpreg("serve", "x", "--hub", "127.0.0.1:1", "--", "true")
    assert (code, out) == (3, "")
    assert err == "mpreg: 127.0.0.1:1: no hub answers in 5 s: connection refused\n"


def test_a_program_that_is_not_there_is_told_before_anything_is_served(tools):
    code, _, err = tools.mpreg("serve", "x", "--hub", "127.0.0.1:1", "--", "/no/such/program")
    assert (code, err) == (1, "mpreg: there is no program /no/such/program to run here\n")
