"""Clients of a node, frame by frame: who is taken in, what they get, and what their end means."""

from dataclasses import replace

import pytest

from mpreg_core.contracts.access import Identity
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.errors import InvalidInputError, UnauthenticatedError
from mpreg_core.limits import CLIENT_SUBSCRIPTIONS_MAX, REQUEST_BYTES_MAX
from mpreg_core.node.actions import Transmit
from mpreg_core.node.clients import SILENT_NS
from mpreg_core.units import NS_PER_S
from mpreg_core.wire.client import (
    TO_CLIENT,
    Answer,
    Ask,
    Call,
    ClientHello,
    ClientWelcome,
    Delivery,
    Done,
    Handled,
    MoveOn,
    Offer,
    Ping,
    Pong,
    Publish,
    Subscribe,
)
from mpreg_core.wire.codec import FrameEncoder, MessageDecoder, decode_frame
from mpreg_core.wire.envelope import CLIENT_CHANNEL

ME, OTHER, FAR = Endpoint("127.0.0.1", 50_001), Endpoint("127.0.0.1", 50_002), Endpoint("10.0.0.9", 50_001)
HELLO = ClientHello("test", 1)
_encoder, _decoder = FrameEncoder(CLIENT_CHANNEL, "a client"), MessageDecoder(TO_CLIENT)


class Hub:
    """A local hub whose clients are played by the test."""

    def __init__(self, federation):
        self.fed = federation()
        self.fed.grow(regions=("us",), hubs=1)
        assert self.fed.world.run_until(self.fed.complete, 20)
        self.node = self.fed.world.nodes["l-us-1"]
        self.core = self.node.core

    def hears(self, source, *messages):
        """What goes to clients at once, as (endpoint, message)."""
        frames = [_encoder.encode(message) for message in messages]
        return self.sent(self.core.on_frames(self.fed.world.now_ns, "routing", source, frames))

    def sent(self, actions):
        self.fed.world._do(self.node, [action for action in actions if not self.is_to_client(action)])
        return self.to_clients(actions)

    def to_clients(self, actions):
        return [
            (endpoint, _decoder.decode(decode_frame(action.frame).body))
            for action in actions
            if self.is_to_client(action)
            for endpoint in action.to
        ]

    @staticmethod
    def is_to_client(action):
        return isinstance(action, Transmit) and decode_frame(action.frame).channel == CLIENT_CHANNEL

    def serves(self, source, service):
        assert self.hears(source, HELLO, Offer(1, service))[-1] == (source, Done(1))

    def ask(self, source, service, **more):
        return self.hears(source, Ask(7, service, b'"hi"', more.pop("budget_ms", 1000), **more))


@pytest.fixture
def hub(federation):
    return Hub(federation)


def test_a_client_says_hello_and_asks(hub):
    assert hub.hears(ME, HELLO) == [(ME, ClientWelcome("l-us-1"))]
    assert hub.hears(ME, Ping()) == [(ME, Pong())]
    assert hub.ask(ME, "mpreg.echo") == []  # the node itself runs it


@pytest.mark.parametrize("message", [Ask(1, "s", b"1", 100), Ping(), Offer(1, "s"), Publish(1, "t", b"1")])
def test_who_did_not_say_hello_is_told_so_and_counted(hub, message):
    assert hub.hears(ME, message) == [(ME, Pong(False))]
    assert hub.core.state.counters["mpreg_client_strangers_total", ()] == 1
    assert "s" not in hub.core.registry.served


@pytest.mark.parametrize(
    ("source", "hello", "code"),
    [
        (FAR, HELLO, "forbidden"),
        (ME, ClientHello("another", 1), "federation"),
        (ME, ClientHello("test", 99), "wire"),
    ],
)
def test_a_hello_may_be_refused_with_the_reason(hub, source, hello, code):
    ((_, welcome),) = hub.hears(source, hello)
    assert (welcome.node, welcome.code) == ("l-us-1", code)
    assert welcome.message
    assert len(hub.core.clients) == 0


def test_clients_of_other_hosts_are_taken_where_the_operator_says_so(hub):
    hub.core.state.settings = replace(hub.core.state.settings, open_to_all=True)
    assert hub.hears(FAR, HELLO) == [(FAR, ClientWelcome("l-us-1"))]


class Guests:
    """Knows its guests by name, as `Tokens` knows bearers: `role:seconds` is a token."""

    def __init__(self, now_ms):
        self.now_ms = now_ms

    def identify(self, token, wall_ms):
        role, _, expires_s = token.partition(":")
        if not role:
            raise UnauthenticatedError("expected a token, got none")
        return Identity("guest", role, self.now_ms + int(expires_s) * 1000 if expires_s else 0)


@pytest.fixture
def guarded(hub):
    """A hub that wants tokens."""
    hub.core.state.settings = replace(hub.core.state.settings, authenticator=Guests(hub.core.state.wall_ms))
    return hub


def hello(token):
    return ClientHello("test", 1, token)


@pytest.mark.parametrize("source", [ME, FAR])
def test_where_tokens_are_wanted_it_is_the_token_that_counts_not_the_host(guarded, source):
    ((_, welcome),) = guarded.hears(source, HELLO)
    assert (welcome.code, welcome.message) == ("unauthenticated", "expected a token, got none")
    assert guarded.hears(source, hello("viewer")) == [(source, ClientWelcome("l-us-1"))]


MAY = {
    "viewer": {Subscribe},
    "operator": {Subscribe, Ask, Offer, Publish},
    "admin": {Subscribe, Ask, Offer, Publish},
}


@pytest.mark.parametrize("role", MAY)
@pytest.mark.parametrize(
    "message",
    [Ask(5, "s", b"1", budget_ms=0), Offer(5, "s"), Publish(5, "t", b"1"), Subscribe(5, "t")],
    ids=lambda m: type(m).__name__,
)
def test_what_a_client_may_say_depends_on_its_role(guarded, role, message):
    guarded.hears(ME, hello(role))
    ((_, answer),) = guarded.hears(ME, message)
    assert answer.number == 5
    assert (answer.code == "forbidden") == (type(message) not in MAY[role])
    if answer.code == "forbidden":
        assert "takes the role operator, and 'guest' is viewer" in answer.message
        assert guarded.core.state.counters["mpreg_clients_forbidden_total", ()] == 1


def test_a_client_is_asked_to_connect_anew_before_its_token_expires_and_is_let_go_then(guarded):
    guarded.hears(ME, hello("operator:20"))
    guarded.hears(OTHER, hello("operator"))
    begun_ns, told = guarded.fed.world.now_ns, []
    for second in range(25):
        actions = guarded.core.on_deadline(begun_ns + second * NS_PER_S)
        told += [(second, source, type(message)) for source, message in guarded.to_clients(actions)]
    assert told == [(15, ME, MoveOn), (20, ME, ClientWelcome)]
    assert guarded.hears(ME, Ping()) == [(ME, Pong(False))]
    assert len(guarded.core.clients) == 1


def test_a_client_that_comes_with_a_token_about_to_expire_is_not_sent_round_in_circles(guarded):
    assert guarded.hears(ME, hello("operator:3")) == [(ME, ClientWelcome("l-us-1"))]


def test_a_draining_node_sends_its_clients_on_and_takes_no_new_ones(hub):
    hub.hears(OTHER, HELLO)
    assert hub.sent(hub.core.drain(hub.fed.world.now_ns)) == [(OTHER, MoveOn())]
    assert hub.hears(ME, HELLO)[0][1].code == "unavailable"
    assert hub.hears(OTHER, Ping()) == [(OTHER, Pong())]


def test_what_clients_serve_the_node_serves_and_they_are_called_in_turn(hub):
    hub.serves(ME, "double")
    hub.serves(OTHER, "double")
    called = []
    for _ in range(4):
        ((source, call),) = hub.ask(ME, "double")
        assert (type(call), call.service, call.payload) == (Call, "double", b'"hi"')
        answers = hub.hears(source, Handled(call.call, "", b'"hihi"'))
        assert [(to, answer.payload, answer.where) for to, answer in answers] == [(ME, b'"hihi"', "l-us-1")]
        called.append(source)
    assert called == [ME, OTHER, ME, OTHER]


def test_a_client_is_found_from_the_other_end_of_the_tree(hub):
    hub.serves(ME, "double")
    hub.fed.world.run(2)
    assert "double" in hub.core.registry.served
    assert any("double" in found.services for found in hub.fed.world.nodes["l-us-1"].core.registry.clusters())


def test_the_end_of_a_connection_fails_its_calls_at_once_and_ends_its_offers(hub):
    hub.serves(ME, "double")
    hub.hears(OTHER, HELLO)
    ((_, call),) = hub.ask(OTHER, "double", budget_ms=60_000)
    answers = hub.sent(hub.core.on_closed(hub.fed.world.now_ns, ME))
    assert [(to, type(each), each.code, each.delivered) for to, each in answers] == [
        (OTHER, Answer, "unavailable", True)
    ]
    assert "double" not in hub.core.registry.served
    assert hub.hears(ME, Handled(call.call, "", b"1")) == [(ME, Pong(False))]
    assert hub.sent(hub.core.on_closed(hub.fed.world.now_ns, ME)) == []


def test_a_service_of_the_node_itself_outlives_a_client_that_served_it_too(hub):
    hub.core.registry.serve("double")
    hub.serves(ME, "double")
    hub.serves(OTHER, "double")
    for source in (ME, OTHER):
        hub.sent(hub.core.on_closed(hub.fed.world.now_ns, source))
    assert "double" in hub.core.registry.served


def test_a_call_that_nobody_waits_for_any_more_is_forgotten(hub):
    hub.serves(ME, "double")
    hub.hears(OTHER, HELLO)
    hub.ask(OTHER, "double", budget_ms=100)
    answers = hub.sent(hub.core.on_deadline(hub.fed.world.now_ns + NS_PER_S // 5))
    assert [(to, each.code) for to, each in answers if isinstance(each, Answer)] == [(OTHER, "timeout")]
    assert hub.core.clients._callers == {}
    assert hub.sent(hub.core.on_closed(hub.fed.world.now_ns, ME)) == []


def test_somebody_elses_call_cannot_be_answered(hub):
    hub.serves(ME, "double")
    hub.hears(OTHER, HELLO)
    ((_, call),) = hub.ask(OTHER, "double")
    assert hub.hears(OTHER, Handled(call.call, "", b"forged")) == []
    assert hub.hears(ME, Handled(call.call, "", b"true"))[0][1].payload == b"true"


def test_a_message_comes_once_to_each_client_with_a_pattern_that_matches(hub):
    hub.hears(ME, HELLO, Subscribe(1, "orders.#"), Subscribe(2, "*.eu"))
    hub.hears(OTHER, HELLO, Subscribe(1, "bills.*"))
    sent = hub.hears(OTHER, Publish(9, "orders.eu", b'{"id":1}'))
    assert [(to, type(each)) for to, each in sent] == [(OTHER, Done), (ME, Delivery)]
    assert (sent[1][1].topic, sent[1][1].payload, sent[1][1].origin) == ("orders.eu", b'{"id":1}', "l-us-1")
    hub.hears(ME, Subscribe(3, "orders.#", False))
    assert [to for to, each in hub.hears(OTHER, Publish(9, "orders.us", b"1")) if isinstance(each, Delivery)] == []
    assert [to for to, each in hub.hears(OTHER, Publish(9, "any.eu", b"1")) if isinstance(each, Delivery)] == [ME]


def test_what_another_node_publishes_reaches_clients_too(hub):
    hub.hears(ME, HELLO, Subscribe(1, "orders.#"))
    seen, do = [], hub.fed.world._do

    def watched(node, actions):
        seen.extend(hub.to_clients(actions))
        do(node, [action for action in actions if not hub.is_to_client(action)])

    hub.fed.world._do = watched
    hub.fed.world.command("g", lambda core: core.spread.publish("orders.eu", b"1"))
    hub.fed.world.run(3)
    assert [(to, each.topic, each.origin) for to, each in seen if isinstance(each, Delivery)] == [
        (ME, "orders.eu", "g")
    ]


def test_a_client_that_says_nothing_for_long_is_forgotten(hub):
    hub.serves(ME, "double")
    later = hub.fed.world.now_ns + SILENT_NS
    hub.core.clients.on_deadline()
    assert len(hub.core.clients) == 1
    hub.core.step(later)
    hub.core.clients.on_deadline()
    hub.core.finish()
    assert len(hub.core.clients) == 0
    assert hub.core.clients.next_deadline() is None
    assert "double" not in hub.core.registry.served


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (Publish(1, "no spaces", b"1"), InvalidInputError.code),
        (Publish(1, "orders.*", b"1"), InvalidInputError.code),
        (Publish(1, "orders..new", b"1"), InvalidInputError.code),
        (Subscribe(1, "orders..*"), InvalidInputError.code),
        (Publish(1, "t", b"x" * 200_000), "payload_too_large"),
        (Offer(1, "mpreg.echo"), InvalidInputError.code),
        (Offer(1, ""), InvalidInputError.code),
        (Ask(1, "s", b"1", 0), InvalidInputError.code),
        (Ask(1, "s", b"1", 10**9), InvalidInputError.code),
        (Ask(1, "s", b"x" * (REQUEST_BYTES_MAX + 1), 100), InvalidInputError.code),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_its_code(hub, message, code):
    hub.hears(ME, HELLO)
    ((to, answer),) = hub.hears(ME, message)
    assert (to, answer.number, answer.code) == (ME, 1, code)


def test_a_client_holds_so_many_subscriptions_and_no_more(hub):
    hub.hears(ME, HELLO, *(Subscribe(1, f"t.{number}") for number in range(CLIENT_SUBSCRIPTIONS_MAX)))
    assert hub.hears(ME, Subscribe(2, "one.more"))[0][1].code == "overloaded"
