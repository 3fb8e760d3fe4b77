"""Writing at once: what needs no waiting, whole and in order with what had to wait, plain and over TLS."""

from functools import partial
from typing import Any

import anyio
import pytest
from certificates import files

from mpreg_core import Endpoint
from mpreg_core.limits import FRAME_BYTES_MAX
from mpreg_core.security.certificates import Certificates
from mpreg_transport_tcp.options import TcpOptions
from mpreg_transport_tcp.plugin import SPEC

__all__ = ["files"]

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["plain", "tls"])
def made(request: Any, serve: Any, files: Any) -> Any:
    """`async with made(**options) as node`."""

    def serving(**options: Any) -> Any:
        if request.param == "plain":
            return serve(**options)
        tls = Certificates(*files.node(), files.ca, "mpreg")
        return serve(create=partial(SPEC.create_secure, TcpOptions(**options), tls))

    return serving


async def test_without_a_connection_nothing_is_taken(made: Any) -> None:
    async with made() as one, made() as two:
        assert not one.transport.send_now(two.gossip, "gossip", [b"early"])
        await one.send(two.gossip, b"first")
        assert one.transport.send_now(two.gossip, "gossip", [b"second", b"third"])
        await two.sink.until(lambda: two.sink.bodies == [b"first", b"second", b"third"])
        source = two.sink.frames[0][1]
        assert two.transport.send_now(source, "gossip", [b"back"])
        await one.sink.until(lambda: one.sink.bodies == [b"back"])
        assert one.transport.stats()["frames_out"] == 3


async def test_a_peer_that_is_slow_is_not_written_to_beyond_what_it_takes(made: Any) -> None:
    async with made() as one, made() as two:
        await one.send(two.gossip, b"begin")
        await two.sink.until(lambda: two.sink.bodies == [b"begin"])
        sent = [b"begin"]
        frames = [b"%06d" % number + bytes(1_000) for number in range(64)]
        for _ in range(10_000):  # nobody reads meanwhile: this task does not let go
            if not one.transport.send_now(two.gossip, "gossip", frames):
                break
            sent += frames
        else:
            pytest.fail("it takes everything")
        await one.send(two.gossip, b"waited")
        await one.send(two.gossip, b"end")
        await two.sink.until(lambda: two.sink.bodies[-1] == b"end")
        assert two.sink.bodies == [*sent, b"waited", b"end"]


async def test_what_was_taken_arrives_when_a_transport_closes(made: Any) -> None:
    async with made() as two:
        async with made() as one:
            await one.send(two.gossip, b"begin")
            count = 1
            while one.transport.send_now(two.gossip, "gossip", [bytes(100_000)]):
                count += 1
            await one.transport.close()
        await two.sink.until(lambda: len(two.sink.frames) == count)
        assert two.sink.reasons == []


@pytest.mark.parametrize("frames", [[b""], [b"a", b""], [bytes(FRAME_BYTES_MAX + 1)], [bytes(100_000)] * 3])
async def test_what_is_no_frame_or_more_than_one_write_is_left_to_send(made: Any, frames: Any) -> None:
    async with made() as one, made() as two:
        await one.send(two.gossip, b"begin")
        assert not one.transport.send_now(two.gossip, "gossip", frames)
        assert one.transport.send_now(two.gossip, "gossip", [b"end"])
        await two.sink.until(lambda: two.sink.bodies == [b"begin", b"end"])


async def test_a_connection_that_broke_takes_nothing(made: Any) -> None:
    async with made() as one:
        async with made() as two:
            await one.send(two.gossip, b"begin")
            await two.sink.until(lambda: two.sink.bodies == [b"begin"])
        with anyio.fail_after(10):
            while one.transport.send_now(two.gossip, "gossip", [b"late"]):
                await anyio.sleep(0.005)
        assert not one.transport.send_now(two.gossip, "gossip", [b"late"])


async def test_without_pooling_all_is_left_to_send(made: Any) -> None:
    async with made(connection_pooling=False) as one, made() as two:
        await one.send(two.gossip, b"begin")
        assert not one.transport.send_now(two.gossip, "gossip", [b"more"])


async def test_a_transport_that_does_not_serve_takes_nothing(serve: Any) -> None:
    assert not SPEC.create(TcpOptions()).send_now(Endpoint("127.0.0.1", 1), "gossip", [b"x"])
