"""`mpreg_core.client` against real nodes over real sockets, on every backend."""

import socket
import time
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest
from real_nodes import port_of, until

from mpreg_core.client import Client
from mpreg_core.client.link import Link
from mpreg_core.errors import (
    ConfigError,
    ForbiddenError,
    HandlerError,
    InvalidInputError,
    NoRouteError,
    OverloadedError,
    PayloadTooLargeError,
    RequestError,
    RequestTimeoutError,
    UnauthenticatedError,
    UnavailableError,
)
from mpreg_core.limits import REQUEST_BYTES_MAX
from mpreg_core.node import requests as requests_module
from mpreg_core.security.tokens import LEEWAY_S, Tokens
from mpreg_core.wire.client import Publish

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def hub_with(node, **options):
    """A hub, and a client of it."""
    hub = node("hub", "local", "us")
    async with hub as running, Client(port_of(hub), **options) as client:
        yield running, client


async def double(request):
    return {"twice": request.payload * 2, "for": request.caller}


async def test_a_client_asks_serves_publishes_and_subscribes(node):
    async with hub_with(node) as (hub, client):
        assert client.hub == "hub"
        await client.serve("double", double)
        reply = await client.request("double", 21)
        assert (reply.payload, reply.served_by, reply.path) == ({"twice": 42, "for": "hub"}, "hub", ("hub",))
        assert (await hub.request("double", "ab")).payload["twice"] == "abab"
        assert (await client.request("mpreg.echo", {"hi": 1}, target="hub")).payload == {"hi": 1}
        async with client.subscribe("orders.#") as messages:
            sent = await client.publish("orders.eu", {"id": 7}, at_least_once=True)
            with anyio.fail_after(5):
                assert await anext(messages) == sent
                await hub.publish("orders.us", 1)
                assert (await anext(messages)).payload == 1
        await client.stop_serving("double")
        with pytest.raises(NoRouteError):
            await client.request("double", 1)


async def test_a_request_crosses_the_tree_between_clients_of_two_nodes(node):
    above = node("r", "regional", "us")
    async with above, Client(port_of(above)) as there:
        hub = node("l", "local", "us", above)
        async with hub, Client(port_of(hub)) as here:
            await there.serve("double", double)
            with anyio.fail_after(5):
                while True:
                    try:
                        reply = await here.request("double", 2)
                        break
                    except NoRouteError:
                        await anyio.sleep(0.02)
            assert (reply.payload["twice"], reply.served_by, reply.path) == (4, "r", ("l", "r"))
            async with there.subscribe("a.*") as messages:
                await here.publish("a.b", 1)
                with anyio.fail_after(5):
                    assert (await anext(messages)).origin == "l"


async def test_clients_of_a_queue_share_the_messages_and_the_others_get_all(node):
    async with hub_with(node) as (hub, client), Client(hub.status().node.routing) as other:
        got = []

        async def take(name, messages):
            async for message in messages:
                got.append((name, message.payload))

        async with (
            client.subscribe("jobs.*", queue="w") as first,
            client.subscribe("jobs.#", queue="w") as second,
            other.subscribe("jobs.*", queue="w") as third,
            other.subscribe("jobs.*") as all_of_them,
            anyio.create_task_group() as tasks,
        ):
            for name, messages in (("1", first), ("2", second), ("3", third), ("all", all_of_them)):
                tasks.start_soon(take, name, messages)
            for number in range(30):
                await client.publish("jobs.mail", number)
            with anyio.fail_after(5):
                while len(got) < 60:
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        assert sorted(payload for name, payload in got if name == "all") == list(range(30))
        assert sorted(payload for name, payload in got if name != "all") == list(range(30))
        assert {name for name, _ in got} == {"1", "2", "3", "all"}


async def test_a_request_whose_caller_is_cancelled_stops_its_handler(node):
    begun, ended = anyio.Event(), anyio.Event()

    async def slow(request):
        begun.set()
        try:
            await anyio.sleep(60)
        finally:
            ended.set()

    async with hub_with(node) as (hub, server), Client(hub.status().node.routing) as asker:
        await server.serve("slow", slow)
        await hub.serve("slower", slow)
        for service in ("slow", "slower"):
            begun, ended = anyio.Event(), anyio.Event()
            with anyio.fail_after(5):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(partial(asker.request, service, 1, timeout=30))
                    await begun.wait()
                    tasks.cancel_scope.cancel()
                await ended.wait()
        with anyio.move_on_after(0.2):
            await hub.request("slower", 1, timeout=30)
        with anyio.fail_after(5):
            while len(hub._driver.core.requests):
                await anyio.sleep(0.01)


async def test_errors_come_out_as_what_they_are(node):
    async def broken(request):
        raise ValueError("no")

    async def slow(request):
        await anyio.sleep(60)

    async with hub_with(node) as (_, client):
        await client.serve("broken", broken)
        await client.serve("slow", slow)
        with pytest.raises(HandlerError, match="ValueError: no") as caught:
            await client.request("broken", 1)
        assert not caught.value.definite
        with pytest.raises(RequestTimeoutError):
            await client.request("slow", 1, timeout=0.2)
        with pytest.raises(NoRouteError) as missing:
            await client.request("nowhere", 1)
        assert missing.value.definite
        for wrong in ({"timeout": 0}, {"timeout": 1e9}):
            with pytest.raises(InvalidInputError):
                await client.request("slow", 1, **wrong)
        with pytest.raises(PayloadTooLargeError):
            await client.request("slow", "x" * REQUEST_BYTES_MAX)
        with pytest.raises(InvalidInputError, match="a topic of words"):
            await client.publish("orders.*", 1)


@pytest.mark.parametrize("hub", ["", "host", "host:", "host:x", ":80", "host:99999"])
async def test_an_address_that_is_none_is_refused(hub):
    with pytest.raises(ConfigError, match="host:routing_port"):
        Client(hub)


async def test_without_a_hub_entering_fails_in_time_and_says_who_was_asked(node):
    hub = node("hub", "local", "us")
    async with hub:
        gone = port_of(hub)
    with pytest.raises(UnavailableError, match="no hub answers in") as caught:
        async with Client(gone, connect_timeout=0.3):
            pass
    assert caught.value.where == gone


async def test_a_hub_of_another_federation_refuses_and_the_reason_comes_out(node):
    hub = node("hub", "local", "us")
    async with hub:
        with pytest.raises(RequestError, match="is of federation") as caught:
            async with Client(port_of(hub), federation="another", connect_timeout=0.5):
                pass
        assert caught.value.code == "federation"


async def run(node, running, end):
    async with node:
        running.set()
        await end.wait()


async def test_when_its_hub_dies_a_client_goes_on_at_the_next_one_and_holds_there_what_it_held(node, monkeypatch):
    first, second = node("one", "local", "us"), node("two", "local", "us")
    running, end, connect = anyio.Event(), anyio.Event(), Link.open

    async def farther(host, port, name, *more):
        if name == "moving" and f"{host}:{port}" == port_of(second):
            await end.wait()
        return await connect(host, port, name, *more)

    monkeypatch.setattr(Link, "open", farther)
    async with second as staying, anyio.create_task_group() as tasks:
        tasks.start_soon(run, first, running, end)
        await running.wait()
        async with Client(port_of(second)) as judge, Client(port_of(first), port_of(second), name="moving") as client:
            assert client.hub == "one"
            await client.serve("double", double)
            async with client.subscribe("a.#") as messages:
                end.set()
                await until(lambda: client.hub == "two")
                await until(lambda: any("double" in each.services for each in staying.clusters()))
                assert (await judge.request("double", 4)).payload["twice"] == 8
                await judge.publish("a.b", 1)
                with anyio.fail_after(5):
                    assert (await anext(messages)).payload == 1
        await until(lambda: not staying.clusters())


async def test_a_hub_that_stops_hands_its_clients_on_without_a_failed_request(node, monkeypatch):
    first, second = node("one", "local", "us"), node("two", "local", "us")
    running, end, connect = anyio.Event(), anyio.Event(), Link.open

    async def farther(host, port, name, *more):
        if name == "moving" and f"{host}:{port}" == port_of(second):
            await end.wait()
        return await connect(host, port, name, *more)

    async def slowly(request):
        await anyio.sleep(0.1)
        return request.payload

    async def ask(client, answers):
        while client.hub != "two" or len(answers) < 40:
            answers.append((await client.request("slow", len(answers))).served_by)

    monkeypatch.setattr(Link, "open", farther)
    answers: list[str] = []
    async with second as staying, anyio.create_task_group() as tasks:
        tasks.start_soon(run, first, running, end)
        await running.wait()
        await staying.serve("slow", slowly)
        async with Client(port_of(first), port_of(second), name="moving") as client:
            await client.serve("slow", slowly)
            async with anyio.create_task_group() as asking:
                for _ in range(4):
                    asking.start_soon(ask, client, answers)
                await until(lambda: len(answers) > 8)
                end.set()
    assert {"one", "two"} == set(answers)


async def test_what_broke_halfway_fails_unless_it_may_be_asked_again(node):
    runs = []

    async def wait(request):
        runs.append(request.payload)
        await anyio.sleep(0.3 if len(runs) > 2 else 60)
        return "done"

    outcomes = {}

    async def ask(client, name, idempotent):
        try:
            outcomes[name] = (await client.request("wait", name, timeout=8, idempotent=idempotent)).payload
        except UnavailableError as error:
            outcomes[name] = error

    hub = node("hub", "local", "us")
    async with hub as running, anyio.create_task_group() as tasks:
        await running.serve("wait", wait)
        async with Client(port_of(hub)) as client:
            tasks.start_soon(ask, client, "once", False)
            tasks.start_soon(ask, client, "again", True)
            await until(lambda: len(runs) == 2)
            client._link._socket.shutdown(socket.SHUT_RDWR)
            await until(lambda: len(outcomes) == 2)
    assert outcomes["again"] == "done"
    assert (outcomes["once"].definite, outcomes["once"].where) == (False, "hub")
    assert sorted(runs) == ["again", "again", "once"]


async def test_a_client_leaves_nothing_behind(node):
    async with hub_with(node) as (hub, client):
        await client.serve("double", double)
        assert hub.clusters()[0].services == ("double",)
        async with Client(f"127.0.0.1:{hub.status().node.routing.rpartition(':')[2]}") as other:
            await other.serve("more", double)
            assert hub.clusters()[0].services == ("double", "more")
        await until(lambda: hub.clusters()[0].services == ("double",))


async def test_the_bodys_own_error_comes_out_as_it_is(node):
    with pytest.raises(ZeroDivisionError):
        async with hub_with(node):
            raise ZeroDivisionError


@pytest.mark.parametrize("payload", [b"\xff", b"", b'{"half":', b"[" * 5_000], ids=["binary", "empty", "half", "deep"])
async def test_a_message_that_is_no_json_is_refused_and_hurts_no_hub(node, payload):
    async with hub_with(node) as (hub, client):
        with pytest.raises(InvalidInputError, match="JSON"):
            await client._done(lambda number: Publish(number, "orders.eu", payload), 5.0, again=False)
        async with hub.subscribe("orders.#") as messages:
            sent = await client.publish("orders.eu", 1)
            with anyio.fail_after(5):
                assert await anext(messages) == sent


async def test_a_full_hub_says_when_to_ask_again(node, monkeypatch):
    monkeypatch.setattr(requests_module, "REQUESTS_PENDING_MAX", 1)
    go_on = anyio.Event()

    async def slow(request):
        await go_on.wait()

    async with hub_with(node) as (hub, client), anyio.create_task_group() as tasks:
        await hub.serve("slow", slow)
        tasks.start_soon(client.request, "slow", 1)
        await until(lambda: len(hub._driver.core.requests))
        for asker in (client, hub):
            with pytest.raises(OverloadedError) as refused:
                await asker.request("slow", 2)
            assert (refused.value.definite, refused.value.retry_after_s) == (True, 0.05)
        go_on.set()


SECRET = "0123456789abcdef0123456789abcdef"
JWT = {"authentication": {"method": "jwt", "secret_key": SECRET, "issuer": "issuer"}}


def token(role, expires_in_s=60):
    return Tokens(SECRET, "issuer", "mpreg", {}).issue("test", role, int(time.time()), expires_in_s)


async def test_a_hub_that_wants_tokens_takes_no_client_without_one(node):
    hub = node("hub", "local", "us", security=JWT)
    async with hub:
        for wrong in ("", "a.b.c", token("operator", -60)):
            with pytest.raises(UnauthenticatedError):
                async with Client(port_of(hub), token=wrong):
                    pass
        async with Client(port_of(hub), token=token("viewer")) as client:
            async with client.subscribe("a.#"):
                with pytest.raises(ForbiddenError, match="publishing takes the role operator, and 'test' is viewer"):
                    await client.publish("a.b", 1)
            with pytest.raises(ForbiddenError):
                await client.request("mpreg.echo", 1)
            with pytest.raises(ForbiddenError):
                await client.serve("double", double)


async def test_a_client_comes_with_another_token_before_the_one_it_has_expires(node):
    hub, issued = node("hub", "local", "us", security=JWT), []

    def next_token():
        issued.append(token("operator", expires_in_s=6 - LEEWAY_S if not issued else 60))  # good for 6 s, then for long
        return issued[-1]

    async with hub, Client(port_of(hub), token=next_token) as client:
        await client.serve("double", double)
        async with client.subscribe("a.#") as messages:
            asked = 0
            with anyio.fail_after(10):
                while len(issued) < 2:
                    assert (await client.request("double", 2)).payload["twice"] == 4
                    asked += 1
                    await anyio.sleep(0.02)
                assert (await client.request("double", 2, idempotent=True)).payload["twice"] == 4
                await client.publish("a.b", asked)
                assert (await anext(messages)).payload == asked


async def test_a_client_whose_token_has_expired_says_so_instead_of_waiting(node):
    hub, issued = node("hub", "local", "us", security=JWT), []

    def only_once():
        issued.append(token("operator", expires_in_s=1 - LEEWAY_S) if not issued else "")
        return issued[-1]

    async with hub, Client(port_of(hub), token=only_once) as client:
        assert (await client.request("mpreg.echo", 1)).payload == 1
        await until(lambda: client.hub is None)
        with pytest.raises(UnauthenticatedError):
            await client.request("mpreg.echo", 1, timeout=0.3)


async def test_a_token_that_cannot_be_had_now_is_asked_for_again(node):
    hub, tries = node("hub", "local", "us", security=JWT), []

    def from_a_file():
        tries.append(1)
        if len(tries) < 3:
            raise FileNotFoundError("token")
        return token("operator")

    async with hub:
        async with Client(port_of(hub), token=from_a_file) as client:
            assert (await client.request("mpreg.echo", 1)).payload == 1
        assert len(tries) == 3
        with pytest.raises(UnauthenticatedError, match="cannot get a token: FileNotFoundError"):
            async with Client(port_of(hub), token=lambda: open("/no/token").read(), connect_timeout=0.3):
                pass
