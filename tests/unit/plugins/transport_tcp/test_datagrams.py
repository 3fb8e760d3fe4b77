"""Frames over UDP: one frame a datagram, names resolved beside, what the network answers."""

import socket
from typing import Any

import anyio
import pytest

from mpreg_core import Endpoint
from mpreg_core.limits import DATAGRAM_BYTES_MAX

pytestmark = pytest.mark.anyio


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


def free_datagram_port() -> int:
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", pytest.param("::1", marks=needs_ipv6), pytest.param("::", marks=needs_ipv6)]
)
async def test_a_cast_arrives_from_the_port_that_the_caster_listens_on(serve: Any, host: str) -> None:
    async with serve({"gossip": Endpoint(host, 0)}) as one, serve({"gossip": Endpoint(host, 0)}) as two:
        target = "::1" if host == "::" else host
        one.transport.cast(Endpoint(target, two.gossip.port), "gossip", b"x" * DATAGRAM_BYTES_MAX)
        await two.sink.until(lambda: len(two.sink.frames) == 1)
        ((plane, source, frame),) = two.sink.frames
        assert (plane, source.port, frame) == ("gossip", one.gossip.port, b"x" * DATAGRAM_BYTES_MAX)
        two.transport.cast(source, "gossip", b"back")
        await one.sink.until(lambda: one.sink.bodies == [b"back"])


@needs_ipv6
async def test_a_node_on_all_addresses_speaks_ipv4_and_names_its_peers_so(serve: Any) -> None:
    async with serve({"gossip": Endpoint("::", 0)}) as both, serve() as four:
        here = Endpoint("127.0.0.1", both.gossip.port)
        four.transport.cast(here, "gossip", b"datagram")
        await four.send(here, b"stream")
        await both.sink.until(lambda: len(both.sink.frames) == 2)
        assert {source.host for _, source, _ in both.sink.frames} == {"127.0.0.1"}
        both.transport.cast(four.gossip, "gossip", b"datagram")
        await both.send(four.gossip, b"stream")
        await four.sink.until(lambda: sorted(four.sink.bodies) == [b"datagram", b"stream"])


async def test_many_casts_are_handed_on_in_order_and_in_few_calls(serve: Any) -> None:
    async with serve() as one, serve() as two:
        for index in range(200):
            one.transport.cast(two.gossip, "gossip", b"%d" % index)
        await two.sink.until(lambda: len(two.sink.frames) == 200)
        assert two.sink.bodies == [b"%d" % index for index in range(200)]
        assert two.sink.calls <= 4


async def test_a_closed_port_is_evidence_and_the_next_cast_to_another_goes(serve: Any) -> None:
    nobody = Endpoint("127.0.0.1", free_datagram_port())
    async with serve() as one, serve() as two:
        one.transport.cast(nobody, "gossip", b"x")
        one.transport.cast(two.gossip, "gossip", b"y")  # the error of the first is pending at the socket
        await two.sink.until(lambda: two.sink.bodies == [b"y"])
        await one.sink.until(lambda: bool(one.sink.evidence))
        assert one.sink.evidence == [(nobody, "refused")]


async def test_evidence_names_the_peer_as_the_caster_did(serve: Any) -> None:
    nobody = Endpoint("localhost", free_datagram_port())
    async with serve() as one:
        one.transport.cast(nobody, "gossip", b"x")
        await one.sink.until(lambda: bool(one.sink.evidence))
        assert one.sink.evidence == [(nobody, "refused")]


@needs_ipv6
@pytest.mark.parametrize(("listen", "peer"), [("::1", "::1"), ("::", "127.0.0.1"), ("::", "::1")])
async def test_a_closed_port_is_evidence_over_ipv6_too(serve: Any, listen: str, peer: str) -> None:
    nobody = Endpoint(peer, free_datagram_port())
    async with serve({"gossip": Endpoint(listen, 0)}) as one:
        one.transport.cast(nobody, "gossip", b"x")
        await one.sink.until(lambda: bool(one.sink.evidence))
        assert one.sink.evidence == [(nobody, "refused")]


async def test_a_refused_peer_is_reported_once_and_others_are_still_heard(serve: Any) -> None:
    nobody = Endpoint("127.0.0.1", free_datagram_port())
    async with serve() as one, serve() as two:
        for _ in range(100):
            one.transport.cast(nobody, "gossip", b"x")
        await one.sink.until(lambda: bool(one.sink.evidence))
        await anyio.wait_all_tasks_blocked()
        assert one.sink.evidence == [(nobody, "refused")]
        two.transport.cast(one.gossip, "gossip", b"still heard")
        await one.sink.until(lambda: one.sink.bodies == [b"still heard"])


@pytest.mark.parametrize(
    ("to", "frame", "counted"),
    [
        (Endpoint("127.0.0.1", 9), b"x" * (DATAGRAM_BYTES_MAX + 1), "dropped_out_too_big"),
        (Endpoint("127.0.0.1", 9), b"", "dropped_out_empty"),
        (Endpoint("127.0.0.1", 0), b"x", "dropped_out_unresolved"),
        (Endpoint("127.0.0.1", 70_000), b"x", "dropped_out_unresolved"),
        (Endpoint("127.0.0.1", -1), b"x", "dropped_out_unresolved"),
        (Endpoint("a\0b", 9), b"x", "dropped_out_unresolved"),
        (Endpoint("x" * 70, 9), b"x", "dropped_out_unresolved"),
        (Endpoint("no-such-host.invalid", 9), b"x", "dropped_out_unresolved"),
        (Endpoint("::1", 9), b"x", "dropped_out_unresolved"),
    ],
)
async def test_a_cast_that_cannot_go_is_dropped_and_counted(
    serve: Any, wait_until: Any, to: Endpoint, frame: bytes, counted: str
) -> None:
    async with serve() as one:
        one.transport.cast(to, "gossip", frame)

        async def is_counted() -> bool:
            return bool(one.transport.stats().get(counted) == 1)

        await wait_until(is_counted)
        one.transport.cast(one.gossip, "gossip", b"fine")
        await one.sink.until(lambda: one.sink.bodies == [b"fine"])


async def test_a_cast_on_a_plane_that_is_not_served_is_counted(serve: Any) -> None:
    async with serve() as one:
        one.transport.cast(one.gossip, "routing", b"x")
        assert one.transport.stats()["dropped_out_not_listening"] == 1


async def test_a_flood_to_names_that_do_not_resolve_is_bounded(
    serve: Any, wait_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpreg_transport_tcp.datagrams.RESOLUTIONS_MAX", 2)
    async with serve() as one:
        for index in range(50):
            for _ in range(10):
                one.transport.cast(Endpoint(f"host{index}.invalid", 9), "gossip", b"x")
        assert one.transport.stats()["dropped_out_unresolved"] == 500 - 2 * 4  # the rest wait for an answer

        async def all_dropped() -> bool:
            return bool(one.transport.stats()["dropped_out_unresolved"] == 500)

        await wait_until(all_dropped)
