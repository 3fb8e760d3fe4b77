"""The OpenAPI document: complete, and no reference or parameter of it hangs in the air."""

import re

import pytest

from mpreg_admin_http.routes import ROUTES


@pytest.fixture
def document(client):
    return client.get("/openapi.json").json()


def walk(node):
    yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(child)


def operations(document):
    return [(path, method, op) for path, ops in document["paths"].items() for method, op in ops.items()]


def test_the_document_is_openapi_3_1(document):
    assert document["openapi"] == "3.1.0"
    assert set(document["info"]) >= {"title", "version"}


def test_every_route_but_the_page_is_described(document):
    described = {(method.upper(), path) for path, method, _ in operations(document)}
    assert described == {(route.method, route.path.replace(":path}", "}")) for route in ROUTES if route.path != "/"}


def test_every_reference_leads_somewhere(document):
    refs = {node["$ref"] for node in walk(document) if isinstance(node, dict) and "$ref" in node}
    assert refs
    assert refs <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def test_every_path_parameter_is_declared_and_operation_ids_are_unique(document):
    ids = [op["operationId"] for _, _, op in operations(document)]
    assert len(set(ids)) == len(ids)
    for path, _, op in operations(document):
        declared = {parameter["name"] for parameter in op["parameters"] if parameter["in"] == "path"}
        assert declared == set(re.findall(r"\{(\w+)\}", path))


def test_every_operation_says_its_role_its_answer_and_its_errors(document):
    for _, _, op in operations(document):
        assert op["x-mpreg-role"] in ("none", "viewer", "operator", "admin")
        assert op["responses"]["default"]["content"]["application/json"]["schema"]
        assert any(status.startswith("2") for status in op["responses"])


def test_nothing_that_changes_the_node_is_open_to_viewers(document):
    for path, method, op in operations(document):
        assert (method == "get") == (op["x-mpreg-role"] in ("none", "viewer")), path
        assert path.startswith("/admin/") == (op["x-mpreg-role"] == "admin"), path


def test_bounds_and_choices_are_in_the_document(document):
    discover = document["paths"]["/api/registry/discover"]["get"]["parameters"]
    limit = next(parameter for parameter in discover if parameter["name"] == "limit")
    assert limit["schema"] | {"minimum": 1, "maximum": 1000} == limit["schema"]
    vote = document["components"]["schemas"]["VoteBody"]["properties"]["vote"]
    assert {"enum": ["no", "yes"]} in vote["anyOf"]
