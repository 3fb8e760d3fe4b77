"""A request whose answer is late goes a second way, from the first node that knows two."""

import pytest

from mpreg_core.errors import InvalidInputError
from mpreg_core.node.pending import check_hedge


@pytest.fixture
def fed(federation):
    made = federation()
    made.grow(regions=("us", "eu"), hubs=2, clusters=2)
    made.world.run_until(made.complete, 10)
    for node in ("c-us-1-1", "c-us-1-2"):
        made.world.command(node, lambda core: core.registry.serve("pay"))
        made.world.nodes[node].handlers["pay"] = lambda invoke: ("", invoke.path[-1].encode())
    made.world.run(3)
    return made


def ask(fed, at, **more):
    fed.request(at, "mpreg.echo", node=at)  # nothing else is under way
    return fed.request(at, "pay", timeout_s=2.0, **more)


def best(fed, at):
    return ask(fed, at, idempotent=True).reply.path[-1]


@pytest.mark.parametrize("at", ["l-us-1", "c-us-2-1", "c-eu-1-1"])
def test_when_the_best_place_is_silent_the_next_one_answers_soon(fed, at):
    first = best(fed, at)
    fed.world.pause(first)
    outcome = ask(fed, at, idempotent=True, hedge_ns=50_000_000)
    assert outcome.reply.code == ""
    assert outcome.reply.path[-1] != first
    assert outcome.duration_ns < 400_000_000


def test_a_request_in_time_goes_one_way_only(fed):
    first = best(fed, "l-us-1")
    for _ in range(20):
        outcome = ask(fed, "l-us-1", idempotent=True, hedge_ns=500_000_000)
        assert outcome.reply.path[-1] == first
    assert fed.world.nodes["l-us-1"].core.state.counters.get(("mpreg_requests_hedged_total", ()), 0) == 0


def test_where_there_is_no_other_place_the_first_one_is_waited_for(fed):
    fed.world.command("c-us-1-2", lambda core: core.registry.unserve("pay"))
    fed.world.run(2)
    fed.world.pause("c-us-1-1")
    fed.world.later(0.3, lambda: fed.world.resume("c-us-1-1"))
    outcome = ask(fed, "c-eu-1-1", idempotent=True, hedge_ns=50_000_000)
    assert (outcome.reply.code, outcome.reply.path[-1]) == ("", "c-us-1-1")


def test_a_late_answer_of_the_first_way_changes_nothing(fed):
    first = best(fed, "l-us-1")
    fed.world.pause(first)
    assert ask(fed, "l-us-1", idempotent=True, hedge_ns=50_000_000).reply.code == ""
    fed.world.resume(first)
    fed.world.run(1)
    assert len(fed.world.nodes["l-us-1"].core.requests) == 0


def test_only_what_is_idempotent_may_go_two_ways():
    check_hedge(None, idempotent=False)
    check_hedge(0.05, idempotent=True)
    wrong = ((0.05, False, "only an idempotent"), (0, True, "expected a hedge of"), (1e9, True, "expected"))
    for hedge, idempotent, says in wrong:
        with pytest.raises(InvalidInputError, match=says):
            check_hedge(hedge, idempotent=idempotent)
