"""All routes: the one table that serves, describes and guards the API."""

from functools import cache
from html import escape

from msgspec import structs
from starlette.responses import HTMLResponse

from mpreg_admin_http import (
    routes_admin,
    routes_consensus,
    routes_messages,
    routes_node,
    routes_registry,
    routes_state,
)
from mpreg_admin_http.call import Call
from mpreg_admin_http.errors import HEADERS
from mpreg_admin_http.messages import Nothing
from mpreg_admin_http.openapi import Schema, document
from mpreg_admin_http.route import AnyRoute, Route
from mpreg_core import Json

_API: tuple[AnyRoute, ...] = (
    *routes_node.ROUTES,
    *routes_consensus.ROUTES,
    *routes_state.ROUTES,
    *routes_registry.ROUTES,
    *routes_messages.ROUTES,
    *routes_admin.ROUTES,
)

_CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>mpreg {node}</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }}
td {{ padding: .1rem .7rem .1rem 0; vertical-align: top }} code {{ font-size: .95em }}</style>
<h1>mpreg node {node}</h1>
<p>{tier} hub tier, region {region}, federation {federation}: {state}.
The API is described by <a href="/openapi.json">/openapi.json</a>.</p>
<table>{rows}</table>
</html>
"""


@cache
def _document() -> Schema:
    return document((*_API, _OPENAPI))


async def openapi(call: Call[Nothing, Nothing]) -> Schema:
    return _document()


async def home(call: Call[Nothing, Nothing]) -> HTMLResponse:
    """A page for a person who opens the port in a browser. Names come from the network: all are escaped."""
    node = call.node.status().node
    rows = "".join(
        f"<tr><td>{route.method}</td><td>{_link(route)}</td><td>{escape(route.summary)}</td></tr>\n" for route in _API
    )
    page = _PAGE.format(
        node=escape(node.id),
        tier=escape(node.hub_tier),
        region=escape(node.region),
        federation=escape(node.federation),
        state=escape(node.state),
        rows=rows,
    )
    return HTMLResponse(page, headers={**HEADERS, "content-security-policy": _CSP})


def _link(route: AnyRoute) -> str:
    path = escape(route.path.replace(":path}", "}"))
    opens = (
        route.method == "GET" and "{" not in path and not any(field.required for field in structs.fields(route.query))
    )
    return f'<a href="{path}"><code>{path}</code></a>' if opens else f"<code>{path}</code>"


_OPENAPI: AnyRoute = Route(
    method="GET", path="/openapi.json", role="viewer", handler=openapi, query=Nothing, body=Nothing,
    answer=dict[str, Json], summary="This API.",
)  # fmt: skip
_HOME: AnyRoute = Route(
    method="GET", path="/", role="none", handler=home, query=Nothing, body=Nothing, answer=str,
    summary="A page that links to the endpoints.",
)  # fmt: skip

ROUTES: tuple[AnyRoute, ...] = (*_API, _OPENAPI, _HOME)
