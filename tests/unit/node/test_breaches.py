"""What a strategy, a peer or a forger does wrong is bounded, counted and told; the node goes on."""

import msgspec
import pytest
from msgspec.structs import replace

from mpreg_core.contracts.effects import Emit
from mpreg_core.contracts.events import (
    ChannelRefused,
    Delivered,
    RoundTrip,
    StrategyFailed,
    Verdict,
)
from mpreg_core.contracts.members import Speaks
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.node import requests as requests_module
from mpreg_core.node import topics
from mpreg_core.node.actions import Complete, Transmit
from mpreg_core.node.pending import RETRY_AFTER_MS_MAX, RETRY_AFTER_MS_MIN, Stays
from mpreg_core.units import NS_PER_MS
from mpreg_core.wire.codec import FrameEncoder, MessageDecoder, decode_frame, encode_frame
from mpreg_core.wire.control import Deliver, Welcome
from mpreg_core.wire.envelope import CONTROL_CHANNEL
from mpreg_core.wire.request import ReplyFrame, RequestFrame

REQUESTS = MessageDecoder((RequestFrame, ReplyFrame))
CONTROL = MessageDecoder((Welcome,))


@pytest.fixture
def fed(federation):
    fed = federation()
    fed.grow()
    fed.world.run_until(fed.complete, 10)
    fed.world.run(1)
    return fed


def step(fed, node, act):
    """Do something at a node and catch its actions instead of carrying them out."""
    core = fed.world.nodes[node].core
    core.step(fed.world.now_ns)
    act(core)
    return core.finish()


def replies(actions):
    frames = [action.frame for action in actions if isinstance(action, Transmit) and action.plane == "routing"]
    messages = [REQUESTS.decode(decode_frame(frame).body) for frame in frames]
    return [message for message in messages if isinstance(message, ReplyFrame)]


def failures(fed, node):
    return [o.event for o in fed.world.nodes[node].events if isinstance(o.event, StrategyFailed)]


def counter(fed, node, name):
    return sum(n for key, n in fed.world.nodes[node].core.state.counters.items() if key[0] == name)


# requests


def arriving(**more):
    fields = {"id": "x", "service": "s", "payload": b"1", "path": ("r-us",), "hops_left": 3, "budget_ms": 500}
    return RequestFrame(**{**fields, **more})


@pytest.mark.parametrize(
    ("frame", "code", "message"),
    [
        (arriving(path=("c", "l-us-1", "r-us")), "no_route", "been here before"),
        (arriving(hops_left=0), "budget_spent", "hop budget"),
        (arriving(budget_ms=0), "timeout", "time budget"),
    ],
)
def test_a_request_that_has_been_here_or_has_nothing_left_to_spend_is_refused(fed, frame, code, message):
    actions = step(fed, "l-us-1", lambda core: core.requests.on_request("r-us", frame))
    (reply,) = replies(actions)
    assert (reply.code, reply.where, reply.delivered) == (code, "l-us-1", False)
    assert message in reply.message


def test_only_the_node_that_was_asked_may_answer(fed):
    asked = step(fed, "c-us-1-1", lambda core: core.requests.ask(1, "mpreg.echo", b"1", 10**9, node="g"))
    assert any(isinstance(action, Transmit) for action in asked)
    (pending,) = fed.world.nodes["c-us-1-1"].core.requests._pending.values()
    forged = ReplyFrame(id=pending.frame.id, code="", payload=b"2", where="g", path=())
    refused = step(fed, "c-us-1-1", lambda core: core.requests.on_reply("c-eu-1-1", forged))
    assert not any(isinstance(action, Complete) for action in refused)
    taken = step(fed, "c-us-1-1", lambda core: core.requests.on_reply("l-us-1", forged))
    assert any(isinstance(action, Complete) for action in taken)


def test_requests_over_the_bound_are_refused_as_overloaded(fed, monkeypatch):
    monkeypatch.setattr(requests_module, "REQUESTS_PENDING_MAX", 2)

    def ask(core):
        for token in range(3):
            core.requests.ask(token, "mpreg.echo", b"1", 10**9, node="g")

    done = [action for action in step(fed, "c-us-1-1", ask) if isinstance(action, Complete)]
    assert [(action.token, action.result.reply.code) for action in done] == [(2, "overloaded")]
    assert done[0].result.reply.retry_after_ms == RETRY_AFTER_MS_MIN


def test_a_full_node_says_after_how_long_the_requests_of_now_have_made_room():
    stays = Stays()
    for _ in range(2_000):
        stays.note(700 * NS_PER_MS)
    assert stays.retry_after_ms == pytest.approx(700, abs=5)
    for _ in range(2_000):
        stays.note(60_000 * NS_PER_MS)
    assert stays.retry_after_ms == RETRY_AFTER_MS_MAX


# members and items


def test_a_frame_that_claims_to_come_from_this_node_is_dropped(fed):
    core = fed.world.nodes["g"].core
    channel = core.state.stacks["global"].detector.channel
    frame = encode_frame(channel, "g", b"\x92\x01\xc2")
    core.on_frames(fed.world.now_ns, "membership", Endpoint("x", 1), [frame])
    key = ("mpreg_frames_dropped_total", (("plane", "membership"), ("reason", "own_id")))
    assert core.state.counters[key] == 1


def test_a_member_that_answers_though_it_is_held_for_dead_is_told_so(fed):
    stack = fed.world.nodes["g"].core.state.stacks["global"]
    known = stack.table.member("r-eu")
    step(fed, "g", lambda core: core.merging.on_verdict(stack, Verdict("r-eu", "failed", known.incarnation, "x")))
    alive = Verdict("r-eu", "alive", known.incarnation, "x")
    actions = step(fed, "g", lambda core: core.merging.on_verdict(stack, alive))
    (told,) = [action for action in actions if isinstance(action, Transmit)]
    assert told.to[0].host == "r-eu"
    accused, _ = CONTROL.decode(decode_frame(told.frame).body).members
    assert (accused.id, accused.status) == ("r-eu", "failed")


def test_after_moving_to_another_hub_the_old_pool_is_left(fed):
    fed.world.crash("l-us-1")
    state = fed.world.nodes["c-us-1-1"].core.state
    fed.world.run_until(lambda: state.parent == "l-us-2", 20)
    fed.world.run(1)
    assert list(state.stacks) == ["local:l-us-2"]


@pytest.mark.parametrize(
    ("key", "payload"),
    [
        ("m/someone-else", lambda fed: msgspec.msgpack.encode(fed.world.nodes["g"].core.state.own_record("global"))),
        ("h/r-eu", lambda fed: b"\xc1"),
        ("s/p/local:elsewhere/k", lambda fed: b"\x90"),
        ("unknown/topic", lambda fed: b""),
        ("m/", lambda fed: b"\x91" * 3000),
        ("e/x-1", lambda fed: msgspec.msgpack.encode(topics.MessageRecord("x-1", "t", b"no json", "g"))),
    ],
)
def test_an_item_that_is_not_what_its_key_says_is_counted_and_forgotten(fed, key, payload):
    stack = fed.world.nodes["r-us"].core.state.stacks["global"]
    before = (len(stack.items), len(stack.table))
    item = Delivered(key, 1, payload(fed), "g", 0, 1)
    step(fed, "r-us", lambda core: core.merging.on_delivered(stack, item))
    assert (len(stack.items), len(stack.table)) == before
    assert counter(fed, "r-us", "mpreg_items_rejected_total") == 1


@pytest.mark.parametrize(
    ("pool", "payload"),
    [
        ("global", b"\xc1"),
        ("global", msgspec.msgpack.encode(topics.MessageRecord("x-1", "t", b"\xff", "g"))),
        ("global", msgspec.msgpack.encode(topics.MessageRecord("x-1", "t", b"[" * 5_000, "g"))),
        ("elsewhere", msgspec.msgpack.encode(topics.MessageRecord("x-1", "t", b"1", "g"))),
    ],
    ids=["no record", "no JSON", "too deep", "another pool"],
)
def test_a_message_sent_straight_that_cannot_be_read_is_counted_and_forgotten(fed, pool, payload):
    frame = FrameEncoder(CONTROL_CHANNEL, "g").encode(Deliver(pool, "e/x-1", payload, 0))
    core = fed.world.nodes["r-us"].core
    actions = core.on_frames(fed.world.now_ns, "gossip", Endpoint("10.9.9.9", 1), [frame])
    assert not any(isinstance(action, Transmit) for action in actions)
    assert counter(fed, "r-us", "mpreg_items_rejected_total") == 1


def test_region_keys_do_not_enter_the_global_pool(fed):
    fed.world.command("c-us-1-1", lambda core: core.replication.put("k", 1, "region", None, None))
    fed.world.run(3)
    assert fed.world.nodes["g"].core.replication.store.held_keys() == []
    assert fed.world.nodes["r-eu"].core.replication.store.held_keys() == []
    assert len(fed.world.nodes["r-us"].core.replication.store.held_keys()) == 1


def test_a_member_of_another_wire_version_is_not_spoken_to(fed):
    stack = fed.world.nodes["g"].core.state.stacks["global"]
    held = stack.table.member("r-eu")
    newer = tuple(Speaks(s.family, s.strategy, 7, 9) if s.family == "gossip" else s for s in held.speaks)
    changed = replace(held, incarnation=held.incarnation + 1, speaks=newer)
    fed.world.command("g", lambda core: core.merging.take(stack, changed, "gossip"))
    (refused,) = [o.event for o in fed.world.nodes["g"].events if isinstance(o.event, ChannelRefused)]
    assert (refused.peer, refused.family, refused.ours, refused.theirs) == ("r-eu", "gossip", "flood/1-1", "flood/7-9")
    actions = step(fed, "g", lambda core: core.spread.publish("t", b"1"))
    gossip = [action for action in actions if isinstance(action, Transmit) and action.plane == "gossip"]
    assert all(endpoint.host != "r-eu" for action in gossip for endpoint in action.to)


# strategies


def test_a_machine_that_raises_is_built_anew_three_times_a_minute_then_stopped(fed):
    stack = fed.world.nodes["g"].core.state.stacks["global"]

    def broken(now_ns):
        raise ZeroDivisionError("a bug")

    for expected in (False, False, False, True):
        machine = stack.detector.machine
        machine.on_deadline = broken
        fed.world.command("g", lambda core: stack.call(stack.detector, "on_deadline"))
        assert stack.detector.stopped is expected
        assert expected or stack.detector.machine is not machine
    assert [event.stopped for event in failures(fed, "g")] == [False, False, False, True]
    assert "ZeroDivisionError in on_deadline: a bug" in failures(fed, "g")[0].error
    fed.world.run(5)
    assert fed.request("g", "mpreg.echo", node="r-eu").reply.where == "r-eu"


def test_a_consensus_engine_that_raises_is_stopped_at_once(fed):
    stack = fed.world.nodes["g"].core.state.stacks["global"]

    def broken(now_ns, proposal):
        raise ZeroDivisionError("a bug")

    stack.consensus.machine.on_proposal = broken
    fed.world.command("g", lambda core: core.decisions.propose(core.new_token(), "federation", "k", 1, 10**9))
    assert stack.consensus.stopped
    with pytest.raises(Exception, match="no consensus engine"):
        step(fed, "g", lambda core: core.decisions.propose(1, "federation", "k", 1, 10**9))


def test_an_engine_that_never_answers_costs_the_caller_a_bounded_time(fed):
    stack = fed.world.nodes["g"].core.state.stacks["global"]
    stack.consensus.machine.on_proposal = lambda now_ns, proposal: ()
    tokens = []

    def act(core):
        tokens.append(core.new_token())
        core.decisions.propose(tokens[0], "federation", "k", 1, 10**9)

    fed.world.command("g", act)
    results = fed.world.nodes["g"].results
    assert fed.world.run_until(lambda: tokens[0] in results, 10) < 2.5
    assert results[tokens[0]].code == "no_quorum"


def test_a_deadline_that_does_not_move_on_is_a_breach_and_not_an_endless_loop(fed):
    stack = fed.world.nodes["g"].core.state.stacks["global"]
    now_ns = fed.world.now_ns
    stack.detector.machine.next_deadline = lambda: now_ns
    stack.detector.machine.on_deadline = lambda now_ns: ()
    stack.detector.deadline = now_ns
    fed.world.run(2)
    assert "next_deadline is not later than now" in failures(fed, "g")[0].error
    assert len(failures(fed, "g")) == 1


@pytest.mark.parametrize(
    "effects",
    [[None], ["send"], [msgspec.Raw(b"")], [Verdict("a", "alive", 1, "x")]],
    ids=lambda e: type(e[0]).__name__,
)
def test_what_is_no_effect_is_a_breach(fed, effects):
    stack = fed.world.nodes["g"].core.state.stacks["global"]
    fed.world.command("g", lambda core: stack.apply(stack.router, effects))
    assert "expected Send, Emit or" in failures(fed, "g")[0].error


def test_machines_that_answer_each_other_for_ever_are_cut_off(fed):
    stack = fed.world.nodes["g"].core.state.stacks["global"]
    again = Emit(RoundTrip("r-eu", 1))
    stack.gossip.machine.on_round_trip = lambda now_ns, peer, rtt_ns: [again]
    fed.world.command("g", lambda core: stack.apply(stack.detector, [again]))
    assert counter(fed, "g", "mpreg_events_cut_off_total") == 1


def test_nothing_behind_a_persist_leaves_before_the_record_is_durable(fed):
    """The dictator persists, then tells: a crash before the disk answered must leave nobody told."""
    fed.world.command("g", lambda core: core.decisions.propose(core.new_token(), "federation", "k", 1, 10**9))
    assert not fed.world.nodes["g"].disk.journals.get("global/consensus")
    fed.world.crash("g")
    fed.world.run(3)
    assert all(not node.core.replication.list("k", "federation") for node in fed.world.nodes.values())
    fed.world.start("g")
    fed.world.run(2)
    fed.world.command("g", lambda core: core.decisions.propose(core.new_token(), "federation", "k", 2, 10**9))
    fed.world.run(3)
    assert fed.world.nodes["g"].disk.journals["global/consensus"]
    assert fed.world.nodes["c-eu-1-1"].core.replication.list("k", "federation")[0].value == 2


def test_an_engine_that_is_back_gets_its_records(fed):
    fed.world.command("g", lambda core: core.decisions.propose(core.new_token(), "federation", "k", 1, 10**9))
    fed.world.run(1)
    fed.world.crash("g")
    fed.world.start("g")
    assert fed.world.nodes["g"].core.state.stacks["global"].consensus.machine.index == 1


def test_a_message_too_large_for_a_frame_is_the_strategys_breach(fed):
    stack = fed.world.nodes["g"].core.state.stacks["global"]
    huge = topics.message_item(topics.MessageRecord("i", "t", bytes(2 << 20), "g"), 0)
    effects = stack.gossip.machine.on_publish(fed.world.now_ns, huge)
    fed.world.command("g", lambda core: stack.apply(stack.gossip, effects))
    assert "oversized" in failures(fed, "g")[0].error
