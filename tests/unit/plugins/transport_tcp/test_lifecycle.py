"""Binding, closing, cancelling: ports are taken together, given back at once, and nothing is left open."""

import errno
import os
import socket
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec import ValidationError, convert

from mpreg_core import Endpoint, TransportError, TransportSpec
from mpreg_transport_tcp import plugin
from mpreg_transport_tcp.options import TcpOptions
from mpreg_transport_tcp.transport import TcpTransport

pytestmark = pytest.mark.anyio
LOCAL = Endpoint("127.0.0.1", 0)


def open_sockets() -> int:
    return sum(1 for fd in Path("/proc/self/fd").iterdir() if is_socket(fd))


def is_socket(fd: Path) -> bool:
    try:
        return os.readlink(fd).startswith("socket:")
    except OSError:
        return False


async def test_stream_and_datagram_share_a_port_number_that_was_free_for_both(serve: Any) -> None:
    planes = dict.fromkeys(("gossip", "membership", "consensus", "routing"), LOCAL)
    async with serve(planes) as node:
        assert len({endpoint.port for endpoint in node.at.values()}) == 4
        for endpoint in node.at.values():
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(type=kind) as other, pytest.raises(OSError, match="in use"):
                    other.bind(endpoint)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
async def test_a_port_in_use_names_plane_endpoint_and_remedy_and_frees_the_others(serve: Any, kind: int) -> None:
    before = open_sockets()
    with socket.socket(type=kind) as taken:
        taken.bind(LOCAL)
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        transport = TcpTransport(TcpOptions())
        with pytest.raises(TransportError) as caught:
            await transport.serve(
                {"gossip": LOCAL, "membership": Endpoint("127.0.0.1", port)},
                None,
                task_status=anyio.TASK_STATUS_IGNORED,
            )
    assert str(caught.value) == (
        f"127.0.0.1:{port}: cannot listen for the membership plane: address already in use; "
        "something else listens there: stop it, or set another network.membership_port"
    )
    assert open_sockets() <= before


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        (Endpoint("192.0.2.1", 0), "cannot assign requested address; no interface of this machine has the address"),
        (Endpoint("no-such-host.invalid", 0), "the host name does not resolve"),
        (Endpoint("127.0.0.1", 70_000), "expected a port of 0 to 65535, got 70000"),
        (Endpoint("a\0b", 0), "set network.listen_host"),
    ],
)
async def test_an_endpoint_that_cannot_be_bound_says_why_and_what_to_do(endpoint: Endpoint, says: str) -> None:
    with pytest.raises(TransportError, match="cannot listen for the gossip plane") as caught:
        await TcpTransport(TcpOptions()).serve({"gossip": endpoint}, None, task_status=anyio.TASK_STATUS_IGNORED)
    assert says in str(caught.value)


async def test_sending_before_serving_is_an_error_and_casting_is_counted() -> None:
    transport = TcpTransport(TcpOptions())
    with pytest.raises(TransportError, match=r"start serve\(\) before send\(\)"):
        await transport.send(Endpoint("127.0.0.1", 1), "gossip", [b"x"])
    transport.cast(Endpoint("127.0.0.1", 1), "gossip", b"x")
    assert transport.stats()["dropped_out_not_listening"] == 1
    await transport.close()


async def test_cancelled_while_busy_it_leaves_no_socket_open_and_its_port_free(serve: Any, wait_until: Any) -> None:
    before = open_sockets()
    async with serve() as other:
        async with serve() as node:
            await node.send(other.gossip, b"x")
            await other.send(node.gossip, b"x")
            await node.sink.until(lambda: len(node.sink.frames) == 1)
        async with serve({"gossip": node.gossip}) as again:
            assert again.gossip == node.gossip

    async def all_closed() -> bool:
        return open_sockets() == before

    await wait_until(all_closed)


async def test_close_delivers_what_was_sent_ends_serve_and_is_idempotent(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpreg_transport_tcp.transport.FLUSH_S", 60)  # peers that answer the end are not waited for
    async with serve() as two:
        async with serve() as one:
            frames = [b"%06d" % index for index in range(50_000)]
            await one.send(two.gossip, *frames)
            await one.transport.close()
            await one.transport.close()
            with pytest.raises(TransportError, match="closed"):
                await one.send(two.gossip, b"late")
            one.transport.cast(two.gossip, "gossip", b"late")
            with pytest.raises(TransportError, match="closed"):
                await one.transport.serve({}, one.sink, task_status=anyio.TASK_STATUS_IGNORED)
        await two.sink.until(lambda: len(two.sink.frames) == 50_000)
        assert two.sink.bodies == frames
        assert two.sink.reasons == []


async def test_close_does_not_wait_for_a_peer_that_takes_nothing_in(serve: Any, wait_until: Any) -> None:
    with socket.socket() as stopped:
        stopped.bind(LOCAL)
        stopped.listen()
        async with serve() as one:

            async def send_much() -> None:
                with pytest.raises(TransportError, match="broke"):
                    await one.send(Endpoint(*stopped.getsockname()), *[bytes(1024 * 1024)] * 16)

            one.group.start_soon(send_much)

            async def connected() -> bool:
                return bool(one.transport.stats()["connections_open"] == 1)

            await wait_until(connected)
            with anyio.fail_after(5):
                await one.transport.close()


async def test_while_it_closes_nobody_new_is_let_in(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpreg_transport_tcp.transport.FLUSH_S", 60)
    async with serve() as one:
        with socket.create_connection(one.gossip) as client:
            client.sendall(b"\0\0\0\1x")
            await one.sink.until(lambda: bool(one.sink.frames))
            one.group.start_soon(one.transport.close)
            await anyio.wait_all_tasks_blocked()
            with socket.socket() as late:
                assert late.connect_ex(one.gossip) == errno.ECONNREFUSED


async def test_a_client_without_ports_can_serve_and_close(serve: Any) -> None:
    async with serve({}) as client:
        assert client.at == {}
        await client.transport.close()


@pytest.mark.parametrize(
    "options",
    [{"connection_timeout": 0}, {"max_connections_per_node": 0}, {"tcp_nodelay": "yes"}, {"keepalive": True}],
)
def test_options_out_of_bounds_or_unknown_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        convert(options, TcpOptions)


def test_the_plugin_provides_the_transport_tcp() -> None:
    (spec,) = plugin.mpreg_transports()
    assert isinstance(spec, TransportSpec)
    assert (spec.name, spec.family, spec.options()) == ("tcp", "transport", TcpOptions())
