"""The guide's three tiers as processes of their own: 1 global, 2 regional and 4 local hubs, 4 cluster nodes.

The tests run in the order of this file, on one federation; each leaves it whole for the next.
"""

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.integration

GLOBAL = "global-hub-001"
US, EU = "regional-hub-us-east", "regional-hub-eu-west"
NYC, NYC2, LDN, LDN2 = "local-hub-nyc-01", "local-hub-nyc-02", "local-hub-ldn-01", "local-hub-ldn-02"
SERVING = "cluster-ldn-02"
BY_START_NODE = (GLOBAL, EU, NYC2, "cluster-nyc-02")

COMPLETE_S = 5.0
STOPPED_S = 5.0
PONDER_S = 1.0


@pytest.fixture(scope="module")
def federation(module_tools, tmp_path_factory):
    """All eleven, not started yet: a file for each, peers by `federation.peers`, ports by `--set`."""
    tools = module_tools
    folder = tmp_path_factory.mktemp("three-tiers")
    federation = tools.Federation(tools.three_tiers)
    ports = {place: tools.free_ports() for place in federation.places}
    peers = {node: tools.peer_of(own) for node, own in ports.items()}
    for node, tier, region, parent in tools.three_tiers:
        config = tools.guide_config(
            node,
            tier,
            region,
            parent,
            node={"data_dir": str(folder / "data")},
            network={"listen_host": "127.0.0.1"},
            federation={"peers": {parent: peers[parent]} if parent else {}},
        )
        command = "serving_node" if node == SERVING else "start_node" if node in BY_START_NODE else "mpreg run"
        federation.nodes[node] = tools.node(folder, config, command=command, ports=ports[node])
    return federation


@pytest.fixture(scope="module")
def whole(federation):
    """Started, every pool complete; gives the seconds from the last start to then."""
    return federation.start_all()


@pytest.fixture
def until(module_tools):
    return module_tools.until


def test_every_pool_is_complete_soon_after_the_last_start(whole):
    print(f"complete {whole:.2f} s after the last start")
    assert whole < COMPLETE_S


@pytest.mark.usefixtures("whole")
def test_a_request_crosses_the_regions_and_its_path_names_the_hubs(federation):
    body = {"service": "mpreg.echo", "payload": {"hi": 1}, "target": "cluster-ldn-01"}
    status, answer = federation["cluster-nyc-01"].ask("POST", "/api/requests", body)
    assert (status, answer["payload"], answer["served_by"]) == (200, {"hi": 1}, "cluster-ldn-01")
    assert answer["path"] == ["cluster-nyc-01", NYC, US, EU, LDN, "cluster-ldn-01"]
    print(f"answered over six nodes in {answer['seconds'] * 1000:.1f} ms")


@pytest.mark.usefixtures("whole")
def test_a_service_below_one_region_is_found_from_below_the_other(federation, until):
    node = federation["cluster-nyc-01"]
    found = "/api/registry/discover?service=greet"
    until(lambda: node.get(found)["candidates"], 10, "the service is known in the other region")
    status, answer = node.ask("POST", "/api/requests", {"service": "greet", "payload": "nyc"})
    assert status == 200, answer
    assert answer["payload"] == {"hello": "nyc", "from": SERVING}
    assert answer["path"] == ["cluster-nyc-01", NYC, US, EU, LDN2, SERVING]


@pytest.mark.usefixtures("whole")
def test_a_federation_wide_write_is_read_on_every_node(federation, until):
    write = ("PUT", "/api/state/colour?scope=federation", {"value": "blue"})
    status, written = federation["cluster-nyc-01"].ask(*write)
    assert (status, written["value"], written["scope"]) == (200, "blue", "federation")

    def unread():
        answers = {node.id: node.ask("GET", "/api/state/colour?scope=federation") for node in federation.nodes.values()}
        return [name for name, (status, answer) in answers.items() if status != 200 or answer["value"] != "blue"]

    print(f"read everywhere after {until(lambda: not unread(), 15, lambda: f'not read on {unread()}'):.2f} s")


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize(
    ("node", "scope", "needed", "voters"),
    [
        (GLOBAL, "federation", 2, 3),
        (US, "region", 2, 3),
        ("cluster-nyc-01", "pool", 2, 2),
        ("cluster-nyc-01", "federation", 2, 3),
    ],
)
def test_a_proposal_is_committed_with_six_tenths_of_the_votes(federation, node, scope, needed, voters):
    key = f"max-load-{node}-{scope}"
    body = {"key": key, "value": 0.8, "scope": scope}
    status, made = federation[node].ask("POST", "/api/consensus/proposals", body)
    assert (status, made["status"], made["key"], made["value"]) == (200, "committed", key, 0.8)
    assert (made["needed"], made["voters"]) == (needed, voters)
    assert made["threshold"] == 0.6
    assert sum(made["votes"].values()) >= needed


@pytest.mark.usefixtures("whole")
def test_a_linearizable_write_is_read_elsewhere_at_once_and_guards_its_version(federation):
    path = "/api/state/leader?scope=federation&consistency=linearizable"
    status, first = federation["cluster-nyc-01"].ask("PUT", path, {"value": 1})
    assert (status, first["value"]) == (200, 1)
    for reader in (GLOBAL, EU, LDN, SERVING):
        status, read = federation[reader].ask("GET", path)
        assert (status, read["value"], read["version"]) == (200, 1, first["version"])
    status, second = federation[GLOBAL].ask("PUT", path, {"value": 2, "if_version": first["version"]})
    assert (status, second["value"]) == (200, 2)
    for writer in (EU, "cluster-nyc-01"):
        status, refused = federation[writer].ask("PUT", path, {"value": 3, "if_version": first["version"]})
        assert (status, refused["error"]["code"]) == (409, "conflict"), writer
    assert federation[LDN].get(path)["value"] == 2


@pytest.mark.usefixtures("whole")
def test_a_killed_local_hub_is_seen_as_failed_and_its_clusters_move_and_come_home(federation, until):
    hub, cluster = federation[NYC], federation["cluster-nyc-01"]
    before = hub.get("/api/status")["node"]["incarnation"]
    hub.kill()
    for witness in (US, NYC2):
        seconds = until(
            lambda: federation[witness].members("regional:us-east")[NYC]["status"] == "failed",  # noqa: B023
            20,
            f"{witness} sees {NYC} as failed",
        )
        print(f"{witness} saw it as failed after {seconds:.2f} s")
    seconds = until(lambda: cluster.parent() == NYC2, 20, "the cluster is attached to the other local hub")
    print(f"its cluster was re-attached {seconds:.2f} s later")
    body = {"service": "mpreg.echo", "payload": 1, "target": "cluster-ldn-01", "idempotent": True}
    until(
        lambda: cluster.ask("POST", "/api/requests", body)[0] == 200, 10, "the moved cluster reaches the other region"
    )
    back = {**body, "target": "cluster-nyc-01"}
    # A summary from between the hub's death and the cluster's move may be under way, and take the route away once.
    way = [US, NYC2, "cluster-nyc-01"]
    until(
        lambda: federation[SERVING].ask("POST", "/api/requests", back)[1].get("path", [])[-3:] == way,
        10,
        "the other region reaches it by its new hub",
    )

    hub.start()
    until(hub.answers, 20, "the hub serves again")
    federation.until_whole()
    print(f"all was whole again {time.monotonic() - hub.started_at:.2f} s after its restart")
    assert hub.get("/api/status")["node"]["incarnation"] > before
    assert federation[US].members("regional:us-east")[NYC]["incarnation"] > before
    assert hub.get("/api/state/colour?scope=federation")["value"] == "blue"


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("verb", ["members", "status", "health"])
def test_the_command_line_reads_a_node(federation, verb):
    command = [sys.executable, "-m", "mpreg_core", verb, "--output", "json"]
    node = federation[US]
    done = subprocess.run([*command, "--api", node.address("listen_port")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    path = "/health" if verb == "health" else f"/api/{verb}"
    assert json.loads(done.stdout).keys() == node.get(path).keys()


@pytest.mark.usefixtures("whole")
def test_a_terminated_node_ends_what_it_serves_before_it_goes(federation, until):
    process, asker = federation[SERVING], federation["cluster-nyc-01"]
    until(lambda: asker.get("/api/registry/discover?service=ponder")["candidates"], 10, "the service is known")
    body = {"service": "ponder", "payload": PONDER_S}
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(asker.ask, "POST", "/api/requests", body)
        until(lambda: "pondering" in process.log(), 10, "the request is being served")
        process.signal(signal.SIGTERM)
        status, reply = answer.result(10)
        assert process.ended(STOPPED_S) == 0
    assert (status, reply.get("payload")) == (200, "done"), reply

    process.start()
    until(process.answers, 20, f"{SERVING} serves again")
    federation.until_whole()


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("node", ["cluster-ldn-01", NYC2])
def test_a_terminated_node_says_good_bye_and_ends_well(federation, until, node):
    place = federation.places[node]
    pool, parent = federation.upper_pool(place), federation[place.parent]
    process = federation[node]
    process.signal(signal.SIGTERM)
    began = time.monotonic()
    code = process.ended(STOPPED_S)
    print(f"{node} ended after {time.monotonic() - began:.2f} s")
    assert code == 0
    until(lambda: parent.members(pool)[node]["status"] != "alive", 5, "its hub knows")
    assert parent.members(pool)[node]["status"] == "left"

    process.start()
    until(process.answers, 20, f"{node} serves again")
    federation.until_whole()
