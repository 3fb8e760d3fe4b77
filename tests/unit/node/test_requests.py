"""Requests across the tree: who answers, which way, what is spent, and how a failure ends."""

import pytest

from mpreg_core.contracts.api import Cluster
from mpreg_core.contracts.events import RequestDone
from mpreg_core.contracts.router import Forward
from mpreg_core.limits import HOPS_MAX
from mpreg_core.wire.request import RequestFrame


def serve(fed, node, service, answer=b'"done"', code=""):
    runs = []

    def handler(invoke):
        runs.append(invoke)
        return code, answer

    fed.world.nodes[node].handlers[service] = handler
    fed.world.command(node, lambda core: core.registry.serve(service))
    return runs


@pytest.fixture
def ready(federation):
    def make(**shape):
        fed = federation()
        fed.grow(**shape)
        fed.world.run_until(fed.complete, 10)
        return fed

    return make


def test_a_service_in_another_region_is_found_through_the_hubs(ready):
    fed = ready()
    runs = serve(fed, "c-eu-2-1", "orders")
    fed.world.run(2)
    outcome = fed.request("c-us-1-1", "orders")
    assert (outcome.reply.code, outcome.reply.payload, outcome.reply.where) == ("", b'"done"', "c-eu-2-1")
    assert outcome.reply.path == ("c-us-1-1", "l-us-1", "r-us", "r-eu", "l-eu-2", "c-eu-2-1")
    assert len(runs) == 1
    assert runs[0].path == outcome.reply.path


def test_a_request_climbs_no_higher_than_the_nearest_shared_pool(ready):
    fed = ready()
    serve(fed, "c-us-2-1", "orders")
    fed.world.run(2)
    assert fed.request("c-us-1-1", "orders").reply.path == ("c-us-1-1", "l-us-1", "l-us-2", "c-us-2-1")


def test_a_nearer_cluster_is_preferred_to_one_of_another_region(ready):
    fed = ready()
    for node in ("c-eu-1-1", "c-us-2-1"):
        serve(fed, node, "orders")
    fed.world.run(2)
    assert fed.request("c-us-1-1", "orders").reply.where == "c-us-2-1"
    assert fed.request("c-eu-2-1", "orders").reply.where == "c-eu-1-1"


def test_every_node_reaches_every_other_by_its_id(ready):
    fed = ready(hubs=2, clusters=1)
    fed.world.run(2)
    for source in fed.ids:
        for target in fed.ids:
            reply = fed.request(source, "mpreg.echo", node=target).reply
            assert (reply.code, reply.where) == ("not_found", target), f"{source} -> {target}: {reply}"
            assert len(reply.path) <= 6


def test_an_unknown_service_fails_soon_and_says_where(ready):
    fed = ready()
    outcome = fed.request("c-us-1-1", "nothing")
    assert outcome.reply.code == "no_route"
    assert outcome.reply.where == "g" or outcome.reply.where.startswith(("r-", "l-", "c-"))
    assert outcome.duration_ns < 1e9


def test_a_silent_handler_ends_in_a_timeout_in_time(ready):
    fed = ready()
    serve(fed, "c-us-2-1", "slow")
    fed.world.run(2)
    fed.world.pause("c-us-2-1")
    outcome = fed.request("c-us-1-1", "slow", timeout_s=1.0)
    assert outcome.reply.code == "timeout"
    assert 0.9e9 < outcome.duration_ns <= 1.01e9
    assert outcome.reply.delivered


def test_a_dead_cluster_is_passed_over_for_a_live_one(ready):
    fed = ready()
    serve(fed, "c-us-2-1", "orders")
    serve(fed, "c-eu-1-1", "orders")
    fed.world.run(2)
    fed.world.crash("c-us-2-1")
    outcome = fed.request("c-us-1-1", "orders", idempotent=True)
    assert (outcome.reply.code, outcome.reply.where) == ("", "c-eu-1-1")


def test_what_may_have_been_delivered_is_not_sent_twice_unless_idempotent(ready):
    fed = ready()
    serve(fed, "c-us-2-1", "orders")
    serve(fed, "c-eu-1-1", "orders")
    fed.world.run(2)
    fed.world.crash("c-us-2-1")
    assert fed.request("c-us-1-1", "orders").reply.code == "no_route"


def test_a_request_seen_twice_runs_once(ready):
    fed = ready()
    runs = serve(fed, "c-us-1-1", "orders")
    fed.world.run(1)
    hub = fed.world.nodes["l-us-1"]
    outcome = fed.request("l-us-1", "orders")
    frame = RequestFrame(
        id=outcome.reply.id, service="orders", payload=b"1", path=("l-us-1",), hops_left=3, budget_ms=500
    )
    fed.world.command("c-us-1-1", lambda core: core.requests.on_request("l-us-1", frame))
    fed.world.run(1)
    assert len(runs) == 1
    assert hub.core.state.counters[("mpreg_replies_unexpected_total", ())] == 1


def test_a_router_that_loops_costs_hops_but_never_visits_a_node_twice(ready):
    fed = ready()
    for node in fed.world.nodes.values():
        for stack in node.core.state.stacks.values():
            peers = sorted(m.id for m in stack.table.present() if m.id != node.id)
            router = stack.router.machine
            router.route = lambda target, avoid, policy, peers=peers: Forward(peers[0], 1, "always the first")
    reply = fed.request("c-us-1-1", "nothing").reply
    assert reply.code == "no_route"
    assert len(set(reply.path)) == len(reply.path) <= HOPS_MAX + 1


def test_a_router_that_raises_is_built_anew_and_the_request_gets_an_answer(ready):
    fed = ready()
    stack = fed.world.nodes["c-us-1-1"].core.state.stacks["local:l-us-1"]

    def broken(target, avoid, policy):
        raise ZeroDivisionError("a bug")

    stack.router.machine.route = broken
    assert fed.request("c-us-1-1", "nothing").reply.code == "no_route"
    fed.world.run(1)
    assert fed.request("c-us-1-1", "mpreg.echo", node="l-us-1").reply.code == "not_found"


def test_a_draining_node_takes_no_requests_and_others_are_served(ready):
    fed = ready()
    serve(fed, "c-us-2-1", "orders")
    serve(fed, "c-eu-1-1", "orders")
    fed.world.run(2)
    fed.world._do(fed.world.nodes["c-us-2-1"], fed.world.nodes["c-us-2-1"].core.drain(fed.world.now_ns))
    assert fed.request("c-us-1-1", "orders").reply.where == "c-eu-1-1"


def test_each_request_ends_exactly_once_and_is_told(ready):
    fed = ready()
    serve(fed, "c-eu-2-1", "orders")
    fed.world.run(2)
    node = fed.world.nodes["c-us-1-1"]
    for _ in range(20):
        fed.request("c-us-1-1", "orders")
    done = [o.event for o in node.events if isinstance(o.event, RequestDone)]
    assert [(event.outcome, event.hops) for event in done] == [("ok", 5)] * 20
    assert all(len(each.core.requests) == 0 for each in fed.world.nodes.values())


def test_a_registered_cluster_that_is_no_member_is_served_at_its_endpoint_by_its_hub(ready):
    fed = ready()
    runs = []
    fed.world.nodes["l-eu-1"].handlers["billing"] = lambda invoke: (runs.append(invoke), ("", b"1"))[1]
    cluster = Cluster(id="billing-7", services=("billing",), endpoints=("http://10.0.0.7/billing",))
    fed.world.command("l-eu-1", lambda core: core.registry.register(cluster))
    fed.world.run(2)
    reply = fed.request("c-us-1-1", "billing").reply
    assert (reply.code, reply.where) == ("", "l-eu-1")
    assert [run.endpoint for run in runs] == ["http://10.0.0.7/billing"]
    assert fed.request("c-us-1-1", "billing", cluster="billing-7").reply.where == "l-eu-1"
    fed.world.command("l-eu-1", lambda core: core.registry.deregister("billing-7"))
    fed.world.run(2)
    assert fed.request("c-us-1-1", "billing").reply.code == "no_route"


@pytest.mark.parametrize("idempotent", [True, False])
def test_an_endpoint_that_takes_no_connection_costs_no_request_while_another_cluster_is_there(ready, idempotent):
    fed, posted = ready(), []

    def answer(invoke):
        posted.append(invoke.endpoint)
        return ("unavailable", b"") if "down" in invoke.endpoint else ("", b"1")

    fed.world.nodes["l-eu-1"].handlers["billing"] = answer
    for name, endpoint in (("a", "http://down/"), ("b", "http://up/")):
        cluster = Cluster(id=name, services=("billing",), endpoints=(endpoint,))
        fed.world.command("l-eu-1", lambda core, cluster=cluster: core.registry.register(cluster))
    fed.world.run(2)
    for _ in range(6):
        reply = fed.request("c-us-1-1", "billing", idempotent=idempotent).reply
        assert (reply.code, reply.where) == ("", "l-eu-1")
    assert posted.count("http://down/") == 3, "then it comes last for a while"
    fed.world.run(11)
    fed.request("c-us-1-1", "billing")
    assert posted.count("http://down/") == 4, "it is tried again"


def test_a_cluster_without_heartbeat_expires_and_is_served_no_more(ready):
    fed = ready()
    fed.world.nodes["l-eu-1"].handlers["billing"] = lambda invoke: ("", b"1")
    cluster = Cluster(id="b", services=("billing",), endpoints=("http://x/",), ttl=3.0)
    fed.world.command("l-eu-1", lambda core: core.registry.register(cluster))
    fed.world.run(2)
    fed.world.command("l-eu-1", lambda core: core.registry.heartbeat("b", 0.5, None))
    fed.world.run(2)
    assert fed.request("r-eu", "billing").reply.code == ""
    fed.world.run(3)
    assert fed.request("r-eu", "billing").reply.code == "no_route"
