"""Requests to clusters that are no members go to their HTTP endpoint."""

from contextlib import asynccontextmanager

import anyio
import pytest

from mpreg_core.limits import REQUEST_BYTES_MAX
from mpreg_core.node.actions import Invoke
from mpreg_core.runtime import clock
from mpreg_core.runtime.forward import Forwarder

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def server(status=b"200 OK", body=b'{"ok": true}', silent=False):
    """A cluster's endpoint: gives its URL and what it was sent."""
    received = []

    async def handle(stream):
        async with stream:
            request = b""
            while not request.endswith(b'{"a":1}'):
                request += await stream.receive()
            received.append(request)
            if silent:
                await anyio.sleep_forever()
            head = b"HTTP/1.1 " + status + b"\r\nlocation: http://127.0.0.1:1/\r\nconnection: close\r\n"
            await stream.send(head + b"content-length: %d\r\n\r\n" % len(body) + body)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield f"http://127.0.0.1:{port}/orders", received
        tasks.cancel_scope.cancel()


async def post(endpoint, timeout_s=5.0):
    forwarder = Forwarder()
    try:
        deadline_ns = clock.now_ns() + round(timeout_s * 1e9)
        return await forwarder.post(Invoke("id-1", "orders", b'{"a":1}', ("a", "b"), deadline_ns, endpoint))
    finally:
        await forwarder.close()


async def test_the_payload_is_posted_and_the_answer_comes_back():
    async with server() as (url, received):
        assert await post(url) == ("", b'{"ok": true}', "")
    assert received[0].startswith(b"POST /orders HTTP/1.1")
    assert b"x-mpreg-service: orders" in received[0].lower()
    assert received[0].endswith(b'{"a":1}')


@pytest.mark.parametrize("status", [b"500 Oh", b"302 Found", b"404 No"])
async def test_any_other_answer_is_the_handlers_failure_and_redirects_are_not_followed(status):
    async with server(status) as (url, _):
        code, _, message = await post(url)
    assert code == "handler_failed"
    assert status.split()[0].decode() in message


async def test_an_endpoint_where_nobody_listens_is_unavailable_at_once():
    code, _, message = await post("http://127.0.0.1:9/")
    assert code == "unavailable"
    assert "127.0.0.1:9" in message


async def test_a_silent_endpoint_ends_in_a_timeout():
    async with server(silent=True) as (url, _):
        assert (await post(url, 0.2))[0] == "timeout"


async def test_an_answer_over_the_limit_is_refused():
    async with server(body=b"x" * (REQUEST_BYTES_MAX + 1)) as (url, _):
        assert (await post(url))[0] == "payload_too_large"


@pytest.mark.parametrize("endpoint", ["file:///etc/passwd", "node-7", "ftp://host/"])
async def test_only_http_is_spoken(endpoint):
    assert (await post(endpoint))[0] == "handler_failed"
