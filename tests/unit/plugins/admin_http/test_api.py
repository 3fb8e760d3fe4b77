"""Every endpoint of the API against a node in memory: what it asks of the node, and the shape of what it answers."""

import msgspec
import pytest

from mpreg_admin_http.routes import ROUTES
from mpreg_core import Cluster, Coordinates

SURFACE = [
    "GET /health",
    "GET /livez",
    "GET /readyz",
    "GET /api/status",
    "GET /api/members",
    "GET /api/topology",
    "GET /api/plugins",
    "GET /api/config",
    "GET /api/events",
    "GET /api/gossip/stats",
    "POST /api/gossip/test-message",
    "GET /api/consensus/status",
    "GET /api/consensus/proposals",
    "GET /api/consensus/proposals/{id}",
    "GET /api/consensus/votes",
    "POST /api/consensus/proposals",
    "POST /api/consensus/proposals/{id}/votes",
    "GET /api/state/{key}",
    "PUT /api/state/{key}",
    "DELETE /api/state/{key}",
    "GET /api/state",
    "GET /api/state/{key}/watch",
    "GET /api/registry/status",
    "GET /api/registry/clusters",
    "POST /api/registry/clusters",
    "GET /api/registry/clusters/{id}",
    "DELETE /api/registry/clusters/{id}",
    "PUT /api/registry/clusters/{id}/heartbeat",
    "GET /api/registry/discover",
    "POST /api/requests",
    "POST /api/messages",
    "GET /api/messages/stream",
    "GET /api/routes",
    "POST /admin/drain",
    "POST /admin/resume",
    "POST /admin/shutdown",
    "GET /openapi.json",
    "GET /",
]

# method, path, body, status, a part of the answer
CALLS = [
    ("GET", "/health", None, 200, {"status": "healthy"}),
    ("GET", "/livez", None, 200, {"status": "ok"}),
    ("GET", "/readyz", None, 200, {"ready": True, "state": "ready"}),
    ("GET", "/api/status", None, 200, {"parent_hub": "r", "children": ["c"]}),
    ("GET", "/api/topology", None, 200, {"nodes": []}),
    ("GET", "/api/config", None, 200, {"gossip": {"fanout": 3}}),
    ("GET", "/api/gossip/stats", None, 200, {"local:a": {"messages": 1}}),
    ("POST", "/api/gossip/test-message", None, 200, {"reached": 1, "of": 2}),
    ("GET", "/api/consensus/status", None, 200, {"local:a": {"strategy": "quorum"}}),
    ("POST", "/api/consensus/proposals", {"key": "k", "value": 0.8}, 200, {"status": "committed", "threshold": 0.6}),
    ("POST", "/api/consensus/proposals?wait=false", {"key": "k", "value": 1}, 202, {"status": "pending"}),
    ("GET", "/api/consensus/proposals/p0", None, 200, {"id": "p0", "votes": {"a": True, "c": False}}),
    ("POST", "/api/consensus/proposals/p0/votes", {"vote": "no"}, 200, {"votes": {"a": True, "b": False, "c": False}}),
    ("POST", "/api/consensus/proposals/p0/votes", {"vote": True}, 200, {"votes": {"a": True, "b": True, "c": False}}),
    ("GET", "/api/consensus/votes", None, 200, {"voters": {"a": {"yes": 1, "no": 0}, "c": {"yes": 0, "no": 1}}}),
    ("PUT", "/api/state/new", {"value": [1, None]}, 200, {"key": "new", "value": [1, None], "revision": 2}),
    ("GET", "/api/state/a/b", None, 200, {"key": "a/b", "value": 1, "version": "v1", "conflicts": []}),
    ("DELETE", "/api/state/a/b", None, 200, {"key": "a/b", "deleted": True, "revision": 2}),
    ("GET", "/api/state?prefix=a/", None, 200, {"revision": 1, "next": None}),
    ("GET", "/api/registry/status", None, 200, {"eu": {"clusters": 1}}),
    ("GET", "/api/registry/clusters/k", None, 200, {"id": "k", "hub": "a", "status": "healthy"}),
    ("POST", "/api/registry/clusters", {"id": "n", "services": ["s"]}, 201, {"id": "n", "hub": "a"}),
    ("PUT", "/api/registry/clusters/k/heartbeat", None, 200, {"id": "k", "load": 0.0}),
    ("PUT", "/api/registry/clusters/k/heartbeat", {"load": 0.5}, 200, {"load": 0.5}),
    ("DELETE", "/api/registry/clusters/k", None, 200, {"id": "k", "deregistered": True}),
    ("GET", "/api/registry/discover?service=s", None, 200, {"service": "s"}),
    ("POST", "/api/requests", {"service": "s", "payload": {"x": 1}}, 200, {"payload": {"x": 1}, "path": ["a"]}),
    ("POST", "/api/messages", {"topic": "t", "payload": 2}, 200, {"topic": "t", "origin": "a"}),
    ("GET", "/api/routes?to=x&policy=fastest", None, 200, {"path": ["a", "r"], "reason": "fastest"}),
    ("POST", "/admin/drain", None, 202, {"state": "draining"}),
    ("POST", "/admin/resume", None, 202, {"state": "ready"}),
    ("POST", "/admin/shutdown", None, 202, {"state": "stopped"}),
]  # fmt: skip


@pytest.fixture
async def filled(node):
    """A key, a proposal and a cluster, to be read."""
    await node.state.put("a/b", 1)
    decision = await node.propose("k", 1)
    node.decisions[:] = [msgspec.structs.replace(decision, id="p0", votes={"a": True, "c": False})]
    await node.register_cluster(Cluster(id="k", services=("s",)))
    return node


def test_the_table_holds_every_route_of_the_surface_and_no_other():
    assert sorted(f"{route.method} {route.path.replace(':path}', '}')}" for route in ROUTES) == sorted(SURFACE)


@pytest.mark.anyio
@pytest.mark.parametrize(("method", "path", "body", "status", "part"), CALLS)
async def test_an_endpoint_answers(filled, client, method, path, body, status, part):
    answer = client.request(method, path, json=body)
    assert answer.status_code == status
    assert answer.json() | part == answer.json()
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.anyio
@pytest.mark.parametrize(("method", "path", "body", "status", "part"), CALLS)
async def test_an_answer_has_the_shape_that_the_document_promises(filled, client, method, path, body, status, part):
    route = next(route for route in ROUTES if route.method == method and matches(route.path, path.partition("?")[0]))
    raw = client.request(method, path, json=body).content
    answer = msgspec.json.decode(raw, type=route.answer)
    if isinstance(answer, msgspec.Struct):
        assert set(msgspec.json.decode(raw)) == set(answer.__struct_fields__)


def matches(template, path):
    parts, words = template.replace(":path}", "}").split("/"), path.split("/")
    if template.startswith("/api/state/"):
        return path.startswith("/api/state/") and not template.endswith("watch")
    pairs = zip(parts, words, strict=False)
    return len(parts) == len(words) and all(part.startswith("{") or part == word for part, word in pairs)


def test_a_member_is_shown_as_the_surface_says(client):
    first, second = client.get("/api/members").json()["members"]
    assert first["id"] == "a"
    assert first["rtt_ms"] is None
    assert second["rtt_ms"] == 2.5
    assert second["since"] == 2.5
    assert second["address"] == "10.0.0.1:8082"
    assert second["coordinates"] == {"latitude": 50.1, "longitude": 8.7}
    assert second.keys() >= {"pool", "status", "incarnation", "hub_tier", "region"}


@pytest.mark.parametrize(
    ("query", "ids"),
    [("?status=failed", ["b"]), ("?pool=local:a", ["a", "b"]), ("?pool=global", []), ("?pool=local:a&status=left", [])],
)
def test_members_are_filtered_by_pool_and_status(client, query, ids):
    assert [member["id"] for member in client.get(f"/api/members{query}").json()["members"]] == ids


def test_a_pool_names_its_five_strategies(client):
    (pool,) = client.get("/api/status").json()["pools"]
    assert pool["strategies"]["failure_detector"] == "swim"
    assert len(pool["strategies"]) == 5


@pytest.mark.parametrize("status", ["unhealthy", "draining"])
def test_health_is_503_when_no_traffic_should_come(node, client, status):
    node.reports = msgspec.structs.replace(node.reports, status=status)
    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json()["status"] == status


def test_a_degraded_node_still_answers_200(node, client):
    node.reports = msgspec.structs.replace(node.reports, status="degraded")
    assert client.get("/health").status_code == 200


def test_a_node_that_joins_is_alive_but_not_ready(node, client):
    node.life = "joining"
    assert client.get("/readyz").status_code == 503
    assert client.get("/readyz").json() == {"ready": False, "state": "joining"}
    assert client.get("/livez").status_code == 200


def test_a_request_hands_all_its_fields_to_the_node(node, client):
    body = {"service": "s", "payload": 1, "target": "k", "timeout": 2.5, "idempotent": True}
    client.post("/api/requests", json=body)
    assert node.asked == [("s", 1, "k", 2.5, True)]


def test_a_proposal_hands_all_its_fields_to_the_node(node, client):
    client.post("/api/consensus/proposals", json={"key": "k", "value": 1, "scope": "federation", "timeout": 3})
    assert node.asked == [("k", 1, "federation", 3.0, True)]


def test_discover_near_a_place_hands_the_place_to_the_node(node, client):
    client.get("/api/registry/discover?service=s&near=40.7,-74.0&limit=3")
    assert node.asked == [("s", Coordinates(40.7, -74.0), 3)]


def test_a_write_over_another_version_is_a_conflict(client):
    version = client.put("/api/state/k", json={"value": 1}).json()["version"]
    assert client.put("/api/state/k", json={"value": 2, "if_version": version}).status_code == 200
    answer = client.put("/api/state/k", json={"value": 3, "if_version": version})
    assert answer.status_code == 409
    assert answer.json()["error"]["definite"] is True
    assert client.get("/api/state/k").json()["value"] == 2


def test_scopes_are_kept_apart(client):
    client.put("/api/state/k?scope=federation", json={"value": 1})
    assert client.get("/api/state/k").status_code == 404
    assert client.get("/api/state/k?scope=federation").json()["scope"] == "federation"


def test_a_long_list_is_read_page_by_page(client):
    for name in ("a", "b", "b?scope=federation", "c"):
        client.put(f"/api/state/{name}", json={"value": 1})
    first = client.get("/api/state?limit=2").json()
    assert [entry["key"] for entry in first["entries"]] == ["a", "b", "b"]
    rest = client.get(f"/api/state?limit=2&after={first['next']}").json()
    assert [entry["key"] for entry in rest["entries"]] == ["c"]
    assert rest["next"] is None


def test_a_drain_that_takes_long_is_answered_while_it_goes_on(node, client, monkeypatch):
    monkeypatch.setattr("mpreg_admin_http.backend.SETTLE_S", 0.01)
    node.hangs = True
    answer = client.post("/admin/drain")
    assert answer.status_code == 202
    assert answer.json() == {"state": "draining"}


def test_a_head_request_has_the_headers_alone(client):
    answer = client.head("/api/status")
    assert answer.status_code == 200
    assert answer.content == b""
    assert client.head("/api/events").headers["content-type"] == "text/event-stream"


def test_the_page_escapes_names_and_runs_no_script(node, client):
    status = node.status()
    node.status = lambda: msgspec.structs.replace(
        status, node=msgspec.structs.replace(status.node, federation="<script>x")
    )
    answer = client.get("/")
    assert "<script" not in answer.text
    assert "&lt;script&gt;x" in answer.text
    assert 'href="/api/status"' in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
