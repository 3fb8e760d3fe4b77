"""Who may call what, where tokens are wanted: every route with every role, and how a stream ends with its token."""

import time

import pytest

from mpreg_admin_http.metrics_page import metrics_routes
from mpreg_admin_http.routes import ROUTES
from mpreg_core import ForbiddenError, Identity, UnauthenticatedError

ORDER = ("none", "viewer", "operator", "admin")
HEADS = {role: {"authorization": f"Bearer {role}"} for role in ORDER[1:]}


class Guests:
    """A token is a role, or a role and how many seconds it is good for."""

    def identify(self, token, wall_ms):
        role, _, expires_s = token.partition(":")
        if role == "stranger":
            raise ForbiddenError("a token without a role")
        if role not in ORDER[1:]:
            raise UnauthenticatedError("expected a token")
        return Identity("guest", role, wall_ms + round(float(expires_s) * 1000) if expires_s else 0)


@pytest.fixture
def authenticator():
    return Guests()


def call(client, route, headers):
    path = route.path.replace("{key:path}", "k").replace("{id}", "x")
    method = "HEAD" if route.stream else route.method
    query = {"pattern": "a.#", "service": "s", "to": "n", "prefix": "k"}
    known = {name for name in route.query.__struct_fields__ if name in query}
    return client.request(method, path, params={name: query[name] for name in known}, headers=headers)


@pytest.mark.parametrize("role", ORDER)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_open_to_its_role_and_those_above_alone(client, route, role):
    answer = call(client, route, HEADS.get(role, {}))
    if ORDER.index(role) >= ORDER.index(route.role):
        assert answer.status_code not in (401, 403)
    else:
        assert answer.status_code == (401 if role == "none" else 403)


def test_the_metrics_are_for_viewers():
    (route,) = metrics_routes(None)
    assert route.role == "viewer"


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("", 401),
        ("viewer", 401),
        ("Basic viewer", 401),
        ("Bearer", 401),
        ("Bearer nobody", 401),
        ("Bearer stranger", 403),
        ("Bearer viewer", 200),
        ("bearer  viewer", 200),
    ],
)
def test_a_token_comes_as_a_bearer(client, value, status):
    answer = client.get("/api/status", headers={"authorization": value})
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "unauthenticated"
    if status == 403:
        assert answer.json()["error"] == {
            "code": "forbidden", "message": "a token without a role", "where": "", "retryable": False, "definite": True,
        }  # fmt: skip


def test_whoever_may_not_call_learns_nothing_of_the_arguments(client):
    wrong = {"content": b"{no json", "headers": HEADS["viewer"]}
    assert client.post("/api/messages", **wrong).status_code == 403
    assert client.get("/no/such/endpoint").status_code == 404


def test_a_stream_ends_when_its_token_does(client):
    begun = time.monotonic()
    with client.stream("GET", "/api/events", headers={"authorization": "Bearer viewer:0.3"}) as stream:
        *_, last = [line for line in stream.iter_lines() if line.startswith(("event", "data"))]
    assert "the token has expired" in last
    assert time.monotonic() - begun < 5


@pytest.mark.anyio
async def test_with_tokens_it_may_listen_where_others_can_reach_it(node, service):
    async with service(node, host="0.0.0.0") as running:
        assert running.http.host == "0.0.0.0"
