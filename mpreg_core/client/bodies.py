"""Bodies that are too large for one request: sent in parts, no faster than the handler takes them.

A body is opened by an ordinary request for its service, which finds the best place. Its parts are idempotent requests
to a private service at the node that answered: each is answered when it found room, and so many are under way at once;
that is the flow control, from end to end. The last one is answered with what the handler returned; if that is a body
itself, its parts are asked for in the same way.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import Protocol, TypeAlias
from uuid import uuid4

import anyio
import msgspec
from anyio.abc import TaskGroup

from mpreg_core.client.parts import AHEAD, IDLE_S, Ended, Fetch, Open, Opened, Part, pieces
from mpreg_core.client.reply_bodies import Outgoing, ReplyBody
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

REMEMBERED_MAX = 1_024
STOP_S = 1.0

BodyHandler: TypeAlias = Callable[[Request, AsyncIterator[bytes]], Awaitable[Json | AsyncIterator[bytes]]]


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


class Incoming:
    """A body at its handler: parts that came and were not taken yet, by number."""

    def __init__(self) -> None:
        self._parts: dict[int, Part] = {}
        self._next = 0
        self._bytes = 0
        self._came = anyio.Event()
        self._taken = anyio.Event()
        self.ended = anyio.Event()
        self.over = False  # nothing runs for it any more
        self.result = Ended(None)
        self.outgoing: Outgoing | None = None
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

    def end(self, result: "Ended | MpregError") -> None:
        """The handler has returned, or raised; or the reply that it returned broke off."""
        if self.outgoing is not None and isinstance(result, MpregError):
            self.outgoing.fail(result)
        elif isinstance(result, MpregError):
            self.error = result
        else:
            self.result = result
        self.ended.set()
        self.wake()


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
        is_full = sum(not incoming.over for incoming in self._open.values()) >= BODIES_OPEN_MAX
        if is_full or len(self._open) >= REMEMBERED_MAX:
            raise OverloadedError(f"{BODIES_OPEN_MAX} bodies are open here")
        self._open[request.id] = incoming = Incoming()
        self._tasks.start_soon(self._run, msgspec.structs.replace(request, payload=opened.payload), incoming)
        return {"body": request.id, "parts": self.parts}

    async def _run(self, request: Request, incoming: Incoming) -> None:
        try:
            async with aclosing(incoming.read()) as body:
                result = await self._handler(request, body)
            if isinstance(result, AsyncIterator):
                incoming.outgoing = Outgoing()
                incoming.end(Ended(None, body_follows=True))
                await incoming.outgoing.fill(request.id, result)
            else:
                incoming.end(Ended(result))
        except MpregError as error:
            incoming.end(error)
        except Exception as error:  # user code: its caller is told
            incoming.end(HandlerError(f"{type(error).__name__}: {error}"))
        finally:
            incoming.over = True
            with anyio.move_on_after(IDLE_S):
                await anyio.sleep_forever()  # the last part may be asked for again
            del self._open[request.id]

    async def take(self, request: Request) -> Json:
        """A part came, or one of the reply is asked for."""
        asked = msgspec.convert(request.payload, Part | Fetch)
        incoming = self._open.get(asked.body)
        if incoming is None:
            raise NotFoundError(f"no body {asked.body!r} is open here: it is over, or this server is another one")
        answer = await (self._give(incoming, asked) if isinstance(asked, Fetch) else self._keep(incoming, asked))
        encoded: Json = msgspec.to_builtins(answer)
        return encoded

    async def _keep(self, incoming: Incoming, part: Part) -> Ended | None:
        await incoming.put(part)
        if not part.last:
            return None
        await incoming.ended.wait()
        if incoming.error is not None:
            raise incoming.error
        return incoming.result

    async def _give(self, incoming: Incoming, fetch: Fetch) -> Part | None:
        if incoming.outgoing is None:
            raise InvalidInputError(f"the reply to {fetch.body!r} is no body")
        if fetch.stop:
            incoming.outgoing.stop()
            return None
        return await incoming.outgoing.give(fetch.number)


@asynccontextmanager
async def serving_body(server: Serves, service: str, handler: BodyHandler) -> AsyncIterator[None]:
    """Serve a service that takes or gives bodies in parts, while the context is open.

    The handler gets the request and its body's parts in order, and returns the reply's payload, or an iterator over the
    parts of a body of up to `BODY_BYTES_MAX`, which is closed when its reader is gone. Leaving the context cancels the
    handlers that run.
    """
    with _alone():
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
    exchange = await Exchange.open(asker, service, payload, target, timeout)
    reply, is_body = await exchange.send(body)
    if is_body:
        await exchange.stop()
        wrong = InvalidInputError(f"{service} replies with a body in parts: ask with mpreg_core.client.reply_body")
        wrong.definite = False  # its handler ran
        raise wrong
    return reply


@asynccontextmanager
async def reply_body(
    asker: Asks,
    service: str,
    payload: Json = None,
    body: AsyncIterator[bytes] | Iterable[bytes] = (),
    *,
    target: str | None = None,
    timeout: float = 60.0,
) -> AsyncIterator[ReplyBody]:
    """Ask a service whose reply is a body: iterate over its parts in order while the context is open.

    It is sent as it is read, so much ahead. `timeout` is for all of it, the reading included. Raises as `request_body`
    does; an error that the handler has midway comes from the iteration.
    """
    exchange = await Exchange.open(asker, service, payload, target, timeout)
    reply, is_body = await exchange.send(body)
    with _alone():
        async with anyio.create_task_group() as tasks:
            parts = ReplyBody(reply, exchange.fetch if is_body else None, tasks)
            try:
                yield parts
            finally:
                if not parts.ended:
                    await exchange.stop()
                tasks.cancel_scope.cancel()


class Exchange:
    """One body on its way, and the reply's: at its caller."""

    def __init__(self, asker: Asks, timeout_s: float) -> None:
        self._asker = asker
        self._begun = time.monotonic()
        self._timeout_s = timeout_s
        self._body = self._parts = self._server = ""

    @classmethod
    async def open(cls, asker: Asks, service: str, payload: Json, target: str | None, timeout_s: float) -> "Exchange":
        """Find the server."""
        exchange = cls(asker, timeout_s)
        begin: Json = {"body_follows": True, "payload": payload}
        answer = await asker.request(service, begin, target=target, timeout=timeout_s)
        opened = msgspec.convert(answer.payload, Opened)
        exchange._body, exchange._parts, exchange._server = opened.body, opened.parts, answer.served_by
        return exchange

    async def send(self, body: AsyncIterator[bytes] | Iterable[bytes]) -> tuple[Reply, bool]:
        """All of the body: the reply, and whether a body of its own is to follow."""
        under_way = anyio.Semaphore(AHEAD)

        async def send_and_release(part: Part) -> None:
            try:
                await self._ask(part)
            finally:
                under_way.release()

        number = 0
        with _alone():
            async with anyio.create_task_group() as tasks, aclosing(pieces(body)) as parts:
                async for data in parts:
                    await under_way.acquire()
                    tasks.start_soon(send_and_release, Part(self._body, number, data))
                    number += 1
        reply = await self._ask(Part(self._body, number, last=True))
        ended = msgspec.convert(reply.payload, Ended)
        seconds = round(time.monotonic() - self._begun, 6)
        return Reply(ended.payload, reply.served_by, reply.path, seconds), ended.body_follows

    async def fetch(self, number: int) -> Part:
        """A part of the reply."""
        return msgspec.convert((await self._ask(Fetch(self._body, number))).payload, Part)

    async def stop(self) -> None:
        """No more of the reply, in as much time as that may take."""
        with anyio.move_on_after(STOP_S, shield=True), suppress(MpregError):
            await self._ask(Fetch(self._body, 0, stop=True))

    async def _ask(self, message: Part | Fetch) -> Reply:
        left_s = max(0.001, self._begun + self._timeout_s - time.monotonic())
        sent = msgspec.to_builtins(message)
        return await self._asker.request(self._parts, sent, target=self._server, timeout=left_s, idempotent=True)


@contextmanager
def _alone() -> Iterator[None]:
    """An error comes out as it is, not wrapped by the tasks around it."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
