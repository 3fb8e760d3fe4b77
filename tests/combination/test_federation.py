"""The installed strategies form a federation that does its job, on every backend."""

import anyio
import pytest

from mpreg_core import NoRouteError
from mpreg_core.plugin.discovery import load_plugins

pytestmark = [pytest.mark.anyio, pytest.mark.with_plugins]

KNOWN_S = 10.0


async def once_known(node, service, payload, **target):
    """Ask as soon as the node has heard of the target: summaries travel up the tree."""
    with anyio.fail_after(KNOWN_S):
        while True:
            try:
                return await node.request(service, payload, **target)
            except NoRouteError:
                await anyio.sleep(0.02)


async def first_change(events, change, member):
    with anyio.fail_after(KNOWN_S):
        async for occurrence in events:
            event = occurrence.event
            if getattr(event, "change", "") == change and event.member.id == member:
                return event


async def test_a_federation_forms_works_and_says_good_bye(grow, strategies):
    async with grow() as tree:
        for node in tree.values():
            for pool in node.status().pools:
                assert pool.strategies == strategies
            assert node.health().status == "healthy"

        reply = await once_known(tree["c1"], "mpreg.echo", {"hi": 1}, target="c2")
        assert (reply.payload, reply.served_by) == ({"hi": 1}, "c2")
        assert (reply.path[0], reply.path[-1]) == ("c1", "c2")
        assert {"l1", "l2"} < set(reply.path) <= {"c1", "l1", "r", "l2", "c2"}

        async def double(request):
            return request.payload * 2

        await tree["c2"].serve("double", double)
        assert (await once_known(tree["g"], "double", 21)).payload == 42

        await tree["c1"].state.put("colour", "blue", scope="federation")
        with anyio.fail_after(KNOWN_S):
            for node in tree.values():
                while [entry.value for entry in node.state.list("colour", scope="federation")[0]] != ["blue"]:
                    await anyio.sleep(0.01)

        decision = await tree["c2"].propose("max_load", 0.8, scope="federation")
        assert decision.status == "committed"
        if strategies["consensus"] == "quorum":  # a log's entry is replicated, not voted on
            assert (decision.needed, decision.votes) == (2, {"g": True, "r": True})
        read = await tree["c1"].state.get("max_load", scope="federation", consistency="linearizable")
        assert read.value == 0.8

        async with tree["r"].events() as events:
            await tree["l2"].depart(1.0)
            assert (await first_change(events, "left", "l2")).member.status == "left"
        alive = {view.member.id for view in tree["r"].members() if view.member.status == "alive"}
        assert alive == {"g", "r", "l1"}
        assert (await tree["c1"].request("mpreg.echo", 1, target="g")).served_by == "g"


def test_the_environment_holds_the_strategies_it_is_named_after(strategies, is_alone):
    installed = load_plugins()
    assert not installed.failures
    for family, name in strategies.items():
        known = set(installed.names(family)) - {"random", "proximity", "topology_aware"}  # gossip's other selections
        assert known == {name} if is_alone else name in known
