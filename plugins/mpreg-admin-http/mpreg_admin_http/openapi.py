"""The OpenAPI 3.1 document, from the table of routes and the types it names."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct, structs

from mpreg_admin_http import __version__
from mpreg_admin_http.messages import Nothing
from mpreg_admin_http.route import AnyRoute

Schema = dict[str, object]


class ErrorDetail(Struct, frozen=True):
    """`definite`: the operation certainly took no effect. `retryable`: the same call may succeed later."""

    code: str
    message: str
    where: str
    retryable: bool
    definite: bool


class Error(Struct, frozen=True):
    """What went wrong."""

    error: ErrorDetail


def document(routes: Sequence[AnyRoute]) -> Schema:
    """Describe the routes that answer JSON or events."""
    types = _Types()
    error = types.use(Error)
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(_template(route), {})[route.method.lower()] = _operation(route, types, error)
    types.resolve()
    return {
        "openapi": "3.1.0",
        "info": {"title": "mpreg node", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": types.components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


class _Types:
    """Hands out a schema for each type at once and fills all of them in together, for they share components."""

    def __init__(self) -> None:
        self._wanted: list[tuple[object, Schema]] = []
        self.components: Schema = {}

    def use(self, type: object) -> Schema:
        schema: Schema = {}
        self._wanted.append((type, schema))
        return schema

    def resolve(self) -> None:
        wanted = [type for type, _ in self._wanted]
        schemas, components = msgspec.json.schema_components(wanted, ref_template="#/components/schemas/{name}")
        for (_, schema), found in zip(self._wanted, schemas, strict=True):
            schema.update(found)
        self.components.update(components)


def _template(route: AnyRoute) -> str:
    return route.path.replace(":path}", "}")


def _operation(route: AnyRoute, types: _Types, error: Schema) -> Schema:
    words = [word.strip("{}") for word in _template(route).replace("-", "/").split("/") if word]
    media = "text/event-stream" if route.stream else "application/json"
    answer: Schema = {"description": route.summary, "content": {media: {"schema": types.use(route.answer)}}}
    operation: Schema = {
        "operationId": "_".join([route.method.lower(), *words]),
        "summary": route.summary,
        "tags": [words[1] if words[0] == "api" else words[0]],
        "x-mpreg-role": route.role,
        "security": [] if route.role == "none" else [{"bearer": []}, {}],
        "parameters": _parameters(route, types),
        "responses": {
            **{str(status): answer for status in (route.status, *route.others)},
            "default": {"description": "An error.", "content": {"application/json": {"schema": error}}},
        },
    }
    if route.body is not Nothing:
        required = any(field.required for field in structs.fields(route.body))
        content = {"application/json": {"schema": types.use(route.body)}}
        operation["requestBody"] = {"required": required, "content": content}
    return operation


def _parameters(route: AnyRoute, types: _Types) -> list[Schema]:
    names = [part.strip("{}") for part in _template(route).split("/") if part.startswith("{")]
    found: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names
    ]
    for field in structs.fields(route.query):
        found.append(
            {"name": field.encode_name, "in": "query", "required": field.required, "schema": types.use(field.type)}
        )
    if route.stream:
        found.append({"name": "Last-Event-ID", "in": "header", "required": False, "schema": {"type": "string"}})
    return found
