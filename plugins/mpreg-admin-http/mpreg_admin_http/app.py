"""The ASGI application: a table of routes over Starlette's router."""

import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp

from mpreg_admin_http.backend import Backend
from mpreg_admin_http.call import Call, decode_body, decode_query, read_body
from mpreg_admin_http.errors import HEADERS, HttpError, error_response
from mpreg_admin_http.route import Answer, AnyRoute
from mpreg_core import ANYBODY, MpregError, did_you_mean

_log = logging.getLogger(__name__)

_json = msgspec.json.Encoder()

BUSY = ("/api/state", "/api/requests", "/api/messages")
"""Looked at first, for the router tries one route after the other."""


def build_app(routes: Sequence[AnyRoute], backend: Backend) -> ASGIApp:
    """Serve the routes, and every error in its one shape."""
    by_path: dict[str, dict[str, AnyRoute]] = {}
    for route in routes:
        methods = by_path.setdefault(route.path, {})
        assert route.method not in methods, f"{route.method} {route.path} is in the table twice"
        methods[route.method] = route
    app = Starlette(
        routes=[
            StarletteRoute(path, _endpoint(methods, backend), methods=list(methods))
            for path, methods in sorted(by_path.items(), key=lambda route: not route[0].startswith(BUSY))
        ],
        exception_handlers={404: _no_route(list(by_path)), 405: _wrong_method},
    )
    app.router.redirect_slashes = False
    return app


def _endpoint(methods: dict[str, AnyRoute], backend: Backend) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        route = methods["GET" if request.method == "HEAD" else request.method]
        try:
            return await _answer(route, backend, request)
        except MpregError as error:
            return error_response(error)
        except Exception:
            # The cause is for the log: it may hold what a caller must not see.
            _log.exception("a request failed", extra={"method": request.method, "route": route.path})
            return error_response(HttpError("internal", "an internal error; the node's log tells more"))

    return endpoint


async def _answer(route: AnyRoute, backend: Backend, request: Request) -> Response:
    identity = ANYBODY if route.role == "none" else backend.identify(request.headers)
    if route.role != "none":
        identity.require(route.role, f"{route.method} {route.path}")
    query = decode_query(request, route.query)
    body = decode_body(await read_body(request), route.body)
    result = await route.handler(Call(backend, identity, request.path_params, query, body, request.headers))
    if isinstance(result, Response):
        return result
    status, content = (result.status, result.content) if isinstance(result, Answer) else (route.status, result)
    return Response(_json.encode(content), status, HEADERS, "application/json")


def _no_route(paths: Sequence[str]) -> Callable[[Request, Exception], Response]:
    def handler(request: Request, error: Exception) -> Response:
        path = request.url.path[:200]
        return error_response(HttpError("not_found", f"no such endpoint{did_you_mean(path, paths)}", where=path))

    return handler


def _wrong_method(request: Request, error: Exception) -> Response:
    headers = error.headers if isinstance(error, HTTPException) else None
    allowed = (headers or {}).get("Allow", "")
    message = f"expected one of {allowed}, got {request.method[:20]}"
    return error_response(HttpError("method_not_allowed", message, where=request.url.path[:200], headers=headers))
