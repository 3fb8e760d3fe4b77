"""Requests without a way wait for one where it may come soon, and are refused where it will not."""

import pytest

from mpreg_core.wire.control import Hello


@pytest.fixture
def fed(federation):
    made = federation()
    made.grow(("us", "eu", "ap"))
    made.world.run_until(made.complete, 10)
    for node in ("c-us-1-1", "c-eu-1-1"):
        serve(made, node, f"of-{node}")
    made.world.run(2)
    return made


def serve(fed, node, service):
    fed.world.nodes[node].handlers[service] = lambda invoke: ("", b"1")
    fed.world.command(node, lambda core: core.registry.serve(service))


def ask(fed, at, service, timeout_s=3.0):
    """(code, whether it may have been delivered, seconds it took)."""
    begun_ns = fed.world.now_ns
    reply = fed.request(at, service, timeout_s).reply
    return reply.code, reply.delivered, (fed.world.now_ns - begun_ns) / 1e9


def lose(fed, node, at):
    """A node dies, and another one has heard of it."""
    fed.world.crash(node)
    fed.world.run_until(lambda: fed.world.nodes[at].core.state.member(node).status == "failed", 10)


def test_a_request_from_below_a_lost_hub_waits_until_another_has_taken_its_children_in(fed):
    lose(fed, "r-us", at="l-us-1")
    assert fed.world.nodes["l-us-1"].core.state.parent == "r-us"
    code, _, took_s = ask(fed, "c-us-1-1", "of-c-eu-1-1")
    assert code == ""
    assert took_s > 0.05


def test_a_request_for_what_lies_below_a_lost_hub_waits_if_it_was_answered_lately(fed):
    assert ask(fed, "c-eu-1-1", "of-c-us-1-1")[0] == ""
    lose(fed, "r-us", at="r-eu")
    assert ask(fed, "c-eu-1-1", "of-c-us-1-1")[0] == ""


def test_a_request_whose_way_does_not_come_ends_in_its_time_and_was_certainly_not_delivered(fed):
    assert ask(fed, "c-eu-1-1", "of-c-us-1-1")[0] == ""
    for node in ("r-us", "l-us-1", "c-us-1-1"):
        fed.world.crash(node)
    fed.world.run_until(lambda: fed.world.nodes["r-eu"].core.state.member("r-us").status == "failed", 10)
    code, delivered, took_s = ask(fed, "r-eu", "of-c-us-1-1", timeout_s=0.5)
    assert (code, delivered) == ("timeout", False)
    assert took_s <= 0.5
    fed.world.run(10)
    code, delivered, took_s = ask(fed, "r-eu", "of-c-us-1-1")
    assert (code, delivered) == ("no_route", False)
    assert took_s < 0.5


def test_what_nobody_serves_is_refused_at_once_and_what_nobody_serves_any_more_within_a_second(fed):
    code, _, took_s = ask(fed, "c-eu-1-1", "no-such")
    assert (code, took_s < 0.5) == ("no_route", True)
    assert ask(fed, "c-eu-1-1", "of-c-us-1-1")[0] == ""
    fed.world.command("c-us-1-1", lambda core: core.registry.unserve("of-c-us-1-1"))
    fed.world.run(0.5)
    code, _, took_s = ask(fed, "c-eu-1-1", "of-c-us-1-1")
    assert code == "no_route"
    assert took_s < 1.5


def test_a_second_hub_that_takes_a_node_in_is_told_that_it_is_not_needed(fed):
    lose(fed, "r-us", at="l-us-1")
    node = fed.world.nodes["l-us-1"].core
    fed.world.run_until(lambda: node.state.parent in ("r-eu", "r-ap"), 5)
    other = "r-ap" if node.state.parent == "r-eu" else "r-eu"
    hello = Hello("test", node.state.own_record("regional"), "regional", 1)
    fed.world.command(other, lambda core: core.admission.on_hello(hello))
    pool = fed.world.nodes[other].core.state.stack_of("regional")
    assert pool.table.member("l-us-1").status == "alive"
    kept = node.state.parent
    fed.world.run(1)
    assert node.state.parent == kept
    assert pool.table.member("l-us-1").status == "left"


def test_a_child_that_left_a_draining_hub_is_not_taken_in_again(fed):
    fed.world._do(fed.world.nodes["r-us"], fed.world.nodes["r-us"].core.drain(fed.world.now_ns))
    local = fed.world.nodes["l-us-1"].core
    fed.world.run_until(lambda: local.state.parent != "r-us", 10)
    fed.world.run(3)
    assert local.state.parent != "r-us"
    assert ask(fed, "c-us-1-1", "of-c-eu-1-1")[0] == ""


def test_what_may_be_asked_twice_goes_elsewhere_when_the_node_that_has_it_is_gone(fed):
    for node in ("c-us-1-1", "c-eu-1-1"):
        serve(fed, node, "pay")
    fed.world.run(2)
    fed.world.network.block("c-us-1-1", "l-us-1")  # it answers, and nobody hears
    tokens = []

    def asked(core, idempotent):
        tokens.append(core.new_token())
        core.requests.ask(tokens[-1], "pay", b"1", 8 * 10**9, idempotent=idempotent)

    for idempotent in (True, False):
        fed.world.command("l-us-1", lambda core, idempotent=idempotent: asked(core, idempotent))
    fed.world.run(9)
    first, second = (fed.world.nodes["l-us-1"].results[token].reply for token in tokens)
    assert (first.code, first.where) == ("", "c-eu-1-1")
    assert (second.code, second.delivered) == ("timeout", True)


def test_a_node_comes_home_to_a_hub_that_is_settled_itself(fed):
    local = fed.world.nodes["l-us-1"].core
    lose(fed, "r-us", at="l-us-1")
    fed.world.run_until(lambda: local.state.parent in ("r-eu", "r-ap"), 5)
    fed.world.start("r-us")
    home = fed.world.nodes["r-us"].core
    fed.world.run_until(lambda: local.state.parent == "r-us", 20)
    assert home.joining.is_settled()


def test_a_member_that_is_listed_may_be_asked_though_the_routers_have_not_seen_it_yet(federation):
    fed = federation()
    fed.add("g", "global", "us", None)
    fed.add("r", "regional", "us", "g")
    fed.world.nodes["g"].handlers["mpreg.echo"] = lambda invoke: ("", b"1")
    node = fed.world.nodes["r"]
    assert fed.world.run_until(lambda: node.core.state.member("g") is not None, 10)
    assert any(stack.view_dirty for stack in node.core.state.stacks.values())
    assert fed.request("r", "mpreg.echo", node="g").reply.code == ""
    assert fed.request("r", "nobody").reply.code == "no_route"
