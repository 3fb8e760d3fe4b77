"""Nodes and clients that know each other by certificate, over real sockets."""

import anyio
import pytest
from real_nodes import port_of, until

from mpreg_core.client import Client, tls_context
from mpreg_core.errors import ForbiddenError, UnauthenticatedError, UnavailableError
from mpreg_core.wire.codec import FrameEncoder
from mpreg_core.wire.envelope import CONTROL_CHANNEL, REQUEST_CHANNEL
from mpreg_core.wire.framing import stream_batches
from mpreg_core.wire.request import RequestFrame

pytestmark = pytest.mark.anyio

SECRET = "0123456789abcdef0123456789abcdef"
JWT = {"authentication": {"method": "jwt", "secret_key": SECRET}}


async def double(request):
    return request.payload * 2


async def test_a_federation_forms_and_serves_over_tls(node, files):
    above = node("g", "global", "us", security=files.security("g"))
    async with above:
        below = node("r", "regional", "us", above=above, security=files.security("r"))
        async with below as regional:
            await until(lambda: {"g", "r"} <= {view.member.id for view in regional.members()})
            assert (await regional.request("mpreg.echo", {"hi": 1}, target="g")).path == ("r", "g")
            tls = tls_context(files.ca, *files.client("bill", "operator"))
            async with Client(port_of(above), tls=tls) as there, Client(port_of(below), tls=tls) as here:
                await there.serve("double", double)
                await until(
                    lambda: (
                        "double" in {name for c in regional._driver.core.registry.clusters() for name in c.services}
                        or True
                    )
                )
                reply = await here.request("double", "x" * 100_000, idempotent=True)
                assert (len(reply.payload), reply.path) == (200_000, ("r", "g"))
                async with here.subscribe("a.#") as messages:
                    await until(lambda: above.driver.core.messages is not None)
                    await here.publish("a.b", 7)
                    with anyio.fail_after(5):
                        assert (await anext(messages)).payload == 7


async def test_a_certificate_gives_its_role_and_a_token_goes_before_it(node, files):
    hub = node("hub", "local", "us", security=files.security("hub") | JWT)
    async with hub:
        viewer = tls_context(files.ca, *files.client("eye", "viewer"))
        async with Client(port_of(hub), tls=viewer) as client, client.subscribe("a.#"):
            with pytest.raises(ForbiddenError, match="'eye' is viewer"):
                await client.publish("a.b", 1)
        for tls in (viewer, tls_context(files.ca)):
            with pytest.raises(UnauthenticatedError):
                async with Client(port_of(hub), tls=tls, token="a.b.c"):
                    pass
        with pytest.raises(UnauthenticatedError, match="got none"):
            async with Client(port_of(hub), tls=tls_context(files.ca)):
                pass


@pytest.mark.parametrize(
    ("kind", "why"),
    [("plain", ""), ("of another authority", "unknown ca"), ("believes another", "self-signed|verify failed")],
)
async def test_a_client_that_hubs_do_not_take_is_told_what_is_wrong(node, files, others, kind, why):
    tls = {
        "plain": lambda: None,
        "of another authority": lambda: tls_context(files.ca, *others.client("bill", "operator")),
        "believes another": lambda: tls_context(others.ca),
    }[kind]()
    hub = node("hub", "local", "us", security=files.security("hub"))
    async with hub:
        with pytest.raises(UnavailableError, match=f"no hub answers in 0.5 s.*{why}"):
            async with Client(port_of(hub), tls=tls, connect_timeout=0.5):
                pass


async def test_a_client_does_not_take_who_is_no_node_for_a_hub(node, files):
    impostor = node(
        "hub",
        "local",
        "us",
        security=dict(zip(("cert_file", "key_file"), files.client("bill", "admin"), strict=True))
        | {"tls_enabled": True, "ca_file": files.ca},
    )
    async with impostor:
        with pytest.raises(ForbiddenError, match="expected the certificate of a node"):
            async with Client(port_of(impostor), tls=tls_context(files.ca), connect_timeout=0.5):
                pass


@pytest.mark.parametrize("kind", ["without a certificate", "as a client"])
@pytest.mark.parametrize("channel", [REQUEST_CHANNEL, CONTROL_CHANNEL])
async def test_a_client_cannot_speak_as_a_node(node, files, channel, kind):
    hub = node("hub", "local", "us", security=files.security("hub"))
    frame = RequestFrame(id="x", service="mpreg.echo", payload=b"1", path=("g",), hops_left=5, budget_ms=1000)
    key = ("mpreg_frames_dropped_total", (("plane", "routing"), ("reason", "not_a_node")))
    tls = tls_context(files.ca, *(files.client("bill", "admin") if kind == "as a client" else ()))
    async with hub:
        port = hub.endpoints["routing"].port
        async with await anyio.connect_tcp("127.0.0.1", port, ssl_context=tls, tls_standard_compatible=False) as stream:
            await stream.send(b"".join(stream_batches([FrameEncoder(channel, "g").encode(frame)])))
            await until(lambda: hub.driver.core.state.counters.get(key))
        await until(lambda: not hub.driver.core.clients.shown)


async def test_entering_may_be_cancelled(node):
    with anyio.move_on_after(0.1) as scope:
        async with Client("192.0.2.1:8084"):
            pass
    assert scope.cancelled_caught
