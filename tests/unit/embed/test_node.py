"""`mpreg_core.Node` over real sockets, on every backend."""

from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace

import anyio
import pytest

from mpreg_core import MergePolicySpec, hookimpl
from mpreg_core.contracts.api import Cluster
from mpreg_core.errors import (
    ConflictError,
    HandlerError,
    InvalidInputError,
    NoRouteError,
    NotFoundError,
    PayloadTooLargeError,
    StorageError,
    TransportError,
)
from mpreg_core.limits import REQUEST_BYTES_MAX
from mpreg_core.plugin.discovery import load_plugins
from mpreg_core.plugin.registry import Plugins

pytestmark = pytest.mark.anyio


async def until(condition, timeout_s=10):
    with anyio.fail_after(timeout_s):
        while not condition():
            await anyio.sleep(0.01)


async def once_known(node, service, payload, **target):
    """Ask as soon as the node has heard of the service: summaries travel up the tree within half a second."""
    with anyio.fail_after(5):
        while True:
            try:
                return await node.request(service, payload, **target)
            except NoRouteError:
                await anyio.sleep(0.02)


@asynccontextmanager
async def tree(node):
    """One node of each tier, formed: (g, r, l, c)."""
    async with AsyncExitStack() as stack:
        above, nodes = None, []
        for name, tier in (("g", "global"), ("r", "regional"), ("l", "local"), ("c", "cluster")):
            above = node(name, tier, "us", above)
            nodes.append(await stack.enter_async_context(above))
        await until(lambda: all(each.ready() for each in nodes))
        await until(lambda: all(len(each.members()) == n for each, n in zip(nodes, (2, 4, 4, 2), strict=True)))
        yield nodes


async def test_a_tree_of_four_tiers_does_what_the_api_says(node):
    async with tree(node) as (g, r, l, c):  # noqa: E741
        status = c.status()
        assert (status.node.id, status.node.state, status.parent_hub) == ("c", "ready", "l")
        assert status.pools[0].strategies == {
            "transport": "tcp", "gossip": "hybrid", "failure_detector": "swim", "consensus": "quorum", "routing": "hub",
        }  # fmt: skip
        assert l.status().children == ["c"]
        assert [view.since for view in g.members()] == [view.since for view in g.members()], "a read moves nothing"
        assert g.health().status == "healthy"

        async def double(request):
            return {"twice": request.payload * 2, "for": request.caller}

        await c.serve("double", double)
        await until(lambda: any("double" in each.services for each in l.clusters()))
        reply = await once_known(g, "double", 21)
        assert (reply.payload, reply.served_by, reply.path) == ({"twice": 42, "for": "g"}, "c", ("g", "r", "l", "c"))
        assert (await g.discover("double"))[0].cluster == "c"

        written = await c.state.put("limits/max", {"n": 1}, scope="federation")
        await until(lambda: len(g.state.list("limits/", scope="federation")[0]) == 1)
        assert (await g.state.get("limits/max", scope="federation")).value == {"n": 1}
        with pytest.raises(ConflictError):
            await c.state.put("limits/max", 2, scope="federation", if_version="old")
        await c.state.put("limits/max", 3, scope="federation", if_version=written.version)

        decision = await r.propose("max_load", 0.8, scope="federation")
        assert (decision.status, decision.needed, decision.voters, decision.threshold) == ("committed", 2, 2, 0.6)
        assert decision.votes == {"g": True, "r": True}
        far = await c.propose("max_load", 0.9, scope="federation")
        assert far.status == "committed"
        await until(lambda: [entry.value for entry in c.state.list("max_load")[0]] == [0.9])
        entry = await c.state.put("lock", "mine", scope="federation", consistency="linearizable")
        assert (await c.state.get("lock", scope="federation", consistency="linearizable")).value == "mine"
        with pytest.raises(ConflictError):
            await c.state.put("lock", "x", scope="federation", consistency="linearizable", if_version="other")
        again = await c.state.put(
            "lock", "next", scope="federation", consistency="linearizable", if_version=entry.version
        )
        assert again.value == "next"

        async with g.subscribe("orders.*") as messages:
            await c.publish("orders.eu", {"id": 7}, at_least_once=True)
            with anyio.fail_after(5):
                message = await anext(messages)
        assert (message.topic, message.payload, message.origin) == ("orders.eu", {"id": 7}, "c")
        spread = await r.gossip_test()
        assert (spread["reached"], spread["of"]) == (2, 2)
        assert g.route("c").next_hop == "r"


async def test_a_compare_and_set_is_not_refused_because_another_one_lost(node, monkeypatch):
    """Both take a place among the key's decisions; the one that lost changed nothing."""
    async with tree(node) as (g, _, _, _):
        first = await g.state.put("lock", 1, consistency="linearizable")
        commands = g._commands
        propose, loses = commands._propose, [True]

        async def after_a_loser(key, value, scope, timeout_s, **how):
            if loses.pop() if loses else False:
                indexes = commands._driver.core.decisions._indexes
                (name,) = (name for name in indexes if name.endswith("/lock"))
                right, indexes[name] = indexes[name], 99
                assert not (await propose(key, "loser", scope, timeout_s, exactly_next=True)).applied
                indexes[name] = right
            return await propose(key, value, scope, timeout_s, **how)

        monkeypatch.setattr(commands, "_propose", after_a_loser)
        second = await g.state.put("lock", 2, consistency="linearizable", if_version=first.version)
        assert second.value == 2
        with pytest.raises(ConflictError):
            await g.state.put("lock", 3, consistency="linearizable", if_version=first.version)


async def test_errors_come_out_as_what_they_are(node):
    async with tree(node) as (g, _, l, c):  # noqa: E741

        async def broken(request):
            raise ValueError("no")

        await c.serve("broken", broken)
        await until(lambda: any("broken" in each.services for each in l.clusters()))
        with pytest.raises(HandlerError, match="ValueError: no") as caught:
            await l.request("broken", 1)
        assert (caught.value.where, caught.value.definite, caught.value.retryable) == ("c", False, False)
        with pytest.raises(NoRouteError):
            await g.request("nothing", 1)
        with pytest.raises(NotFoundError):
            await c.state.get("absent", scope="federation")
        with pytest.raises(PayloadTooLargeError):
            await c.request("mpreg.echo", "x" * REQUEST_BYTES_MAX)
        with pytest.raises(InvalidInputError):
            await c.request("mpreg.echo", 1, timeout=-1)
        with pytest.raises(InvalidInputError):
            await c.serve("mpreg.mine", broken)
        with pytest.raises(NotFoundError):
            await c.vote("no-such-proposal", True)
        registered = await c.register_cluster(
            Cluster(id="b", services=("billing",), endpoints=("http://127.0.0.1:9/",))
        )
        assert registered.hub == "l"
        assert [each.id for each in l.clusters()] == ["b", "c"]
        await c.deregister_cluster("b")
        with pytest.raises(NotFoundError):
            await c.deregister_cluster("b")
        with pytest.raises(InvalidInputError, match="this node is of tier global"):
            await g.deregister_cluster("b")


async def test_a_killed_hub_is_failed_and_a_leaving_node_left(node):
    async with AsyncExitStack() as stack:
        g = node("g", "global", "us")
        above = await stack.enter_async_context(g)
        async with node("r1", "regional", "us", g) as first:
            await until(lambda: first.ready() and len(above.members()) == 2)
        await until(lambda: {v.member.id: v.member.status for v in above.members()}["r1"] == "left")
        dying = node("r2", "regional", "eu", g)
        async with anyio.create_task_group() as tasks:

            async def live():
                async with dying as second:
                    await until(second.ready)
                    await anyio.sleep_forever()

            tasks.start_soon(live)
            await until(lambda: any(view.member.id == "r2" for view in above.members()))
            tasks.cancel_scope.cancel()
        await until(lambda: {v.member.id: v.member.status for v in above.members()}["r2"] == "failed")


async def test_a_node_with_a_data_directory_comes_back_with_what_it_decided(node):
    async with node("g", "global", "us", durable=True) as first:
        assert (await first.propose("k", 7, scope="federation")).status == "committed"
        before = first.status().node.incarnation
        with pytest.raises(StorageError, match="another running node uses this data directory"):
            async with node("g", "global", "us", durable=True):
                pass
    async with node("g", "global", "us", durable=True) as again:
        assert again.status().node.incarnation > before
        assert (await again.state.get("k", scope="federation", consistency="linearizable")).value == 7


async def test_a_port_in_use_is_an_error_that_names_it(node):
    g = node("g", "global", "us")
    async with g:
        taken = g.endpoints["gossip"].port
        with pytest.raises(TransportError, match=str(taken)):
            async with node("h", "global", "us", network={"gossip_port": taken}):
                pass


async def test_an_error_of_the_body_comes_out_unwrapped_and_everything_is_closed(node):
    g = node("g", "global", "us")
    with pytest.raises(ZeroDivisionError):
        async with g:
            raise ZeroDivisionError
    port = g.endpoints["gossip"].port
    async with node("g", "global", "us", network={"gossip_port": port}) as again:
        assert again.ready()


async def test_a_drained_node_is_passed_over_until_it_resumes(node):
    async with tree(node) as (g, _, l, c):  # noqa: E741
        await c.drain()
        assert (c.health().status, c.ready()) == ("draining", False)
        await until(lambda: any(v.member.draining for v in l.members() if v.member.id == "c"))
        await c.resume()
        assert c.ready()
        assert (await once_known(g, "mpreg.echo", 1, target="c")).payload == 1


async def test_a_policy_of_a_plugin_merges_the_keys_of_a_node(node, plugins):
    spec = MergePolicySpec(name="high", summary="The higher number.", merge=max, samples=(1, 2, 3))
    module = SimpleNamespace(mpreg_merge_policies=hookimpl(lambda: [spec], specname="mpreg_merge_policies"))
    made = node("g", "global", "us")
    made._plugins = Plugins([*plugins.loaded, *load_plugins(entry_points=[], extra=[("high", module)]).loaded])
    async with made as api:
        await api.state.put("level", 7, policy="custom:high")
        entry = await api.state.put("level", 5)
    assert (entry.value, entry.policy) == (7, "custom:high")


async def test_a_service_beyond_what_summaries_tell_is_discovered_at_the_hub_that_has_it(node):
    async with tree(node) as (g, r, local, c):
        for number in range(60):
            services = tuple(f"service-{number}-{each}" for each in range(16))
            cluster = Cluster(id=f"shop-{number}", services=services, endpoints=("http://127.0.0.1:9/",))
            await local.register_cluster(cluster)

        def summary():
            hub = r._driver.core.state.stacks["regional:us"].hubs.get("l")
            return hub and hub.services

        await until(lambda: summary() is not None and summary().cut)
        missing = next(f"service-{n}-7" for n in range(60) if f"service-{n}-7" not in summary().services)
        with anyio.fail_after(10):
            while not (found := await g.discover(missing)):
                await anyio.sleep(0.05)
        assert found[0].hub == "l"
        assert (await c.discover(missing))[0].hub == "l"
        assert await g.discover("nothing") == []
