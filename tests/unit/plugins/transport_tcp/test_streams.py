"""Frames over TCP: order, batches, back-pressure, reuse, reconnection, and what broken connections tell."""

import socket
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from mpreg_core import Endpoint, PayloadTooLargeError, TransportError
from mpreg_core.limits import FRAME_BYTES_MAX
from mpreg_transport_tcp.options import TcpOptions
from mpreg_transport_tcp.sockets import tune

pytestmark = pytest.mark.anyio


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_frames_arrive_in_order_on_the_plane_whose_port_they_came_to(serve: Any) -> None:
    planes = {"gossip": Endpoint("127.0.0.1", 0), "routing": Endpoint("127.0.0.1", 0)}
    async with serve() as one, serve(planes) as two:
        for index in range(50):
            await one.send(two.gossip, *(b"%d.%d" % (index, part) for part in range(3)))
        await one.transport.send(two.at["routing"], "routing", [b"other"])
        await two.sink.until(lambda: len(two.sink.frames) == 151)
        gossip = [frame for plane, _, frame in two.sink.frames if plane == "gossip"]
        assert gossip == [b"%d.%d" % (index, part) for index in range(50) for part in range(3)]
        assert [frame for plane, _, frame in two.sink.frames if plane == "routing"] == [b"other"]
        assert one.transport.stats()["connections_out"] == 2


async def test_a_batch_is_handed_on_in_few_calls(serve: Any) -> None:
    async with serve() as one, serve() as two:
        frames = [b"%064d" % index for index in range(2000)]
        await one.send(two.gossip, *frames)
        await two.sink.until(lambda: len(two.sink.frames) == 2000)
        assert two.sink.bodies == frames
        assert two.sink.calls <= 20


async def test_the_longest_frame_passes_and_a_longer_or_empty_one_is_refused_before_anything_is_sent(
    serve: Any,
) -> None:
    async with serve() as one, serve() as two:
        longest = bytes(FRAME_BYTES_MAX)
        for bad in (longest + b"x", b""):
            with pytest.raises(PayloadTooLargeError, match="expected frames of 1 to 1048576 bytes"):
                await one.send(two.gossip, b"before", bad)
        await one.send(two.gossip, longest, b"after")
        await two.sink.until(lambda: len(two.sink.frames) == 2)
        assert two.sink.bodies == [longest, b"after"]


async def test_a_peer_that_does_not_listen_is_answered_on_its_own_connection(serve: Any) -> None:
    async with serve({}) as client, serve() as hub:
        await client.send(hub.gossip, b"ask")
        await hub.sink.until(lambda: len(hub.sink.frames) == 1)
        source = hub.sink.frames[0][1]
        await hub.send(source, b"answer")
        await client.sink.until(lambda: len(client.sink.frames) == 1)
        assert client.sink.frames == [("gossip", hub.gossip, b"answer")]
        assert hub.transport.stats().get("connections_out", 0) == 0
        await client.send(client.sink.frames[0][1], b"again")  # the source as the socket named it
        await hub.sink.until(lambda: len(hub.sink.frames) == 2)
        assert client.transport.stats()["connections_out"] == 1


async def test_a_sender_waits_for_a_slow_reader(serve: Any) -> None:
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        slow.bind(("127.0.0.1", 0))
        slow.listen()
        sent = anyio.Event()
        async with serve() as one:

            async def send_much() -> None:
                await one.send(Endpoint(*slow.getsockname()), *[bytes(256 * 1024)] * 64)
                sent.set()

            one.group.start_soon(send_much)
            await anyio.wait_readable(slow)
            reader, _ = slow.accept()
            with reader:
                reader.setblocking(False)
                await anyio.wait_all_tasks_blocked()
                assert not sent.is_set()
                assert one.transport.stats().get("bytes_out", 0) < 12 * 1024 * 1024
                with anyio.fail_after(10):
                    while not sent.is_set():
                        await anyio.wait_readable(reader)
                        reader.recv(1024 * 1024)


async def test_a_peer_that_restarts_on_its_port_is_reached_again(serve: Any) -> None:
    async with serve() as one:
        async with serve() as two:
            await one.send(two.gossip, b"first")
            await two.sink.until(lambda: two.sink.bodies == [b"first"])
        async with serve({"gossip": two.gossip}) as three:
            assert three.gossip == two.gossip
            await one.send_when_it_goes(three.gossip, b"second")
            await three.sink.until(lambda: three.sink.bodies == [b"second"])


async def test_a_refused_connection_is_evidence_and_is_not_tried_again_at_once(serve: Any) -> None:
    nobody = Endpoint("127.0.0.1", free_port())
    async with serve() as one:
        with pytest.raises(TransportError, match=r"^127\.0\.0\.1:\d+: cannot connect: connection refused$"):
            await one.send(nobody, b"x")
        assert one.sink.evidence == [(nobody, "refused")]
        with pytest.raises(TransportError, match=r"the next is due in 0\.0\d s"):
            await one.send(nobody, b"x")
        assert one.sink.evidence == [(nobody, "refused")]


async def test_the_end_of_a_connection_is_evidence_to_whom_opened_it(serve: Any, wait_until: Any) -> None:
    async with serve() as one:
        async with serve() as two:
            await one.send(two.gossip, b"x")
            await two.sink.until(lambda: len(two.sink.frames) == 1)
            await two.transport.close()

        async def gone() -> bool:
            return bool(one.transport.stats()["connections_open"] == 0)

        await wait_until(gone)
        assert one.sink.evidence == [(two.gossip, "reset")]
        assert two.sink.evidence == []


async def test_ones_own_end_of_a_connection_is_no_evidence(serve: Any, wait_until: Any) -> None:
    async with serve() as two:
        async with serve() as one:
            await one.send(two.gossip, b"x")
            await two.sink.until(lambda: len(two.sink.frames) == 1)
            await one.transport.close()

        async def gone() -> bool:
            return bool(two.transport.stats()["connections_open"] == 0)

        await wait_until(gone)
        assert one.sink.evidence == two.sink.evidence == []


async def test_a_reset_of_a_live_connection_is_evidence(serve: Any) -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, serve() as one:
        peer = Endpoint(*listener.extra(anyio.abc.SocketAttribute.local_address))
        await one.send(peer, b"x")
        await reset(await listener.listeners[0].accept())
        await one.sink.until(lambda: bool(one.sink.evidence))
        assert one.sink.evidence == [(peer, "reset")]


async def reset(stream: anyio.abc.SocketStream) -> None:
    raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await anyio.aclose_forcefully(stream)


async def test_a_write_that_meets_a_reset_is_evidence_and_the_next_one_takes_a_new_connection(serve: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = Endpoint(*server.getsockname())
        async with serve() as one:
            await one.transport.send(peer, "gossip", [b"x"])
            accepted, _ = server.accept()
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            accepted.close()
            with pytest.raises(TransportError, match="the connection broke: connection reset by peer"):
                await one.transport.send(peer, "gossip", [b"y"])  # before the reading side had a chance to notice
            assert one.sink.evidence == [(peer, "reset")]
            await one.transport.send(peer, "gossip", [b"z"])
            accepted, _ = server.accept()
            with accepted:
                assert accepted.recv(100) == b"\0\0\0\1z"


async def test_sends_that_find_room_do_not_keep_others_waiting(serve: Any) -> None:
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with serve() as one, serve() as two:
        await one.send(two.gossip, b"x")
        one.group.start_soon(another)
        for _ in range(50):
            await one.transport.send(two.gossip, "gossip", [b"x"])
        assert turns >= 40


async def test_a_peer_that_takes_nothing_in_is_unreachable_after_the_timeout(serve: Any) -> None:
    with socket.socket() as stopped:
        stopped.bind(("127.0.0.1", 0))
        stopped.listen()
        peer = Endpoint(*stopped.getsockname())
        async with serve(connection_timeout=0.3) as one:
            with pytest.raises(TransportError, match="broke"):
                await one.send(peer, *[bytes(1024 * 1024)] * 16)
            await one.sink.until(lambda: bool(one.sink.evidence) or one.transport.stats()["connections_open"] == 0)
            assert {kind for _, kind in one.sink.evidence} <= {"unreachable"}


async def test_a_connection_attempt_without_an_answer_times_out_as_unreachable(serve: Any) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        peer = Endpoint(*full.getsockname())
        async with await anyio.connect_tcp(*peer), serve(connection_timeout=0.2) as one:
            with pytest.raises(TransportError, match="no answer in time"):  # the queue of connections is full
                await one.send(peer, b"x")
            assert one.sink.evidence == [(peer, "unreachable")]


@pytest.mark.parametrize(
    ("to", "message"),
    [
        (Endpoint("no-such-host.invalid", 8081), "the host name does not resolve"),
        (Endpoint("127.0.0.1", 0), "expected a port of 1 to 65535, got 0"),
        (Endpoint("127.0.0.1", 70_000), "expected a port of 1 to 65535, got 70000"),
        (Endpoint("x" * 70, 8081), "the host name does not resolve"),
        (Endpoint("a\0b", 8081), "the host name does not resolve"),
    ],
)
async def test_an_endpoint_that_cannot_be_is_a_transport_error_and_no_evidence(
    serve: Any, to: Endpoint, message: str
) -> None:
    async with serve() as one:
        with pytest.raises(TransportError, match=message):
            await one.send(to, b"x")
        assert one.sink.evidence == []


async def test_without_pooling_each_batch_has_its_own_connection_and_all_arrive(serve: Any, wait_until: Any) -> None:
    async with serve(connection_pooling=False) as one, serve() as two:
        for index in range(5):
            await one.send(two.gossip, b"%d" % index)
        await two.sink.until(lambda: len(two.sink.frames) == 5)
        assert sorted(two.sink.bodies) == [b"0", b"1", b"2", b"3", b"4"]
        assert one.transport.stats()["connections_out"] == 5

        async def gone() -> bool:
            return bool(one.transport.stats()["connections_open"] == 0)

        await wait_until(gone)


async def test_a_send_that_is_cancelled_half_way_does_not_garble_what_follows(serve: Any) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        peer = Endpoint(*listener.getsockname())
        async with serve() as one:
            async with anyio.create_task_group() as group:
                group.start_soon(one.send, peer, *[b"a" * 1_000_000] * 16)
                await anyio.wait_readable(listener)
                first, _ = listener.accept()
                await anyio.wait_readable(first)
                await anyio.wait_all_tasks_blocked()
                assert "frames_out" not in one.transport.stats()
                group.cancel_scope.cancel()
            await one.send(peer, b"whole")
            second, _ = listener.accept()
            with first, second:
                assert second.recv(100) == b"\0\0\0\5whole"


@pytest.mark.parametrize("on", [True, False])
def test_the_options_reach_the_socket(on: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        tune(client, TcpOptions(tcp_nodelay=on, tcp_keepalive=on))
        assert bool(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is on
        assert bool(client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is on


async def test_a_sink_that_raises_stops_the_transport_with_its_error(serve: Any) -> None:
    class BrokenError(Exception):
        pass

    def broken(*_: object) -> None:
        raise BrokenError

    for lane in ("stream", "datagram"):
        with pytest.RaisesGroup(BrokenError, flatten_subgroups=True, allow_unwrapped=True):
            async with serve() as one, serve() as two:
                two.sink.on_frames = broken
                if lane == "stream":
                    await one.send(two.gossip, b"x")
                else:
                    one.transport.cast(two.gossip, "gossip", b"x")
                with anyio.fail_after(5):
                    await anyio.sleep_forever()


async def test_with_every_place_taken_the_connection_unused_for_longest_makes_room(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpreg_transport_tcp.transport.connections_max", lambda: 2)
    async with serve() as one, serve() as first, serve() as second, serve() as third:
        for peer in (first, second, third):
            await one.send(peer.gossip, b"x")
            await peer.sink.until(lambda peer=peer: peer.sink.bodies == [b"x"])
        assert one.transport.stats()["connections_open"] == 2
        await one.send(first.gossip, b"y")
        await first.sink.until(lambda: first.sink.bodies == [b"x", b"y"])
