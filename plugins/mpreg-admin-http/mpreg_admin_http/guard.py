"""What stands before every route: whom a request is addressed to, where it came from, how many run at once."""

from collections.abc import Set as AbstractSet

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mpreg_admin_http.errors import HttpError, error_response
from mpreg_core import MpregError, OverloadedError, UnavailableError

REQUESTS_OPEN_MAX = 512
"""Requests that run at once, event streams among them."""

_SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Refuses what no handler should see, and ends what still runs when the service must stop.

    `hosts` are the names a request may be addressed to, or None for any. On loopback only local names are: else a page
    from anywhere could point its own name at 127.0.0.1 and have a browser read this node (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, hosts: AbstractSet[str] | None) -> None:
        self._app = app
        self._hosts = hosts
        self._open: set[anyio.CancelScope] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal is not None:
            await error_response(refusal)(scope, receive, send)
            return
        started = False

        async def note_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        with anyio.CancelScope() as running:
            self._open.add(running)
            try:
                await self._app(scope, receive, note_start)
            finally:
                self._open.discard(running)
        if running.cancelled_caught and not started:
            stopping = UnavailableError("the node stopped before the request ended; it may have taken effect")
            stopping.definite = False
            await error_response(stopping)(scope, receive, send)

    def cancel_all(self) -> None:
        """End every request that still runs."""
        for scope in tuple(self._open):
            scope.cancel()

    def _refusal(self, method: str, headers: Headers) -> MpregError | None:
        host = headers.get("host", "")
        if self._hosts is not None and host_name(host) not in self._hosts:
            message = f"expected a request to one of {', '.join(sorted(self._hosts))}, got host {host[:100]!r}"
            return HttpError("wrong_host", message)
        origin = headers.get("origin")
        # A browser names the page that sends; curl and programs do not. RFC 6454, section 7.
        if origin is not None and method not in _SAFE and origin.partition("://")[2] != host:
            return HttpError("forbidden_origin", f"a page of {origin[:100]!r} may not change this node")
        if len(self._open) >= REQUESTS_OPEN_MAX:
            return OverloadedError(f"{REQUESTS_OPEN_MAX} requests are open, the most there may be")
        return None


def host_name(header: str) -> str:
    """The name in a `Host` header, without its port, lower case."""
    name, _, port = header.rpartition(":")
    return (name if name and port.isdigit() else header).lower().rstrip(".")
