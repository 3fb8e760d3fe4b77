"""Health checks over real sockets: what passes, and what is said of what does not."""

import struct
import sys
import tracemalloc
from contextlib import asynccontextmanager, suppress

import anyio
import pytest

from mpreg_core.runtime.checking import OUTPUT_BYTES_MAX, Checker
from mpreg_core.runtime.grpc_health import grpc_status

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def serving(handler):
    """A server on loopback; gives `host:port`."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handler)
        yield f"127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        tasks.cancel_scope.cancel()
    await listener.aclose()


@asynccontextmanager
async def checker():
    made = Checker()
    try:
        yield made
    finally:
        await made.close()


def answering(status):
    async def handler(stream):
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)

    return handler


@pytest.mark.parametrize(
    ("status", "error"), [(200, ""), (204, ""), (503, "expected a status of 2xx, got 503"), (302, "302")]
)
async def test_http_passes_with_a_status_of_success(status, error):
    async with serving(answering(status)) as place, checker() as made:
        found = await made.check(f"http://{place}/health", 2)
    assert (error in found) if error else not found


async def silent(stream):
    async with stream:
        await anyio.sleep_forever()


async def test_tcp_passes_with_a_connection():
    async with serving(silent) as place, checker() as made:
        assert await made.check(f"tcp://{place}", 2) == ""
    async with checker() as made:
        assert await made.check(f"tcp://{place}", 2) != ""


async def test_whoever_does_not_answer_in_time_fails():
    async with serving(silent) as place, checker() as made:
        assert await made.check(f"http://{place}/", 0.1) == "no answer within 0.1 s"
        assert await made.check(f"grpc://{place}", 0.1) == "no answer within 0.1 s"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("", ""),
        ("import sys; sys.exit('out of disk')", "exit code 1: out of disk"),
        ("import time; time.sleep(9)", "no answer"),
    ],
)
async def test_a_command_passes_with_exit_code_0(code, error):
    async with checker() as made:
        found = await made.check(f'command:{sys.executable} -c "{code}"', 1)
    assert found.startswith(error)
    assert bool(found) == bool(error)


async def test_a_command_that_talks_without_end_does_not_fill_the_memory():
    code = "import sys; [sys.stdout.write(8192 * chr(46)) for _ in range(4000)]; sys.exit(3)"
    tracemalloc.start()
    try:
        async with checker() as made:
            found = await made.check(f'command:{sys.executable} -c "{code}"', 10)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == "exit code 3: " + OUTPUT_BYTES_MAX * "."
    assert peak < 4_000_000, "of 32 MB"


def frame(kind, flags, stream_id, body):
    return struct.pack("!BHBBI", 0, len(body), kind, flags, stream_id) + body


def health(message, *, in_parts=False):
    """A server of grpc.health.v1 that gives one answer: settings first, a ping in between, trailers last."""

    async def handler(stream):
        async with stream:
            asked = b""
            while b"grpc.health.v1" not in asked or len(asked) < 150:
                asked += await stream.receive()
            answer = frame(4, 0, 0, b"") + frame(6, 0, 0, b"12345678") + frame(1, 4, 1, b"\x88")
            if message is not None:
                data = b"\0" + struct.pack("!I", len(message)) + message
                answer += frame(0, 0, 1, data[:3]) + frame(0, 0, 1, data[3:])
            answer += frame(1, 5, 1, b"\x88")
            for at in range(0, len(answer), 5 if in_parts else len(answer)):
                await stream.send(answer[at : at + (5 if in_parts else len(answer))])
            await anyio.sleep_forever()

    return handler


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (b"\x08\x01", ""),
        (b"\x08\x02", "expected SERVING, got NOT_SERVING"),
        (b"", "expected SERVING, got UNKNOWN"),
        (None, "expected SERVING, got no answer from the health service"),
    ],
)
async def test_grpc_passes_with_a_service_that_serves(message, error):
    async with serving(health(message, in_parts=True)) as place, checker() as made:
        assert await made.check(f"grpc://{place}/shop.Pay", 2) == error


async def test_grpc_is_told_from_what_is_none():
    async with serving(answering(200)) as place, checker() as made:
        assert await made.check(f"grpc://{place}", 2) != ""


class Heard:
    """A stream that keeps what was sent, and answers nothing."""

    def __init__(self):
        self.sent = b""

    async def send(self, data):
        self.sent += data

    async def receive(self):
        raise anyio.EndOfStream


@pytest.mark.parametrize(
    ("length", "as_varint"), [(5, b"\x05"), (127, b"\x7f"), (128, b"\x80\x01"), (240, b"\xf0\x01")]
)
async def test_grpc_asks_for_long_names_at_long_hosts_as_both_protocols_want_it(length, as_varint):
    stream = Heard()
    with suppress(anyio.EndOfStream):
        await grpc_status(stream, "h" * 200 + ":1", "s" * length)
    assert stream.sent.endswith(b"\x0a" + as_varint + b"s" * length)
    assert b"\x0a:authority\x7f\x4b" + b"h" * 200 + b":1" in stream.sent  # 202 = 127 + 0x4b, RFC 7541 section 5.1
