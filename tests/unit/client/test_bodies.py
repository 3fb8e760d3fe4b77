"""Bodies in parts: whole, in order, and no faster than the handler takes them."""

import hashlib
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest

from mpreg_core.client import Client, bodies, reply_bodies, reply_body, request_body, serving_body
from mpreg_core.client.parts import AHEAD, PART_BYTES
from mpreg_core.errors import HandlerError, InvalidInputError, NoRouteError, PayloadTooLargeError, RequestTimeoutError

pytestmark = pytest.mark.anyio

BIG = bytes(range(256)) * 4096 * 3  # 3 MiB


async def digest(request, body):
    hashed, parts = hashlib.sha256(), 0
    async for part in body:
        hashed.update(part)
        parts += 1
    return {"digest": hashed.hexdigest(), "parts": parts, "name": request.payload, "from": request.caller}


@asynccontextmanager
async def hub_and_client(node):
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(node("hub", "local", "us"))
        client = await stack.enter_async_context(Client(hub.status().node.routing, name="asker"))
        yield hub, client


@pytest.fixture(params=["a node serves", "a client serves"])
async def client(request, node):
    """A client that asks; `digest` is served by a node or by another client."""
    async with (
        hub_and_client(node) as (hub, asker),
        Client(hub.status().node.routing) as other,
        serving_body(hub if request.param == "a node serves" else other, "digest", digest),
    ):
        yield asker


@pytest.mark.parametrize("body", [[BIG], [BIG[:10], b"", BIG[10:]], [], [b"x"] * 50])
async def test_a_body_arrives_whole_and_in_order(client, body):
    reply = await request_body(client, "digest", body, "name")
    whole = b"".join(body)
    assert reply.payload["digest"] == hashlib.sha256(whole).hexdigest()
    assert reply.payload["name"] == "name"
    assert reply.served_by == "hub"


async def test_the_sender_waits_for_the_handler(node):
    taken, made = [0], [0]
    go_on = anyio.Event()

    async def slow(request, body):
        async for _ in body:
            taken[0] += 1
            if taken[0] == 2:
                await go_on.wait()
        return taken[0]

    async def source():
        for _ in range(40):
            made[0] += 1
            yield b"x" * 1000

    async with (
        hub_and_client(node) as (hub, asker),
        serving_body(hub, "slow", slow),
        anyio.create_task_group() as tasks,
    ):
        replies = []

        async def ask():
            replies.append(await request_body(asker, "slow", source()))

        tasks.start_soon(ask)
        with anyio.fail_after(10):
            while taken[0] < 2:
                await anyio.sleep(0.01)
        await anyio.wait_all_tasks_blocked()
        assert made[0] <= 2 + 2 * AHEAD + 1
        go_on.set()
        with anyio.fail_after(10):
            while not replies:
                await anyio.sleep(0.01)
    assert replies[0].payload == 40


async def test_what_the_handler_raises_comes_to_the_caller_at_once(node):
    async def fails(request, body):
        async for _ in body:
            raise ValueError("no such thing")

    async def endless():
        while True:
            yield b"x" * PART_BYTES

    async with hub_and_client(node) as (hub, asker), serving_body(hub, "fails", fails):
        with pytest.raises(HandlerError, match="ValueError: no such thing"), anyio.fail_after(10):
            await request_body(asker, "fails", endless())


async def test_a_handler_may_answer_before_the_end(node):
    async def first(request, body):
        async for part in body:
            return len(part)

    async with hub_and_client(node) as (hub, asker), serving_body(hub, "first", first):
        assert (await request_body(asker, "first", [b"abc"] * 100)).payload == 3


async def test_a_body_over_the_limit_is_refused(node, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_BYTES_MAX", 1_000_000)
    async with hub_and_client(node) as (hub, asker), serving_body(hub, "digest", digest):
        with pytest.raises(PayloadTooLargeError, match="at most 1000000 bytes"):
            await request_body(asker, "digest", [BIG])


async def test_a_body_that_stops_is_given_up(node, monkeypatch):
    monkeypatch.setattr(bodies, "IDLE_S", 0.1)
    given_up = anyio.Event()

    async def waits(request, body):
        try:
            async for _ in body:
                pass
        except RequestTimeoutError:
            given_up.set()
            raise

    async def stuck():
        yield b"x"
        await anyio.sleep_forever()

    async with hub_and_client(node) as (hub, asker), serving_body(hub, "waits", waits):
        with anyio.move_on_after(0.3):
            await request_body(asker, "waits", stuck())
        with anyio.fail_after(5):
            await given_up.wait()


async def test_its_handler_is_told_of_a_body_over_the_limit(node, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_BYTES_MAX", 1_000_000)
    told = anyio.Event()

    async def waits(request, body):
        try:
            async for _ in body:
                pass
        except PayloadTooLargeError:
            told.set()
            raise

    async with hub_and_client(node) as (hub, asker), serving_body(hub, "waits", waits):
        with pytest.raises(PayloadTooLargeError):
            await request_body(asker, "waits", [BIG])
        with anyio.fail_after(5):
            await told.wait()


@pytest.mark.parametrize("by", ["node", "client"])
async def test_after_its_context_the_service_is_offered_no_longer(node, by):
    async with hub_and_client(node) as (hub, asker), Client(hub.status().node.routing) as other:
        async with serving_body(hub if by == "node" else other, "digest", digest):
            assert (await request_body(asker, "digest", [b"x"])).payload["parts"] == 1
        with pytest.raises(NoRouteError), anyio.fail_after(5):
            await request_body(asker, "digest", [b"x"])


async def test_a_request_without_a_body_is_told_how_to_ask(client):
    with pytest.raises(InvalidInputError, match=r"ask with mpreg_core\.client\.request_body"):
        await client.request("digest", {"hi": 1})


async def test_nobody_there_is_no_route(node):
    async with hub_and_client(node) as (_, asker):
        with pytest.raises(NoRouteError):
            await request_body(asker, "nobody", [b"x"])


async def fetched(asker, service, *args, **more):
    async with reply_body(asker, service, *args, **more) as parts:
        return b"".join([part async for part in parts])


@pytest.fixture(params=["a node serves", "a client serves"])
async def copier(request, node):
    """Who asks `copy`, whose reply is what it was sent, as many times as its payload says."""

    async def copy(request, body):
        whole = b"".join([part async for part in body])

        async def copies():
            for _ in range(request.payload):
                yield whole

        return copies()

    async with (
        hub_and_client(node) as (hub, asker),
        Client(hub.status().node.routing) as other,
        serving_body(hub if request.param == "a node serves" else other, "copy", copy),
    ):
        yield asker


@pytest.mark.parametrize(("body", "times"), [([b"ab", b"c"], 3), ([BIG], 2), ([], 1), ([b"x"], 0), ([b"x"], 100)])
async def test_a_reply_arrives_whole_and_in_order(copier, body, times):
    assert await fetched(copier, "copy", times, body) == b"".join(body) * times


async def test_a_reply_body_is_asked_for_as_such(copier, client):
    with pytest.raises(InvalidInputError, match=r"ask with mpreg_core\.client\.reply_body"):
        await request_body(copier, "copy", [b"x"], 2)
    async with reply_body(client, "digest", "name", [b"x"]) as parts:
        assert [part async for part in parts] == []
        assert parts.reply.payload["name"] == "name"


async def test_the_handler_waits_for_the_reader_and_is_closed_when_that_leaves(node):
    made, closed = [0], anyio.Event()

    async def source():
        try:
            while True:
                made[0] += 1
                yield b"x" * 1000
        finally:
            closed.set()

    async def endless(request, body):
        return source()

    async with hub_and_client(node) as (hub, asker), serving_body(hub, "endless", endless):
        async with reply_body(asker, "endless") as parts:
            assert len(await anext(parts)) == 1000
            await anyio.wait_all_tasks_blocked()
            assert made[0] <= 1 + 3 * AHEAD
            assert not closed.is_set()
        with anyio.fail_after(5):
            await closed.wait()


async def leave_after_one(asker, service):
    async with reply_body(asker, service) as parts:
        await anext(parts)
        raise ValueError("enough")


async def test_a_reader_that_leaves_ends_a_handler_that_has_nothing_to_say(node):
    closed = anyio.Event()

    async def silent(request, body):
        async def source():
            try:
                yield b"x"
                await anyio.sleep_forever()
            finally:
                closed.set()

        return source()

    async with hub_and_client(node) as (hub, asker), serving_body(hub, "silent", silent):
        with pytest.raises(ValueError, match="enough"):
            await leave_after_one(asker, "silent")
        with anyio.fail_after(5):
            await closed.wait()


async def test_a_reply_that_breaks_off_says_why(node, monkeypatch):
    async def breaks(request, body):
        async def source():
            yield b"x" * 10
            raise ValueError("out of paper")

        return source()

    async with hub_and_client(node) as (hub, asker), serving_body(hub, "breaks", breaks):
        with pytest.raises(HandlerError, match="ValueError: out of paper"), anyio.fail_after(5):
            await fetched(asker, "breaks")


async def test_a_reply_over_the_limit_breaks_off(copier, monkeypatch):
    monkeypatch.setattr(reply_bodies, "BODY_BYTES_MAX", 1_000_000)
    with pytest.raises(PayloadTooLargeError, match="a reply of at most 1000000 bytes"), anyio.fail_after(5):
        await fetched(copier, "copy", 200, [b"x" * 10_000])


async def test_a_reply_that_nobody_reads_is_given_up(node, monkeypatch):
    monkeypatch.setattr(reply_bodies, "IDLE_S", 0.1)
    closed = anyio.Event()

    async def endless(request, body):
        async def source():
            try:
                while True:
                    yield b"x"
            finally:
                closed.set()

        return source()

    async with (
        hub_and_client(node) as (hub, asker),
        serving_body(hub, "endless", endless),
        reply_body(asker, "endless") as parts,
    ):
        await anext(parts)
        with anyio.fail_after(5):
            await closed.wait()
        with pytest.raises(RequestTimeoutError, match="nobody asked for part"):
            [part async for part in parts]
