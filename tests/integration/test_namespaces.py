"""The guide's three tiers with its ports exactly as printed: each node is a host of its own, a network namespace.

A node finds its hub by the hub's id as a host name, and every node listens on 8080 to 8084 and 9090. The switch between
the hosts is a bridge in a namespace too, so that this machine's own network and firewall have no part in it.
"""

import signal
import subprocess
import sys
import time

import pytest
from network_hosts import ApiInside, network_of

pytestmark = [pytest.mark.integration, pytest.mark.namespaces]

CLUSTER, HOME, SIBLING = "cluster-nyc-01", "local-hub-nyc-01", "local-hub-nyc-02"
GLOBAL, US, EU = "global-hub-001", "regional-hub-us-east", "regional-hub-eu-west"
FAR, FAR_HOME = "cluster-ldn-01", "local-hub-ldn-01"

PORTS = (
    "consensus 0.0.0.0:8083, gossip 0.0.0.0:8081, membership 0.0.0.0:8082, routing 0.0.0.0:8084, "
    "http 127.0.0.1:8080, metrics 127.0.0.1:9090"
)

COMPLETE_S = 5.0
STOPPED_S = 5.0


@pytest.fixture(scope="module")
def hosts(module_tools):
    with network_of([place.id for place in module_tools.three_tiers]) as hosts:
        yield hosts
        module_tools.close()


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
