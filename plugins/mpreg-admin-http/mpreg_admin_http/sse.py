"""Server-sent events (WHATWG HTML, 9.2): an answer that goes on until the client, its source or the node ends."""

import time
from collections.abc import Awaitable, Callable

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mpreg_admin_http.errors import HEADERS, error_body, error_response
from mpreg_core import MpregError, UnauthenticatedError

HEARTBEAT_S = 15.0
"""A comment this often keeps proxies from closing a quiet stream, and finds clients that are gone."""

LOOK_S = 60.0
"""How often to look at the wall clock, which may be set, whether a token has expired."""

DRAIN_S = 0.2
"""How long a client that does not read may hold up the end of its stream."""


def frame(data: bytes, *, id: str = "", event: str = "") -> bytes:
    """One event. `data` is JSON, which has no raw line ends; `id` and `event` are ours."""
    head = (f"id: {id}\n" if id else "") + (f"event: {event}\n" if event else "")
    return head.encode() + b"data: " + data + b"\n\n"


class Sink:
    """Where a stream's source writes. It waits while the client is slow, so a source holds no queue."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = anyio.Lock()
        self.opened = False

    async def open(self) -> None:
        """Send the headers. Until then an error of the source still is a proper answer."""
        if not self.opened:
            self.opened = True
            headers = {**HEADERS, "content-type": "text/event-stream", "x-accel-buffering": "no"}
            raw = [(name.encode(), value.encode()) for name, value in headers.items()]
            await self._send({"type": "http.response.start", "status": 200, "headers": raw})
            await self.write(b": open\n\n")

    async def write(self, chunk: bytes, *, more: bool = True) -> None:
        """Send one whole frame."""
        async with self._lock:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": more})


Source = Callable[[Sink], Awaitable[None]]


class EventStream(Response):
    """Runs `source` until it returns, the client goes, or `stopping` is set: then the last event is `drain`.

    At `expires_ms` of the wall clock, unless that is 0, the client's token has expired: the last event is an error.
    """

    def __init__(self, source: Source, stopping: anyio.Event, expires_ms: int = 0) -> None:
        self._source = source
        self._stopping = stopping
        self._expires_ms = expires_ms
        self._failure: MpregError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application of this one answer."""
        sink = Sink(send)
        async with anyio.create_task_group() as group:
            group.start_soon(_end_with_client, receive, group.cancel_scope)
            group.start_soon(_end_with_node, self._stopping, group.cancel_scope)
            group.start_soon(_heartbeats, sink)
            if self._expires_ms:
                group.start_soon(self._end_with_token, group.cancel_scope)
            if scope["method"] != "HEAD":
                await self._run(sink)
            group.cancel_scope.cancel()
        if self._failure is not None and not sink.opened:
            await error_response(self._failure)(scope, receive, send)
            return
        with anyio.move_on_after(DRAIN_S):
            await sink.open()
            if self._failure is not None:
                await sink.write(frame(error_body(self._failure), event="error"))
            elif self._stopping.is_set():
                await sink.write(frame(b"{}", event="drain"))
            await sink.write(b"", more=False)

    async def _end_with_token(self, scope: anyio.CancelScope) -> None:
        while (left_s := self._expires_ms / 1000 - time.time()) > 0:
            await anyio.sleep(min(left_s, LOOK_S))
        self._failure = UnauthenticatedError("the token has expired; get another one")
        scope.cancel()

    async def _run(self, sink: Sink) -> None:
        try:
            await self._source(sink)
        except MpregError as error:
            self._failure = error


async def _end_with_client(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _end_with_node(stopping: anyio.Event, scope: anyio.CancelScope) -> None:
    await stopping.wait()
    scope.cancel()


async def _heartbeats(sink: Sink) -> None:
    while True:
        await anyio.sleep(HEARTBEAT_S)
        if sink.opened:
            await sink.write(b": alive\n\n")
