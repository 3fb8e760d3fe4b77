"""The client: it stays connected to the nearest of its hubs that is well, and says again there what is to hold.

Requests that certainly were not run, or that may run twice, are asked again at the next hub while their time lasts;
others fail when the connection breaks, for nobody knows whether they took effect.
"""

import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from ssl import SSLContext
from types import TracebackType

import anyio
import msgspec
from anyio.abc import TaskGroup
from msgspec import Struct

from mpreg_core.client.finder import Finder
from mpreg_core.client.link import FLUSH_S, BrokenLinkError, Link
from mpreg_core.client.serving import Serving
from mpreg_core.client.subscriptions import Reading, Subscriptions
from mpreg_core.client.waiting import WaitingRoom
from mpreg_core.contracts.api import Body, Handler, Json, Message, Reply
from mpreg_core.errors import (
    InvalidInputError,
    MpregError,
    PayloadTooLargeError,
    RequestTimeoutError,
    UnavailableError,
)
from mpreg_core.ids import NodeId
from mpreg_core.limits import MESSAGE_BYTES_MAX, REQUEST_BYTES_MAX, REQUEST_TIMEOUT_S_MAX
from mpreg_core.node.pending import check_hedge
from mpreg_core.wire.client import (
    Answer,
    Ask,
    Call,
    CallOff,
    ClientWelcome,
    Delivery,
    Done,
    Forget,
    MoveOn,
    Offer,
    Ping,
    Pong,
    Publish,
    QueueDelivery,
    Subscribe,
    Took,
)
from mpreg_core.wire.outcome import error_in, error_of
from mpreg_core.wire.payload import decode_payload, encode_payload

PING_S = 10.0
SILENT_S = 30.0
"""A hub that says nothing for so long, not even to a ping, is left."""

FINISH_S, FINISH_LOOK_S = 2.0, 0.02
"""How long what is under way may take when a hub is about to stop, and how often to look if it is done."""

RETRY_MIN_S, RETRY_MAX_S = 0.05, 5.0
SPARE_S = 0.25
"""How much longer than its hub a client waits for an answer, which then is the hub's own."""


class Client:
    """Connected while its context is open.

    `hubs` are `host:routing_port`. `name` is how this client signs its frames; any that is no node's will do.
    `federation` refuses hubs of another one. `token` says who this is where hubs want to know; a function is asked for
    it at each connection, for tokens expire. `tls`, from `tls_context`, is for hubs that encrypt, and may have a
    certificate in the token's stead. `connect_timeout` is how long entering may take, in seconds; afterwards calls wait
    for a hub as long as their own time lasts. Entering raises `ConfigError` for an address that is none, the error that
    all hubs refused with, or `UnavailableError`.

        async with Client("hub-1:8084", "hub-2:8084") as client:
            reply = await client.request("billing.total", {"customer": 7}, timeout=2.0)
    """

    def __init__(
        self,
        *hubs: str,
        name: str = "",
        federation: str = "",
        token: str | Callable[[], str] = "",
        tls: SSLContext | None = None,
        connect_timeout: float = 5.0,
    ) -> None:
        name = name or f"client-{random.getrandbits(32):08x}"  # no node bears such a name by chance
        self._finder = Finder(hubs, name, federation, token if callable(token) else lambda: token, tls)
        self._connect_timeout = connect_timeout
        self._link: Link | None = None
        self._linked = anyio.Event()
        self._settled = anyio.Event()  # linked once, or refused for good
        self._entered: WaitingRoom | None = None  # it knows the event loop
        self._serving = Serving()
        self._subscriptions = Subscriptions()
        self._to_acknowledge: dict[tuple[str, str], None] = {}  # messages by id, and their queues
        self._exit = AsyncExitStack()
        self._heard_at = 0.0

    @property
    def hub(self) -> NodeId | None:
        """The hub it is connected to."""
        return self._link.hub if self._link is not None else None

    @property
    def _room(self) -> WaitingRoom:
        if self._entered is None:
            raise UnavailableError("the client is not connected: use it within `async with`")
        return self._entered

    async def __aenter__(self) -> "Client":
        await self._exit.__aenter__()
        try:
            error = await self._enter()
        except BaseException:  # cancelled
            await self._exit.__aexit__(*sys.exc_info())
            raise
        if error is not None:
            await self._exit.__aexit__(None, None, None)
            raise error
        return self

    async def _enter(self) -> MpregError | None:
        tasks = await self._exit.enter_async_context(anyio.create_task_group())
        self._exit.callback(tasks.cancel_scope.cancel)
        self._entered = WaitingRoom()
        tasks.start_soon(self._room.run)
        tasks.start_soon(self._stay_connected)
        with anyio.move_on_after(self._connect_timeout):
            await self._settled.wait()
        return self._finder.why(self._connect_timeout) if self._link is None else None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._link is not None:
            await self._link.flush(FLUSH_S)
        try:
            return await self._exit.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            if error is not None and len(group.exceptions) == 1 and group.exceptions[0] is error:
                return False  # the body's own error comes out as it is
            raise

    # what it is for

    async def request(
        self,
        service: str,
        payload: Body,
        *,
        target: str | None = None,
        timeout: float = 5.0,
        idempotent: bool = False,
        hedge: float | None = None,
    ) -> Reply:
        """Ask a service, wherever it is served best, or at a `target`: a node's or a cluster's id.

        Raises the `RequestError` it ended with, `InvalidInputError`, `PayloadTooLargeError`, `UnavailableError`. An
        error whose `definite` is False may have taken effect; `idempotent` lets such a request be asked again, and
        elsewhere as well after `hedge` seconds without an answer.
        """
        if not 0 < timeout <= REQUEST_TIMEOUT_S_MAX:
            raise InvalidInputError(f"expected a timeout over 0 and up to {REQUEST_TIMEOUT_S_MAX} s, got {timeout}")
        check_hedge(hedge, idempotent=idempotent)
        encoded = encode_payload(payload)
        if len(encoded) > REQUEST_BYTES_MAX:
            raise PayloadTooLargeError(f"expected a payload of at most {REQUEST_BYTES_MAX} bytes, got {len(encoded)}")
        begun = time.monotonic()
        budget_ms = max(1, round(timeout * 1000))

        def ask(number: int) -> Ask:
            return Ask(number, service, encoded, budget_ms, idempotent, target, round((hedge or 0) * 1000))

        answer = await self._outcome(ask, timeout + SPARE_S, again=idempotent)
        assert isinstance(answer, Answer)
        if answer.code:
            raise error_in(answer)
        return Reply(decode_payload(answer.payload), answer.where, answer.path, round(time.monotonic() - begun, 6))

    async def publish(self, topic: str, payload: Json, *, at_least_once: bool = False, timeout: float = 5.0) -> Message:
        """Publish to all who subscribed. Returns when the hub has taken it. Raises as `request` does.

        With `at_least_once` the hub keeps it, on its disk if it has one, until the next nodes have done the same. When
        the connection ends before it says so, it is published again: it may come twice, and out of order.
        """
        encoded = msgspec.json.encode(payload)
        if len(encoded) > MESSAGE_BYTES_MAX:
            raise PayloadTooLargeError(f"expected a message of at most {MESSAGE_BYTES_MAX} bytes, got {len(encoded)}")
        done = await self._done(
            lambda number: Publish(number, topic, encoded, at_least_once), timeout, again=at_least_once
        )
        return Message(topic, payload, self.hub or "", done.id)

    @asynccontextmanager
    async def subscribe(
        self, pattern: str, *, queue: str = "", timeout: float = 5.0
    ) -> AsyncIterator[AsyncIterator[Message]]:
        """The messages whose topic matches, while the context is open.

        A subscriber that reads too slowly loses the oldest ones; while no hub is connected, messages are lost. One of a
        `queue` is done with a message that was published to arrive at least once when it asks for the next one or
        leaves without an exception; else, or after a minute, another member of the queue gets it.
        """
        feed = self._subscriptions.add(pattern, queue)
        try:
            await self._done(lambda number: Subscribe(number, pattern, queue=queue), timeout, again=True)
            if queue:
                reading = Reading(feed, partial(self._took, queue))
                yield reading
                reading.done()
            else:
                yield feed
        finally:
            if self._subscriptions.remove(pattern, queue, feed):
                self._put(Subscribe(0, pattern, False, queue))

    async def serve(self, service: str, handler: Handler, *, timeout: float = 5.0) -> None:
        """Serve from now on, at whatever hub the client is connected to, until it closes or `stop_serving`."""
        self._serving.add(service, handler)
        try:
            await self._done(lambda number: Offer(number, service), timeout, again=True)
        except BaseException:
            self._serving.remove(service)
            raise

    async def stop_serving(self, service: str, *, timeout: float = 5.0) -> None:
        """Serve it no longer; calls that run are answered."""
        self._serving.remove(service)
        await self._done(lambda number: Offer(number, service, False), timeout, again=False)

    # numbered messages and their answers

    async def _done(self, make: Callable[[int], Struct], timeout_s: float, *, again: bool) -> Done:
        done = await self._outcome(make, timeout_s, again=again)
        assert isinstance(done, Done)
        if done.code:
            raise error_of(done.code, done.message, self.hub or "")
        return done

    async def _outcome(self, make: Callable[[int], Struct], timeout_s: float, *, again: bool) -> Answer | Done:
        room = self._room
        number = room.new_number()
        waiting = room.enter(number, make(number), timeout_s, again=again)
        try:
            if self._link is None:
                with anyio.move_on_after(timeout_s):
                    while self._link is None:
                        await self._linked.wait()
            if self._link is not None:
                self._link.put(waiting.message)
                waiting.sent = True
            await waiting.ended
        finally:
            room.leave(number)
            if waiting.sent and not waiting.is_over and isinstance(waiting.message, Ask):
                self._put(Forget(number))  # whoever asked was cancelled
        if waiting.answer is None:
            refusal = self._finder.refusal
            if not waiting.sent and refusal is not None and not refusal.retryable:
                raise refusal
            late = RequestTimeoutError(f"no answer in {timeout_s:g} s", where=self.hub or "no hub is connected")
            late.definite = not waiting.sent
            raise late
        if isinstance(waiting.answer, MpregError):
            raise waiting.answer
        return waiting.answer

    def _put(self, message: Struct) -> None:
        """Send if there is a hub; what is to hold is said again to the next one."""
        if self._link is not None:
            self._link.put(message)

    def _took(self, queue: str, message: Message) -> None:
        key = (message.id, queue)
        if key in self._to_acknowledge:
            del self._to_acknowledge[key]
            with suppress(UnavailableError):  # the hub takes nothing: it will have another take the message
                self._put(Took(message.id, queue))

    # the connection

    async def _stay_connected(self) -> None:
        failures = 0
        while True:
            link = await self._finder.nearest(self._connect_timeout)
            if link is None:
                if self._finder.refused_for_good:
                    self._settled.set()
                failures += 1
                await anyio.sleep(min(RETRY_MAX_S, RETRY_MIN_S * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0))
                continue
            failures = 0
            try:
                await self._use(link)
            finally:
                self._unlink()
                await link.close()
                self._interrupted(link.hub)

    def _unlink(self) -> None:
        self._link = None
        self._to_acknowledge.clear()  # the next hub knows nothing of them, and this one gives them to others
        if self._linked.is_set():  # else somebody waits for it
            self._linked = anyio.Event()

    async def _use(self, link: Link) -> None:
        """Until it breaks."""
        for service in self._serving.services:
            link.put(Offer(0, service))
        for pattern, queue in self._subscriptions.wanted:
            link.put(Subscribe(0, pattern, queue=queue))
        for waiting in self._room.open():
            if waiting.again:
                link.put(waiting.message)
        self._link, self._heard_at = link, time.monotonic()
        self._linked.set()
        self._settled.set()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._ping, link)
                tasks.start_soon(self._serving.run)
                await link.run(tasks, partial(self._on_messages, link, tasks))
        except* BrokenLinkError:
            pass

    def _on_messages(self, link: Link, tasks: TaskGroup, messages: Sequence[Struct]) -> None:
        self._heard_at = time.monotonic()
        for message in messages:
            if isinstance(message, Answer | Done):
                self._room.answer(message)
            elif isinstance(message, Delivery):
                self._subscriptions.take(message)
            elif isinstance(message, QueueDelivery):
                if message.to_acknowledge:
                    self._to_acknowledge[message.message.id, message.queues[0]] = None
                self._subscriptions.take(message.message, message.queues, plain=message.plain)
            elif isinstance(message, Call):
                self._serving.take(message, link.put)
            elif isinstance(message, CallOff):
                self._serving.call_off(message.call)
            elif isinstance(message, MoveOn):
                self._unlink()  # what comes now waits for the next hub
                tasks.start_soon(self._finish, link)
            elif isinstance(message, ClientWelcome):  # no longer: the token has expired
                self._finder.refusal = error_of(message.code, message.message, message.node)
                raise BrokenLinkError(message.message)
            elif isinstance(message, Pong) and not message.known:
                raise BrokenLinkError("the hub has forgotten this client")

    async def _finish(self, link: Link) -> None:
        """The hub is to stop: have what is under way answered, then go."""
        with anyio.move_on_after(FINISH_S):
            while self._room.open() or self._serving.running:
                await anyio.sleep(FINISH_LOOK_S)
        raise BrokenLinkError(f"{link.hub} is about to stop")

    async def _ping(self, link: Link) -> None:
        while True:
            await anyio.sleep(PING_S)
            if time.monotonic() - self._heard_at > SILENT_S:
                raise BrokenLinkError(f"nothing was heard of {link.hub} for {SILENT_S:g} s")
            link.put(Ping())

    def _interrupted(self, hub: NodeId) -> None:
        for waiting in self._room.open():
            if not waiting.again:
                broken = UnavailableError(
                    "the connection broke before the answer came; it may have taken effect", where=hub
                )
                broken.definite = False
                waiting.end(broken)
