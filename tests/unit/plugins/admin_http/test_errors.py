"""Bad input and failures: the status, and the one shape that every error has."""

import inspect
import logging

import pytest

import mpreg_core.errors
from mpreg_admin_http.errors import STATUS_OF, error_response
from mpreg_core import (
    BudgetSpentError,
    HandlerError,
    MpregError,
    NoQuorumError,
    NoRouteError,
    OverloadedError,
    PayloadTooLargeError,
    PluginError,
    ProposalError,
    RequestError,
    RequestTimeoutError,
    StorageError,
    UnavailableError,
)
from mpreg_core.limits import HTTP_BODY_BYTES_MAX, KEY_BYTES_MAX

NORTH = b'{"id": "k", "services": [], "coordinates": {"latitude": 91, "longitude": 0}}'


def error_of(answer):
    body = answer.json()
    assert list(body) == ["error"]
    assert set(body["error"]) == {"code", "message", "where", "retryable", "definite"}
    return body["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "where", "says"),
    [
        ("POST", "/api/requests", b"{", "body", "expected JSON"),
        ("POST", "/api/requests", b"\xff\xfe", "body", "expected JSON"),
        ("POST", "/api/requests", b"[]", "body", "got `array`"),
        ("POST", "/api/requests", b"", "body", "missing required field `service`"),
        ("POST", "/api/requests", b'{"service": "s", "timeuot": 1}', "body", "did you mean 'timeout'?"),
        ("POST", "/api/requests", b'{"service": 7}', "body.service", "Expected `str`, got `int`"),
        ("POST", "/api/requests", b'{"service": "s", "timeout": 0}', "body.timeout", "> 0"),
        ("POST", "/api/requests", b'{"service": "s", "timeout": 301}', "body.timeout", "<= 300"),
        ("POST", "/api/requests", b'{"service": "s", "payload": ' + b"[" * 100_000, "body", "less depth"),
        ("POST", "/api/registry/clusters", b'{"id": "k", "services": ["s", 3]}', "body.services[1]", "got `int`"),
        ("POST", "/api/registry/clusters", NORTH, "body.coordinates.latitude", "<= 90"),
        ("POST", "/api/consensus/proposals/p/votes", b'{"vote": "maybe"}', "body.vote", "Invalid enum value 'maybe'"),
        ("POST", "/admin/drain", b'{"force": true}', "body", "unknown field 'force'"),
        ("PUT", "/api/state/k?scope=planet", b'{"value": 1}', "query.scope", "Invalid enum value 'planet'"),
        ("PUT", "/api/state/" + "k" * (KEY_BYTES_MAX + 1), b'{"value": 1}', "key", "512 bytes"),
        ("GET", "/api/members?stauts=alive", b"", "query", "unknown field 'stauts', did you mean 'status'?"),
        ("GET", "/api/members?pool=a&pool=b", b"", "query", "each parameter once"),
        ("GET", "/api/status?verbose=1", b"", "query", "expected none"),
        ("GET", "/api/routes", b"", "query", "missing required field `to`"),
        ("GET", "/api/routes?to=x&policy=cheapest", b"", "query.policy", "'cheapest'"),
        ("GET", "/api/registry/discover?service=s&limit=0", b"", "query.limit", ">= 1"),
        ("GET", "/api/registry/discover?service=s&near=here", b"", "query.near", "LATITUDE,LONGITUDE"),
        ("GET", "/api/registry/discover?service=s&near=nan,0", b"", "query.near", "LATITUDE,LONGITUDE"),
        ("GET", "/api/registry/discover?service=s&near=91,0", b"", "query.near", "LATITUDE,LONGITUDE"),
    ],
)  # fmt: skip
def test_bad_input_is_400_and_says_where(client, method, path, body, where, says):
    answer = client.request(method, path, content=body)
    assert answer.status_code == 400
    error = error_of(answer)
    assert error["code"] == "invalid"
    assert error["where"] == where
    assert says in error["message"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_413(client, chunked):
    body = b" " * (HTTP_BODY_BYTES_MAX + 1)
    answer = client.post("/api/requests", content=iter([body]) if chunked else body)
    assert answer.status_code == 413
    assert error_of(answer)["code"] == "payload_too_large"
    assert answer.headers["connection"] == "close"


def test_a_body_at_the_limit_is_taken(client):
    body = b'{"service": "s", "payload": "%s"}'
    body = body % (b"x" * (HTTP_BODY_BYTES_MAX - len(body) + 2))
    assert len(body) == HTTP_BODY_BYTES_MAX
    assert client.post("/api/requests", content=body).status_code == 200


def test_an_unknown_endpoint_is_404_and_names_the_nearest(client):
    answer = client.get("/api/statsu")
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "not_found"
    assert "'/api/status'" in error_of(answer)["message"]


@pytest.mark.parametrize("path", ["/api/status/", "//api/status", "/api/state/", "/admin"])
def test_only_the_exact_path_is_an_endpoint(client, path):
    assert client.post(path).status_code in (404, 405)
    assert client.get(path, follow_redirects=False).status_code in (400, 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/api/status"), ("GET", "/admin/drain"), ("PATCH", "/api/state/k"), ("OPTIONS", "/")],
)
def test_a_wrong_method_is_405_and_names_the_right_ones(client, method, path):
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert error_of(answer)["code"] == "method_not_allowed"
    assert answer.headers["allow"]


@pytest.mark.parametrize("path", ["/api/state/none", "/api/consensus/proposals/none", "/api/registry/clusters/none"])
def test_what_is_not_there_is_404(client, path):
    assert error_of(client.get(path))["code"] == "not_found"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NoRouteError("no way", where="r1"), 503),
        (OverloadedError("full"), 503),
        (UnavailableError("draining"), 503),
        (NoQuorumError("2 of 5"), 503),
        (ProposalError("lost"), 503),
        (StorageError("disk full"), 503),
        (RequestTimeoutError("late"), 504),
        (HandlerError("it raised"), 502),
        (BudgetSpentError("8 hops"), 502),
        (RequestError("failed"), 502),
        (PayloadTooLargeError("over 512 KiB"), 413),
        (PluginError("broke"), 500),
        (MpregError("a bug"), 500),
    ],
)
def test_an_error_of_the_node_has_its_status_and_keeps_what_it_says(node, client, error, status):
    node.fail_with = error
    answer = client.post("/api/requests", json={"service": "s"})
    assert answer.status_code == status
    assert error_of(answer) == {
        "code": error.code,
        "message": error.message,
        "where": error.where,
        "retryable": error.retryable,
        "definite": error.definite,
    }
    assert ("retry-after" in answer.headers) == (status == 503 and error.retryable)


@pytest.mark.parametrize(("seconds", "told"), [(0.0, "1"), (0.05, "1"), (2.3, "3")])
def test_an_overloaded_node_says_when_to_ask_again(seconds, told):
    error = OverloadedError("full")
    error.retry_after_s = seconds
    assert error_response(error).headers["retry-after"] == told


def test_every_error_a_node_can_raise_has_a_status():
    codes = {
        error.code
        for _, error in inspect.getmembers(mpreg_core.errors, inspect.isclass)
        if issubclass(error, MpregError) and not issubclass(error, PluginError)
    }
    assert codes <= set(STATUS_OF)


def test_a_bug_is_500_without_its_cause_and_logged(node, client, caplog):
    node.fail_with = RuntimeError("secret detail")
    with caplog.at_level(logging.ERROR):
        answer = client.post("/api/requests", json={"service": "s"})
    assert answer.status_code == 500
    assert error_of(answer)["code"] == "internal"
    assert "secret" not in answer.text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example", "", "10.0.0.1"])
def test_a_request_to_another_host_name_is_refused(client, host):
    answer = client.get("/api/status", headers={"host": host})
    assert answer.status_code == 421
    assert error_of(answer)["code"] == "wrong_host"


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "LocalHost:1", "localhost."])
def test_a_request_to_an_allowed_host_name_is_served(client, host):
    assert client.get("/api/status", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1234", "http://[bad"])
def test_another_pages_write_is_refused_before_it_reaches_the_node(node, client, origin):
    answer = client.post("/admin/shutdown", headers={"origin": origin})
    assert answer.status_code == 403
    assert error_of(answer)["code"] == "forbidden_origin"
    assert node.life == "ready"


def test_the_nodes_own_page_may_write(client):
    assert client.post("/admin/drain", headers={"origin": "http://localhost:8080"}).status_code == 202


def test_a_route_without_a_role_cannot_be_made():
    from mpreg_admin_http.route import Route

    with pytest.raises(TypeError, match="role"):
        Route(method="GET", path="/x", handler=None, query=None, body=None, answer=None, summary="")
    with pytest.raises(ValueError, match="expected a role"):
        Route(method="GET", path="/x", role="root", handler=None, query=None, body=None, answer=None, summary="")
