"""Bodies that are too large for one request: sent in parts, no faster than the handler takes them.

A body is opened by an ordinary request for its service, which finds the best place. Its parts are idempotent requests
to a private service at the node that answered: each is answered when it found room, and so many are under way at once;
that is the flow control, from end to end. The last one is answered with what the handler returned.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import Any, Protocol, TypeAlias
from uuid import uuid4

import anyio
import msgspec
from anyio.abc import TaskGroup
from msgspec import Struct

from mpreg_core.contracts.api import Body, Handler, Json, Reply, Request
from mpreg_core.errors import (
    HandlerError,
    InvalidInputError,
    MpregError,
    NotFoundError,
    OverloadedError,
    PayloadTooLargeError,
    RequestTimeoutError,
    UnavailableError,
)
from mpreg_core.limits import BODIES_OPEN_MAX, BODY_BYTES_MAX

PART_BYTES = 256 * 1024
AHEAD = 4
"""Parts under way at once, and parts that wait for the handler at most."""

REMEMBERED_MAX = 1_024
STOP_S = 1.0
IDLE_S = 30.0
"""A body whose next part does not come for so long is given up."""

BodyHandler: TypeAlias = Callable[[Request, AsyncIterator[bytes]], Awaitable[Json]]


class Asks(Protocol):
    """A `Client` or a `NodeApi` that asks."""

    async def request(
        self, service: str, payload: Body, *, target: str | None = None, timeout: float = 5.0, idempotent: bool = False
    ) -> Reply:
        """See `NodeApi`."""
        ...


class Serves(Protocol):
    """A `Client` or a `NodeApi` that serves."""

    async def serve(self, service: str, handler: Handler) -> None:
        """See `NodeApi`."""
        ...

    async def stop_serving(self, service: str) -> None:
        """See `NodeApi`."""
        ...


class Open(Struct, forbid_unknown_fields=True):
    """Begins a body; `payload` is what the handler's request has."""

    body_follows: bool
    payload: Any


class Opened(Struct):
    """Where its parts go."""

    body: str
    parts: str


class Part(Struct, forbid_unknown_fields=True):
    """One part, in base64 on the wire. The `last` one has no data."""

    body: str
    number: int
    data: bytes = b""
    last: bool = False


class Incoming:
    """A body at its handler: parts that came and were not taken yet, by number."""

    def __init__(self) -> None:
        self._parts: dict[int, Part] = {}
        self._next = 0
        self._bytes = 0
        self._came = anyio.Event()
        self._taken = anyio.Event()
        self.ended = anyio.Event()
        self.result: Json = None
        self.error: MpregError | None = None

    async def put(self, part: Part) -> None:
        """Keep a part as soon as there is room. One that came before is not kept again."""
        while part.number >= self._next + AHEAD and not self.ended.is_set():
            await self._taken.wait()
        if self.error is not None:
            raise self.error
        if self.ended.is_set():
            return  # the handler has heard enough
        if part.number >= self._next and part.number not in self._parts:
            self._bytes += len(part.data)
            if self._bytes > BODY_BYTES_MAX:
                self.error = PayloadTooLargeError(f"expected a body of at most {BODY_BYTES_MAX} bytes")
                self._came.set()
                raise self.error
            self._parts[part.number] = part
            self._came.set()

    async def read(self) -> AsyncGenerator[bytes]:
        """The parts in order. Raises `RequestTimeoutError` when the next does not come, `PayloadTooLargeError`."""
        while True:
            while self._next not in self._parts:
                if self.error is not None:
                    raise self.error
                self._came = anyio.Event()
                with anyio.move_on_after(IDLE_S) as scope:
                    await self._came.wait()
                if scope.cancelled_caught:
                    raise RequestTimeoutError(f"no part {self._next} of the body came in {IDLE_S:g} s")
            part = self._parts.pop(self._next)
            self._next += 1
            self.wake()
            if part.last:
                return
            yield part.data

    def wake(self) -> None:
        """There is room, or nothing to wait for any more."""
        taken, self._taken = self._taken, anyio.Event()
        taken.set()


class BodyServer:
    """The open bodies of one service at one server."""

    def __init__(self, handler: BodyHandler, tasks: TaskGroup) -> None:
        self._handler = handler
        self._tasks = tasks
        self._open: dict[str, Incoming] = {}
        self.parts = f"body.{uuid4().hex}"  # of this server alone: others at its node may serve the same service

    async def open(self, request: Request) -> Json:
        """A body begins."""
        try:
            opened = msgspec.convert(request.payload, Open)
        except msgspec.ValidationError as error:
            why = f"{request.service} takes a body in parts: ask with mpreg_core.client.request_body ({error})"
            raise InvalidInputError(why) from None
        is_full = sum(not incoming.ended.is_set() for incoming in self._open.values()) >= BODIES_OPEN_MAX
        if is_full or len(self._open) >= REMEMBERED_MAX:
            raise OverloadedError(f"{BODIES_OPEN_MAX} bodies are open here")
        self._open[request.id] = incoming = Incoming()
        self._tasks.start_soon(self._run, msgspec.structs.replace(request, payload=opened.payload), incoming)
        return {"body": request.id, "parts": self.parts}

    async def _run(self, request: Request, incoming: Incoming) -> None:
        try:
            async with aclosing(incoming.read()) as body:
                incoming.result = await self._handler(request, body)
        except MpregError as error:
            incoming.error = error
        except Exception as error:  # user code: its caller is told
            incoming.error = HandlerError(f"{type(error).__name__}: {error}")
        finally:
            incoming.ended.set()
            incoming.wake()
            with anyio.move_on_after(IDLE_S):
                await anyio.sleep_forever()  # the last part may be asked for again
            del self._open[request.id]

    async def take(self, request: Request) -> Json:
        """A part came."""
        part = msgspec.convert(request.payload, Part)
        incoming = self._open.get(part.body)
        if incoming is None:
            raise NotFoundError(f"no body {part.body!r} is open here: it is over, or this server is another one")
        await incoming.put(part)
        if not part.last:
            return None
        await incoming.ended.wait()
        if incoming.error is not None:
            raise incoming.error
        return incoming.result


@asynccontextmanager
async def serving_body(server: Serves, service: str, handler: BodyHandler) -> AsyncIterator[None]:
    """Serve a service that takes bodies in parts, while the context is open.

    The handler gets the request and the body's parts in order, and returns the reply's payload. Leaving the context
    cancels the handlers that run.
    """
    async with anyio.create_task_group() as tasks:
        bodies = BodyServer(handler, tasks)
        await server.serve(bodies.parts, bodies.take)
        await server.serve(service, bodies.open)
        try:
            yield
        finally:
            with anyio.move_on_after(STOP_S, shield=True), suppress(UnavailableError, RequestTimeoutError):
                for each in (service, bodies.parts):
                    await server.stop_serving(each)
            tasks.cancel_scope.cancel()


async def request_body(
    asker: Asks,
    service: str,
    body: AsyncIterator[bytes] | Iterable[bytes],
    payload: Json = None,
    *,
    target: str | None = None,
    timeout: float = 60.0,
) -> Reply:
    """Ask a service with a body of up to `BODY_BYTES_MAX`, sent in parts as the handler takes them.

    `timeout` is for all of it. Raises as `request` does, and what the handler raised as `HandlerError`.
    """
    deadline = time.monotonic() + timeout
    begin: Json = {"body_follows": True, "payload": payload}
    answer = await asker.request(service, begin, target=target, timeout=timeout)
    opened = msgspec.convert(answer.payload, Opened)
    under_way = anyio.Semaphore(AHEAD)

    async def send(part: Part) -> Reply:
        left_s = max(0.001, deadline - time.monotonic())
        sent = msgspec.to_builtins(part)
        return await asker.request(opened.parts, sent, target=answer.served_by, timeout=left_s, idempotent=True)

    async def send_and_release(part: Part) -> None:
        try:
            await send(part)
        finally:
            under_way.release()

    number = 0
    try:
        async with anyio.create_task_group() as tasks, aclosing(_pieces(body)) as pieces:
            async for data in pieces:
                await under_way.acquire()
                tasks.start_soon(send_and_release, Part(opened.body, number, data))
                number += 1
    except BaseExceptionGroup as group:
        raise _first(group) from None
    reply = await send(Part(opened.body, number, last=True))
    return Reply(reply.payload, reply.served_by, reply.path, round(timeout - (deadline - time.monotonic()), 6))


async def _pieces(body: AsyncIterator[bytes] | Iterable[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(_chunks(body)) as chunks:
        async for chunk in chunks:
            for at in range(0, len(chunk), PART_BYTES):
                yield chunk[at : at + PART_BYTES]


async def _chunks(body: AsyncIterator[bytes] | Iterable[bytes]) -> AsyncGenerator[bytes]:
    if isinstance(body, AsyncIterator):
        async with AsyncExitStack() as stack:
            if isinstance(body, AsyncGenerator):
                await stack.enter_async_context(aclosing(body))
            async for chunk in body:
                yield chunk
    else:
        for chunk in body:
            yield chunk


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
