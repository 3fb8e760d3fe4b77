"""The guide's three tiers with its ports exactly as printed: each node is a host of its own, a network namespace.

A node finds its hub by the hub's id as a host name, and every node listens on 8080 to 8084 and 9090. The switch between
the hosts is a bridge in a namespace too, so that this machine's own network and firewall have no part in it.
"""

import ctypes
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.namespaces]

CLUSTER, HOME, SIBLING = "cluster-nyc-01", "local-hub-nyc-01", "local-hub-nyc-02"
GLOBAL, US, EU = "global-hub-001", "regional-hub-us-east", "regional-hub-eu-west"
FAR, FAR_HOME = "cluster-ldn-01", "local-hub-ldn-01"

PORTS = (
    "consensus 0.0.0.0:8083, gossip 0.0.0.0:8081, membership 0.0.0.0:8082, routing 0.0.0.0:8084, "
    "http 127.0.0.1:8080, metrics 127.0.0.1:9090"
)

CLONE_NEWNET = 0x40000000  # linux/sched.h

COMPLETE_S = 5.0
STOPPED_S = 5.0


def ip(*words):
    """Run `ip`; gives what it complained of."""
    done = subprocess.run(("ip", *words), capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


class ApiInside:
    """The HTTP API of a node that listens on the loopback of a network namespace, at the guide's ports."""

    def __init__(self, namespace):
        self._namespace = namespace

    def call(self, method, path, body=None):
        """Status and decoded answer. Raises `OSError` when nobody answers."""
        port = 9090 if path == "/metrics" else 8080
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
        try:
            with inside(self._namespace):  # a socket stays in the namespace it was made in
                connection.connect()
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"content-type": "application/json"} if sent else {})
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, text if path == "/metrics" else json.loads(text)
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def close(self):
        """Nothing is held open."""


@contextmanager
def inside(namespace):
    """Let this thread make its sockets in a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(path):
        with open(path) as file:
            if libc.setns(file.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns {path}")

    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    enter(f"/run/netns/{namespace}")
    try:
        yield
    finally:
        enter(home)


class Hosts:
    """Namespaces `<prefix>-<n>` at 10.87.0.<n>, joined by a bridge in `<prefix>-switch`; each knows all by name."""

    def __init__(self, names):
        self.prefix = f"mpreg{os.getpid()}"
        self.switch = f"{self.prefix}-switch"
        self.of = {name: f"{self.prefix}-{number}" for number, name in enumerate(names, 1)}
        self.files = Path("/etc/netns")

    def build(self):
        """Gives why it cannot be done, or nothing."""
        steps = [
            f"netns add {self.switch}",
            f"-n {self.switch} link add bridge type bridge forward_delay 0",
            f"-n {self.switch} link set bridge up",
        ]
        for number, host in enumerate(self.of.values(), 1):
            steps += [
                f"netns add {host}",
                f"-n {host} link add eth0 type veth peer name port{number} netns {self.switch}",
                f"-n {self.switch} link set port{number} master bridge up",
                f"-n {host} address add 10.87.0.{number}/24 dev eth0",
                f"-n {host} link set lo up",
                f"-n {host} link set eth0 up",
                f"-n {host} route add default via 10.87.0.254",
                f"netns exec {host} true",
            ]
        for step in steps:
            if complaint := ip(*step.split()):
                return f"`ip {step}`: {complaint}"
        table = "127.0.0.1 localhost\n" + "".join(f"10.87.0.{n} {name}\n" for n, name in enumerate(self.of, 1))
        for host in self.of.values():
            folder = self.files / host  # `ip netns exec` lays it over /etc
            folder.mkdir(parents=True)
            (folder / "hosts").write_text(table)
        return ""

    def destroy(self):
        for host in (*self.of.values(), self.switch):
            ip("netns", "delete", host)
            shutil.rmtree(self.files / host, ignore_errors=True)


@pytest.fixture(scope="module")
def hosts(module_tools):
    if shutil.which("ip") is None:
        pytest.skip("the command `ip` is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root may make network namespaces")
    hosts = Hosts([place.id for place in module_tools.three_tiers])
    try:
        if complaint := hosts.build():
            pytest.skip(f"no network namespaces can be made here: {complaint}")
        yield hosts
        module_tools.close()
    finally:
        hosts.destroy()


@pytest.fixture(scope="module")
def federation(module_tools, hosts, tmp_path_factory):
    tools = module_tools
    folder = tmp_path_factory.mktemp("namespaces")
    federation = tools.Federation(tools.three_tiers)
    for node, tier, region, parent in tools.three_tiers:
        config = tools.guide_config(node, tier, region, parent)
        federation.nodes[node] = tools.node(folder, config, namespace=hosts.of[node], api=ApiInside(hosts.of[node]))
    return federation


@pytest.fixture(scope="module")
def whole(federation):
    return federation.start_all()


def test_the_pools_are_complete_and_every_node_listens_on_the_guides_ports(whole, federation):
    print(f"complete {whole:.2f} s after the last start")
    assert whole < COMPLETE_S
    for node in federation.nodes.values():
        assert PORTS in node.log()
        assert "federation_nodes_total" in node.get("/metrics")
        for member in node.get("/api/members")["members"]:
            assert member["address"].startswith("10.87.0."), member


@pytest.mark.usefixtures("whole")
def test_the_regions_work_together(federation, module_tools):
    node = federation[CLUSTER]
    body = {"service": "mpreg.echo", "payload": {"hi": 1}, "target": FAR}
    status, answer = node.ask("POST", "/api/requests", body)
    assert (status, answer["payload"]) == (200, {"hi": 1})
    assert answer["path"] == [CLUSTER, HOME, US, EU, FAR_HOME, FAR]

    status, _ = node.ask("PUT", "/api/state/colour?scope=federation", {"value": "blue"})
    assert status == 200

    def unread():
        path = "/api/state/colour?scope=federation"
        return [each.id for each in federation.nodes.values() if each.ask("GET", path)[1].get("value") != "blue"]

    module_tools.until(lambda: not unread(), 15, lambda: f"not read on {unread()}")
    status, made = node.ask("POST", "/api/consensus/proposals", {"key": "k", "value": 0.8, "scope": "federation"})
    assert (status, made["status"], made["threshold"], made["needed"]) == (200, "committed", 0.6, 2)


@pytest.mark.usefixtures("whole")
def test_the_command_line_needs_no_address_where_the_node_is(hosts):
    command = ("ip", "netns", "exec", hosts.of[US], sys.executable, "-m", "mpreg_core", "members", "--output", "table")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert HOME in done.stdout


@pytest.mark.usefixtures("whole")
def test_a_killed_hub_is_seen_its_cluster_moves_and_comes_home(federation, module_tools):
    hub, cluster, until = federation[HOME], federation[CLUSTER], module_tools.until
    before = hub.get("/api/status")["node"]["incarnation"]
    hub.kill()
    seen = until(lambda: federation[US].members("regional:us-east")[HOME]["status"] == "failed", 20, "seen as failed")
    moved = until(lambda: cluster.parent() == SIBLING, 20, "the cluster is attached to the other hub")
    print(f"seen as failed after {seen:.2f} s, its cluster moved {moved:.2f} s later")
    hub.start()
    until(hub.answers, 20, "the hub serves again")
    federation.until_whole()
    print(f"all was whole again {time.monotonic() - hub.started_at:.2f} s after its restart")
    assert federation[US].members("regional:us-east")[HOME]["incarnation"] > before


@pytest.mark.usefixtures("whole")
def test_a_terminated_node_says_good_bye(federation, module_tools):
    node, home = federation[FAR], federation[FAR_HOME]
    node.signal(signal.SIGTERM)
    assert node.ended(STOPPED_S) == 0
    left = lambda: home.members(f"local:{FAR_HOME}")[FAR]["status"] == "left"  # noqa: E731
    module_tools.until(left, 5, "its hub knows")
