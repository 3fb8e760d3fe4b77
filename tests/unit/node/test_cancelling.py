"""A caller that waits no longer has all that works for it told: each hop, and the handler."""

import pytest

from mpreg_core.node.actions import Abandon
from mpreg_core.wire.request import CancelFrame


@pytest.fixture
def fed(federation):
    made = federation()
    made.grow(regions=("us", "eu"), hubs=1, clusters=1)
    made.world.run_until(made.complete, 10)
    made.world.command("c-eu-1-1", lambda core: core.registry.serve("slow"))
    made.world.run(3)
    return made


def begin(fed, at, **more):
    """A request whose handler does not return."""
    server = fed.world.nodes["c-eu-1-1"]
    fed.world._invoke = lambda node, action: None
    ids = []

    def ask(core):
        ids.append(core.requests.ask(core.new_token(), "slow", b"1", 30_000_000_000, **more))

    fed.world.command(at, ask)
    fed.world.run_until(lambda: server.core.requests.running == 1, 2)
    assert server.core.requests.running == 1
    return ids[0]


def open_requests(fed):
    return {name: len(node.core.requests) for name, node in fed.world.nodes.items() if len(node.core.requests)}


def test_a_cancelled_request_ends_on_its_whole_way_and_its_handler_is_stopped(fed):
    abandoned = []
    rarer = fed.world._do_rarer
    fed.world._do_rarer = lambda node, action: (
        abandoned.append((node.id, action.call)) if isinstance(action, Abandon) else rarer(node, action)
    )
    request = begin(fed, "c-us-1-1")
    assert len(open_requests(fed)) > 3
    fed.world.command("c-us-1-1", lambda core: core.requests.cancel(request))
    fed.world.run(1)
    assert open_requests(fed) == {}
    assert abandoned == [("c-eu-1-1", request)]


def test_only_who_handed_a_request_on_can_call_it_off(fed):
    request = begin(fed, "c-us-1-1")
    before = open_requests(fed)
    server = fed.world.nodes["c-eu-1-1"].core
    server.step(fed.world.now_ns)
    server.requests.on_cancel("r-us", CancelFrame(request))
    server.requests.on_cancel("l-eu-1", CancelFrame("nothing"))
    assert open_requests(fed) == before


def test_an_answer_that_comes_after_the_end_changes_nothing(fed):
    request = begin(fed, "c-us-1-1")
    fed.world.command("c-us-1-1", lambda core: core.requests.cancel(request))
    server = fed.world.nodes["c-eu-1-1"]
    fed.world._do(server, server.core.on_handled(fed.world.now_ns, request, "", b"2", ""))
    fed.world.run(1)
    assert open_requests(fed) == {}
    fed.world.command("c-us-1-1", lambda core: core.requests.cancel(request))
