"""Garbage, floods and slow senders on both sockets: dropped and counted, while a good peer is served."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from mpreg_core import Endpoint
from mpreg_core.limits import DATAGRAM_BYTES_MAX, FRAME_BYTES_MAX

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def raw_client(to: Endpoint, local_host: str | None = None) -> AsyncIterator[anyio.abc.SocketStream]:
    async with await anyio.connect_tcp(to.host, to.port, local_host=local_host) as stream:
        yield stream


async def is_ended(stream: anyio.abc.SocketStream) -> bool:
    with anyio.fail_after(10):
        try:
            await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return True
    return False


async def assert_served(good: Any, node: Any) -> None:
    """A good peer gets through on both sockets."""
    await good.send_when_it_goes(node.gossip, b"stream")
    good.transport.cast(node.gossip, "gossip", b"datagram")
    await node.sink.until(lambda: {b"stream", b"datagram"} <= set(node.sink.bodies))


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\0\0\0\0", "bad_length"),
        ((FRAME_BYTES_MAX + 1).to_bytes(4, "big"), "oversized"),
        (b"GET / HTTP/1.1\r\n\r\n", "oversized"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "oversized"),
    ],
)
async def test_a_length_that_is_not_allowed_ends_the_connection(serve: Any, sent: bytes, reason: str) -> None:
    async with serve() as node, serve() as good, raw_client(node.gossip) as client:
        await client.send(b"\0\0\0\2ok" + sent)
        assert await is_ended(client)
        assert node.sink.bodies == [b"ok"]
        assert node.sink.reasons == [reason]
        await assert_served(good, node)


async def test_a_frame_cut_short_is_counted(serve: Any) -> None:
    async with serve() as node, serve() as good:
        async with raw_client(node.gossip) as client:
            await client.send(b"\0\0\0\x09half")
        await node.sink.until(lambda: bool(node.sink.drops))
        assert node.sink.reasons == ["truncated"]
        await assert_served(good, node)


async def test_a_slow_sender_is_cut_off(serve: Any) -> None:
    async with serve(connection_timeout=0.2) as node, serve() as good, raw_client(node.gossip) as client:
        await client.send(b"\0\0\0\1x\0\0\0\x09half")
        assert await is_ended(client)
        await node.sink.until(lambda: node.sink.reasons == ["truncated"])
        assert node.transport.stats()["partial_bytes"] == 0
        await assert_served(good, node)


async def test_a_connection_that_never_speaks_is_cut_off(serve: Any) -> None:
    async with serve(connection_timeout=0.2) as node, serve() as good, raw_client(node.gossip) as client:
        assert await is_ended(client)
        assert node.transport.stats()["connections_late"] == 1
        await assert_served(good, node)


async def test_resets_at_any_time_do_not_take_the_listener_down(serve: Any) -> None:
    async with serve() as node, serve() as good:
        for sent in (b"", b"\0\0", b"\0\0\0\1x") * 10:
            with socket.create_connection(node.gossip) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.sendall(sent)
        await assert_served(good, node)


async def test_half_frames_together_have_a_bound(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpreg_transport_tcp.connection.PARTIAL_BYTES_MAX", 100_000)
    async with serve() as node, serve() as good, raw_client(node.gossip) as one, raw_client(node.gossip) as two:
        for client in (one, two):
            await client.send(FRAME_BYTES_MAX.to_bytes(4, "big") + bytes(60_000))
        await node.sink.until(lambda: bool(node.sink.drops))
        assert set(node.sink.reasons) <= {"overloaded", "truncated"}
        await assert_served(good, node)


async def test_one_host_cannot_take_every_place(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpreg_transport_tcp.transport.connections_max", lambda: 8)
    async with serve(max_connections_per_node=2) as node, anyio.create_task_group() as group:
        stay = anyio.Event()

        async def hold(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with raw_client(node.gossip, "127.0.0.1") as client:
                await client.send(b"\0\0\0\1x")
                task_status.started()
                await stay.wait()

        for _ in range(4):
            await group.start(hold)
        await node.sink.until(lambda: len(node.sink.frames) == 4)
        async with raw_client(node.gossip, "127.0.0.1") as fifth:
            assert await is_ended(fifth)
        assert node.sink.reasons == ["too_many_connections"]
        async with raw_client(node.gossip, "127.0.0.2") as other:
            await other.send(b"\0\0\0\4else")
            await node.sink.until(lambda: b"else" in node.sink.bodies)
        stay.set()


async def test_connections_that_end_give_their_places_back(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpreg_transport_tcp.transport.connections_max", lambda: 4)
    async with serve(max_connections_per_node=1) as node:
        for index in range(12):
            async with raw_client(node.gossip) as client:
                await client.send(b"\0\0\0\1x")
                await node.sink.until(lambda count=index + 1: len(node.sink.frames) == count)
                await client.send_eof()
                assert await is_ended(client)
        assert node.sink.drops == []


async def test_without_file_descriptors_connections_wait_and_are_served_later(serve: Any) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as client:
        async with serve() as node:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free_descriptor(), hard))
            try:
                client.connect(node.gossip)
                client.sendall(b"\0\0\0\5later")
                with anyio.fail_after(10):
                    while not node.transport.stats().get("accepts_failed"):
                        await anyio.sleep(0.005)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert node.transport.stats()["accepts_failed"] <= 3  # it rests between attempts
            await node.sink.until(lambda: node.sink.bodies == [b"later"])


def lowest_free_descriptor() -> int:
    with socket.socket() as probe:
        return probe.fileno()


async def test_datagrams_too_big_or_empty_are_dropped(serve: Any) -> None:
    async with serve() as node, serve() as good:
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            for sent in (b"x" * (DATAGRAM_BYTES_MAX + 1), b"", b"y" * 60_000):
                client.sendto(sent, node.gossip)
        await node.sink.until(lambda: sum(count for *_, count in node.sink.drops) == 3)
        assert sorted(node.sink.reasons) in (["bad_length", "oversized"], ["bad_length", "oversized", "oversized"])
        await assert_served(good, node)


async def test_a_flood_of_datagrams_does_not_starve_the_streams(serve: Any) -> None:
    async with serve() as node, serve() as good:
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            for _ in range(2000):
                client.sendto(b"flood", node.gossip)
            await good.send(node.gossip, b"stream")
            await node.sink.until(lambda: b"stream" in node.sink.bodies)
