"""Frames over TLS: whole, in both directions, from who has the right certificate and from nobody else."""

import socket
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import pytest
from certificates import files, others

from mpreg_core import Endpoint, Identity, TransportError
from mpreg_core.limits import FRAME_BYTES_MAX
from mpreg_core.security.certificates import Certificates, client_context
from mpreg_transport_tcp.options import TcpOptions
from mpreg_transport_tcp.plugin import SPEC

__all__ = ["files", "others"]

pytestmark = pytest.mark.anyio

ROUTING = {"routing": Endpoint("127.0.0.1", 0)}


@pytest.fixture
def secured(serve: Any, files: Any) -> Any:
    """`async with secured() as node`: a transport with the certificate of a node, or another one."""

    def serving(listen: Any = None, cert: Any = None, ca: str = "", **options: Any) -> Any:
        tls = Certificates(*(cert or files.node()), ca or files.ca, "mpreg")
        return serve(listen, create=partial(SPEC.create_secure, TcpOptions(**options), tls))

    return serving


async def test_frames_arrive_in_order_and_are_answered(secured: Any) -> None:
    frames = [b"%064d" % index for index in range(2_000)] + [bytes(FRAME_BYTES_MAX), b"x"]
    async with secured() as one, secured() as two:
        await one.send(two.gossip, *frames)
        await two.sink.until(lambda: len(two.sink.frames) == len(frames))
        assert two.sink.bodies == frames
        source = two.sink.frames[0][1]
        await two.send(source, *frames)
        await one.sink.until(lambda: len(one.sink.frames) == len(frames))
        assert one.sink.bodies == frames
        assert two.transport.stats()["connections_in"] == 1


async def test_nothing_is_read_along_the_way(secured: Any) -> None:
    async with secured() as one, secured() as two:
        seen = bytearray()
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as tap, anyio.create_task_group() as tasks:
            port = tap.extra(anyio.abc.SocketAttribute.local_port)

            async def copy(source: Any, to: Any) -> None:
                async for chunk in source:
                    seen.extend(chunk)
                    await to.send(chunk)

            async def relay(client: Any) -> None:
                async with (
                    client,
                    await anyio.connect_tcp("127.0.0.1", two.gossip.port) as onward,
                    anyio.create_task_group() as both,
                ):
                    both.start_soon(copy, client, onward)
                    both.start_soon(copy, onward, client)

            tasks.start_soon(tap.serve, relay)
            await one.send(Endpoint("127.0.0.1", port), b"the secret word")
            await two.sink.until(lambda: two.sink.bodies == [b"the secret word"])
            tasks.cancel_scope.cancel()
        assert b"secret" not in seen


async def test_what_was_sent_last_arrives_when_a_transport_closes(secured: Any) -> None:
    async with secured() as two:
        async with secured() as one:
            await one.send(two.gossip, *[bytes(100_000)] * 20)
            await one.transport.close()
        await two.sink.until(lambda: len(two.sink.frames) == 20)
        assert two.sink.reasons == []


async def all_closed(node: Any) -> bool:
    return node.transport.stats()["connections_open"] == 0


async def test_without_pooling_each_batch_has_its_connection(secured: Any, wait_until: Any) -> None:
    async with secured(connection_pooling=False) as one, secured() as two:
        for index in range(5):
            await one.send(two.gossip, b"%d" % index)
        await two.sink.until(lambda: len(two.sink.frames) == 5)
        assert one.transport.stats()["connections_out"] == 5
        await wait_until(partial(all_closed, two))


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        ("of another authority", "tls"),
        ("of another federation", "certificate"),
        ("a client", "certificate"),
        ("plain", "tls"),
    ],
)
async def test_who_has_not_the_right_certificate_is_not_heard(
    secured: Any, serve: Any, files: Any, others: Any, who: str, reason: str
) -> None:
    peer = {
        "of another authority": lambda: secured(cert=others.node(), ca=files.ca),
        "of another federation": lambda: secured(cert=files.named("alien", "spiffe://moon/node/hub")),
        "a client": lambda: secured(cert=files.client("bill", "operator")),
        "plain": serve,
    }[who]
    async with secured() as hub, peer() as node:
        with suppress(TransportError):  # TLS 1.3 lets a client talk before it hears that it is refused
            await node.send(hub.gossip, b"hello")
        await hub.sink.until(lambda: bool(hub.sink.drops))
        assert hub.sink.drops[0][:2] == ("gossip", reason)
        assert hub.sink.frames == []


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ("of another authority", "certificate verify failed"),
        ("a client", "expected the certificate of a node, got that of bill"),
    ],
)
async def test_a_node_does_not_talk_to_who_is_none(secured: Any, files: Any, others: Any, who: str, why: str) -> None:
    whose = others if who == "of another authority" else files
    cert = whose.node() if whose is others else files.client("bill", "operator")
    async with secured() as hub, secured(cert=cert, ca=whose.ca) as node:
        with pytest.raises(TransportError, match=why):
            await hub.send(node.gossip, b"hello")


async def test_on_the_routing_plane_each_says_who_it_is(secured: Any, files: Any, wait_until: Any) -> None:
    async with secured(ROUTING) as hub:
        shown: list[Identity | None] = []
        hub.sink.on_identified = lambda source, identity: shown.append(identity)
        port = hub.at["routing"].port
        for number, context in enumerate(
            (client_context(files.ca), client_context(files.ca, *files.client("bill", "viewer")))
        ):
            async with await anyio.connect_tcp("127.0.0.1", port, ssl_context=context, tls_standard_compatible=False):
                await wait_until(partial(heard, shown, number + 1))
        async with secured() as node:
            await node.transport.send(hub.at["routing"], "routing", [b"hello"])
            await hub.sink.until(lambda: len(hub.sink.frames) == 1)
        assert [(who.subject, who.role, who.is_node) if who else None for who in shown] == [
            None, ("bill", "viewer", False), ("node hub", "admin", True),
        ]  # fmt: skip


async def heard(shown: list[Identity | None], number: int) -> bool:
    return len(shown) >= number


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(100), b"\x00" * 70_000])
async def test_junk_ends_its_own_connection_alone(secured: Any, junk: bytes) -> None:
    async with secured() as one, secured() as two:
        async with await anyio.connect_tcp("127.0.0.1", two.gossip.port) as stranger:
            await stranger.send(junk)
            await two.sink.until(lambda: two.sink.reasons == ["tls"])
        await one.send(two.gossip, b"well")
        await two.sink.until(lambda: two.sink.bodies == [b"well"])


async def test_a_handshake_that_does_not_end_is_given_up(secured: Any) -> None:
    async with secured(connection_timeout=0.1) as hub:
        with socket.create_connection(hub.gossip):
            await hub.sink.until(lambda: hub.sink.reasons == ["tls"])
