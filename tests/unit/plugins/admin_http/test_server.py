"""The server over real sockets, on each event loop: it starts, serves and ends with its task."""

import socket
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from mpreg_core import ConfigError, Endpoint, NodeStateChanged, OverloadedError, StateChanged, TransportError
from mpreg_core.limits import HTTP_BODY_BYTES_MAX

pytestmark = pytest.mark.anyio

STREAMS = ["/api/events", "/api/state/k/watch", "/api/messages/stream?pattern=%23"]


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ]
)
def anyio_backend(request):
    return request.param


def client_of(endpoint, **options):
    return httpx2.AsyncClient(base_url=f"http://{endpoint}", trust_env=False, timeout=10, **options)


async def refusal(service, node, **place):
    """The error that keeps the service from starting."""
    try:
        async with service(node, **place):
            pytest.fail("it started")
    except* (ConfigError, TransportError) as caught:
        error = caught
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    return error


def is_free(endpoint):
    with socket.socket() as sock:
        return sock.connect_ex((endpoint.host, endpoint.port)) != 0


class Lines:
    """A stream of events, read line by line. HTTP/1.0, so that what comes is the events alone."""

    def __init__(self, stream):
        self._stream = BufferedByteReceiveStream(stream)

    async def line(self):
        return (await self._stream.receive_until(b"\n", 100_000)).decode()

    async def rest(self):
        found = []
        try:
            while True:
                found.append(await self.line())
        except anyio.IncompleteRead:
            return found

    async def event(self):
        """The fields of the next event; comments are passed over."""
        fields = {}
        while True:
            line = await self.line()
            if not line and fields:
                return fields
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value


@asynccontextmanager
async def streaming(endpoint, path, last_event_id=""):
    async with await anyio.connect_tcp(*endpoint) as stream:
        resume = f"last-event-id: {last_event_id}\r\n" if last_event_id else ""
        await stream.send(f"GET {path} HTTP/1.0\r\nhost: localhost\r\n{resume}\r\n".encode())
        lines = Lines(stream)
        assert " 200 " in await lines.line()
        while await lines.line() != "\r":
            pass
        assert await lines.line() == ": open"
        yield lines


async def test_it_serves_the_api_and_the_metrics_page(node, service):
    async with service(node) as running, client_of(running.http) as client, client_of(running.metrics) as scraper:
        assert (await client.get("/api/status")).json()["node"]["id"] == "a"
        assert (await client.put("/api/state/x", json={"value": 1})).json()["revision"] == 1
        assert "mpreg_build_info" in (await scraper.get("/metrics")).text


async def test_both_ports_are_free_again_within_a_second_of_its_cancellation(node, service):
    async with service(node) as running, client_of(running.http) as client, client_of(running.metrics) as scraper:
        await client.get("/livez")
        await scraper.get("/metrics")
        assert await running.stop() < 1
        assert is_free(running.http)
        assert is_free(running.metrics)
        assert node.watchers("events") == 0


@pytest.mark.parametrize("path", STREAMS)
async def test_an_open_stream_ends_with_drain_when_the_service_stops(node, service, path):
    async with service(node) as running, streaming(running.http, path) as stream:
        assert await running.stop() < 1
        assert (await stream.rest())[-3:] == ["event: drain", "data: {}", ""]


async def test_a_stream_whose_client_does_not_read_cannot_hold_up_the_end(node, service):
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        async with service(node) as running:
            await anyio.to_thread.run_sync(client.connect, tuple(running.http))
            client.sendall(b"GET /api/messages/stream?pattern=x HTTP/1.1\r\nhost: localhost\r\n\r\n")
            with anyio.fail_after(5):
                while not node.watchers("messages"):
                    await anyio.lowlevel.checkpoint()
            for _ in range(100):
                await node.publish("x", "y" * 100_000)
            await anyio.wait_all_tasks_blocked()
            assert await running.stop() < 1.5


async def test_a_request_that_does_not_end_is_answered_503_when_the_service_stops(node, service):
    node.hangs = True
    async with service(node) as running, client_of(running.http) as client:
        answers = []

        async def ask():
            answers.append(await client.post("/api/requests", json={"service": "s"}))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            with anyio.fail_after(5):
                while not node.asked:
                    await anyio.lowlevel.checkpoint()
            assert await running.stop() < 1
        assert answers[0].status_code == 503
        assert answers[0].json()["error"] | {"code": "unavailable", "definite": False} == answers[0].json()["error"]


async def test_a_connection_with_half_a_request_cannot_hold_up_the_end(node, service):
    async with service(node) as running, await anyio.connect_tcp(*running.http) as stream:
        await stream.send(b"POST /api/requests HTTP/1.1\r\nhost: local")
        await anyio.wait_all_tasks_blocked()
        assert await running.stop() < 1.5
        assert is_free(running.http)


@pytest.mark.parametrize("taken", ["http", "metrics"])
async def test_a_port_in_use_is_told_before_it_starts_and_leaves_nothing_open(node, service, taken, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        error = await refusal(service, node, ports={taken: port})
    assert isinstance(error, TransportError)
    assert f"127.0.0.1:{port}" in error.message
    assert "address already in use" in error.message
    assert error.where == {"http": "network.listen_port", "metrics": "monitoring.metrics_port"}[taken]


async def test_a_host_that_is_not_ours_is_told_before_it_starts(node, service):
    error = await refusal(service, node, host="192.0.2.1", insecure=True)
    assert isinstance(error, TransportError)
    assert "192.0.2.1" in error.message


@pytest.mark.parametrize(
    "told", [{"insecure": True}, {"security": {"authentication": {"method": "none"}}}], ids=["option", "no method"]
)
async def test_it_refuses_an_open_address_unless_told_otherwise(node, service, told):
    error = await refusal(service, node, host="0.0.0.0")
    assert isinstance(error, ConfigError)
    assert "configure security.authentication, or set its method to none" in error.message
    async with (
        service(node, host="0.0.0.0", **told) as running,
        client_of(Endpoint("127.0.0.1", running.http.port)) as client,
    ):
        assert (await client.get("/livez", headers={"host": "node-7.example"})).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "::1"])
async def test_it_listens_on_a_name_and_on_ipv6(node, service, host):
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    async with service(node, host=host) as running, client_of(running.http) as client:
        assert (await client.get("/livez")).status_code == 200


async def test_names_that_point_here_are_not_enough_on_either_port(node, service):
    async with service(node) as running:
        for endpoint in (running.http, running.metrics):
            async with client_of(endpoint) as client:
                answer = await client.get("/metrics", headers={"host": f"rebound.example:{endpoint.port}"})
                assert answer.status_code == 421


async def test_a_body_over_the_limit_is_413_on_the_wire(node, service):
    async with service(node) as running, client_of(running.http) as client:
        answer = await client.post("/api/requests", content=b" " * (HTTP_BODY_BYTES_MAX + 1))
        assert answer.status_code == 413
        assert (await client.get("/livez")).status_code == 200


async def test_garbage_on_the_port_is_refused_and_harms_nobody(node, service):
    async with service(node) as running, client_of(running.http) as client:
        for garbage in (
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"GET\r\n\r\n",
            b"\x00" * 1000,
            b"GET / HTTP/1.1\r\n" + b"a" * 40_000,
        ):
            async with await anyio.connect_tcp(*running.http) as stream:
                await stream.send(garbage)
                await stream.send_eof()
                with anyio.fail_after(5):
                    try:
                        while await stream.receive():
                            pass
                    except (anyio.EndOfStream, anyio.BrokenResourceError):
                        pass
        assert (await client.get("/livez")).status_code == 200


async def test_many_requests_at_once_are_all_answered(node, service):
    async with service(node) as running, client_of(running.http) as client:
        statuses = []

        async def write(number):
            for step in range(5):
                answer = await client.put(f"/api/state/k{number}", json={"value": step})
                statuses.append(answer.status_code)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(write, number)
        assert statuses == [200] * 100
        assert (await client.get("/api/state")).json()["revision"] == 100


async def test_events_stream_as_they_happen_and_resume_after_the_last_id(node, service):
    async with service(node) as running:
        async with streaming(running.http, "/api/events") as stream:
            node.emit(NodeStateChanged("draining"))
            node.emit(NodeStateChanged("ready"))
            first = await stream.event()
            assert '"state":"draining"' in first["data"]
        node.emit(StateChanged("k", "pool", 1, False))
        async with streaming(running.http, "/api/events", first["id"]) as stream:
            assert '"state":"ready"' in (await stream.event())["data"]
            assert '"type":"StateChanged"' in (await stream.event())["data"]


async def test_a_reader_that_fell_behind_is_told_how_much_it_lost(node, service, monkeypatch):
    monkeypatch.setattr("mpreg_admin_http.ring.KEPT_MAX", 2)
    async with service(node) as running:
        async with streaming(running.http, "/api/events") as stream:
            node.emit(StateChanged("k", "pool", 0, False))
            first = await stream.event()
        for revision in range(1, 6):
            node.emit(StateChanged("k", "pool", revision, False))
        async with streaming(running.http, "/api/events", first["id"]) as stream:
            gap, oldest = await stream.event(), await stream.event()
        assert gap == {"event": "gap", "data": '{"lost": 3}'}
        assert '"revision":4' in oldest["data"]


async def test_a_watch_shows_the_entry_now_and_at_each_change_of_it_alone(node, service):
    await node.state.put("k", 1)
    async with service(node) as running, streaming(running.http, "/api/state/k/watch") as stream:
        assert '"value":1' in (await stream.event())["data"]
        await node.state.put("other", 9)
        await node.state.put("k", 9, scope="federation")
        await node.state.put("k", 2)
        assert '"value":2' in (await stream.event())["data"]
        await node.state.delete("k")
        assert '"deleted":true' in (await stream.event())["data"]


async def test_a_watch_goes_on_from_a_revision_with_every_change_since(node, service):
    for value in range(1, 4):
        await node.state.put("a/k", value)
    await node.state.put("a/l", 9)
    async with service(node) as running:
        async with streaming(running.http, "/api/state/a/k/watch?since=1") as stream:
            found = [await stream.event() for _ in range(2)]
            assert [each["id"] for each in found] == ["2", "3"]
        async with streaming(running.http, "/api/state/a/k/watch", "2") as stream:
            assert (await stream.event())["id"] == "3"
        async with streaming(running.http, "/api/state/a/watch?prefix=true&since=2") as stream:
            assert [(await stream.event())["id"] for _ in range(2)] == ["3", "4"]


async def test_a_watch_of_changes_that_are_forgotten_says_so(node, service):
    for value in range(1, 4):
        await node.state.put("k", value)
    node.state.oldest = 2
    async with service(node) as running, client_of(running.http) as client:
        answer = await client.get("/api/state/k/watch?since=1")
        assert answer.status_code == 410
        error = answer.json()["error"]
        assert error["code"] == "compacted"
        assert "expected a revision of 2 to 3 to watch from, got 1" in error["message"]
        async with streaming(running.http, "/api/state/k/watch", "nonsense") as stream:
            assert await stream.event() == {"event": "compacted", "data": '{"oldest":2,"revision":3}'}
            now = await stream.event()
            assert now["id"] == "3"
            assert '"value":3' in now["data"]


async def test_published_messages_reach_a_stream(node, service):
    async with (
        service(node) as running,
        client_of(running.http) as client,
        streaming(running.http, "/api/messages/stream?pattern=orders.%23") as stream,
    ):
        await client.post("/api/messages", json={"topic": "orders.eu", "payload": {"text": "a\nb"}})
        data = '{"topic":"orders.eu","payload":{"text":"a\\nb"},"origin":"a","id":"m1"}'
        assert await stream.event() == {"data": data}


async def test_a_subscription_that_is_refused_is_an_error_and_not_a_stream(node, service):
    node.fail_with = OverloadedError("too many subscriptions")
    async with service(node) as running, client_of(running.http) as client:
        answer = await client.get("/api/messages/stream?pattern=x")
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "overloaded"


async def test_a_stream_ends_on_the_server_when_its_client_goes(node, service):
    async with service(node) as running:
        async with streaming(running.http, "/api/messages/stream?pattern=x"):
            assert node.watchers("messages") == 1
        with anyio.fail_after(5):
            while node.watchers("messages"):
                await anyio.lowlevel.checkpoint()


async def test_a_quiet_stream_shows_that_it_is_alive(node, service, monkeypatch):
    monkeypatch.setattr("mpreg_admin_http.sse.HEARTBEAT_S", 0.02)
    async with service(node) as running, streaming(running.http, "/api/events") as stream:
        assert await stream.line() == ""
        assert await stream.line() == ": alive"


async def test_more_requests_than_the_bound_are_refused_at_once(node, service, monkeypatch):
    monkeypatch.setattr("mpreg_admin_http.guard.REQUESTS_OPEN_MAX", 1)
    async with service(node) as running, client_of(running.http) as client:
        async with streaming(running.http, "/api/events"):
            answer = await client.get("/livez")
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "overloaded"
