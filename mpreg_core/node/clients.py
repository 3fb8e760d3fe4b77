"""Clients of this node: programs that ask, serve, publish and subscribe over a connection, without being a member.

A client is its connection: it begins with a hello, and ends with the connection, when nothing was heard of it for
long, or when its token expires. What it serves this node serves; a call goes to one of the clients that serve it, in
turn.
"""

from collections.abc import Sequence

from msgspec import Struct

from mpreg_core.contracts.access import Identity
from mpreg_core.contracts.events import Published
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.errors import (
    ForbiddenError,
    InvalidInputError,
    MpregError,
    OverloadedError,
    UnauthenticatedError,
)
from mpreg_core.limits import (
    CLIENT_SUBSCRIPTIONS_MAX,
    REQUEST_BYTES_MAX,
    REQUEST_TIMEOUT_S_MAX,
    SERVICES_PER_CLUSTER_MAX,
)
from mpreg_core.node.actions import Invoke, Transmit
from mpreg_core.node.client_access import admit, require
from mpreg_core.node.custody import CLIENT
from mpreg_core.node.messages import Messages
from mpreg_core.node.pending import Outcome
from mpreg_core.node.registry import NodeRegistry
from mpreg_core.node.requests import Requests
from mpreg_core.node.spread import Spread
from mpreg_core.node.state import NodeState
from mpreg_core.node.topics import matches
from mpreg_core.units import NS_PER_MS, NS_PER_S
from mpreg_core.wire.client import (
    Answer,
    Ask,
    Call,
    CallOff,
    ClientHello,
    ClientWelcome,
    Delivery,
    Done,
    Forget,
    Handled,
    MoveOn,
    Offer,
    Ping,
    Pong,
    Publish,
    QueueDelivery,
    Subscribe,
    Took,
    answer_of,
)
from mpreg_core.wire.codec import FrameEncoder, FrameError
from mpreg_core.wire.control import TookCustody
from mpreg_core.wire.envelope import CLIENT_CHANNEL

SILENT_NS = 60 * NS_PER_S
"""A client that said nothing for so long is gone; clients ping several times in that time."""

RENEW_NS = 5 * NS_PER_S
"""How long before its token expires a client is asked to connect anew."""

TOPICS_REMEMBERED_MAX = 4_096


class Session(Struct):
    """One client."""

    heard_ns: int
    identity: Identity
    patterns: dict[tuple[str, str], int]  # (pattern, queue) -> token
    services: dict[str, None]
    calls: dict[str, None]
    asked: dict[int, str]  # number -> the request's id
    to_renew: bool  # told to, or came so late


class Clients:
    """The sessions by where their connections come from."""

    def __init__(
        self, state: NodeState, requests: Requests, registry: NodeRegistry, spread: Spread, messages: Messages
    ) -> None:
        self._state = state
        self._requests = requests
        self._registry = registry
        self._spread = spread
        self._messages = messages
        self._frame = FrameEncoder(CLIENT_CHANNEL, state.id)
        self._sessions: dict[Endpoint, Session] = {}
        self.shown: dict[Endpoint, Identity | None] = {}  # by certificate, where the transport is secured
        self._servers: dict[str, list[Endpoint]] = {}
        self._callers: dict[str, Endpoint] = {}  # who runs a call
        self._receivers: dict[str, tuple[Endpoint, ...]] = {}  # of the topics seen lately
        self._in_groups: dict[int, tuple[Endpoint, str]] = {}  # token -> who, and the queue's name
        self._look_ns: int | None = None
        messages.audience.client_of = lambda token: str(self._in_groups[token][0]) if token in self._in_groups else ""
        requests.hand_to_client = self._call
        requests.over = self._over
        requests.call_off = self._call_off

    def __len__(self) -> int:
        return len(self._sessions)

    # what a client says

    def on_message(self, source: Endpoint, message: Struct) -> None:
        """A frame came in on the client channel."""
        session = self._sessions.get(source)
        if session is None or type(message) is ClientHello:
            self._on_stranger(source, message)
        else:
            session.heard_ns = self._state.now_ns
            if session.identity.role == "admin" or self._may(source, session, message):
                self._on_known(source, session, message)

    def _on_stranger(self, source: Endpoint, message: Struct) -> None:
        if isinstance(message, ClientHello):
            self._welcome(source, message)
        else:
            self._state.count("mpreg_client_strangers_total")
            self._send(source, Pong(False))

    def _may(self, source: Endpoint, session: Session, message: Struct) -> bool:
        try:
            require(session.identity, message)
        except ForbiddenError as error:
            self._state.count("mpreg_clients_forbidden_total")
            if isinstance(message, Ask):
                self._refuse_request(source, message.number, error)
            else:
                self._refuse(source, message.number, error)  # type: ignore[attr-defined]
            return False
        return True

    def _on_known(self, source: Endpoint, session: Session, message: Struct) -> None:
        if isinstance(message, Ask):
            self._ask(source, session, message)
        elif isinstance(message, Handled):
            if message.call in session.calls:
                self._requests.on_handled(message.call, message.code, message.payload, message.message)
        elif isinstance(message, Offer):
            self._offer(source, session, message)
        elif isinstance(message, Publish):
            self._publish(source, message)
        elif isinstance(message, Subscribe):
            self._subscribe(source, session, message)
        elif isinstance(message, Ping):
            self._send(source, Pong())
        elif isinstance(message, Took):
            self._messages.custody.on_taken(str(source), TookCustody(CLIENT, message.id, message.queue))
        elif isinstance(message, Forget):
            self._requests.cancel(session.asked.pop(message.number, ""))

    def _welcome(self, source: Endpoint, hello: ClientHello) -> None:
        try:
            identity = admit(self._state, source, hello, self.shown.get(source), len(self._sessions))
        except MpregError as error:
            self._state.count("mpreg_clients_refused_total", code=error.code)
            self._send(source, ClientWelcome(self._state.id, error.code, error.message))
            return
        self._end(source)  # an earlier one from there is gone
        expires_ms = identity.expires_ms
        to_renew = expires_ms > 0 and (expires_ms - self._state.wall_ms) * NS_PER_MS <= RENEW_NS
        session = self._sessions[source] = Session(self._state.now_ns, identity, {}, {}, {}, {}, to_renew)
        self._send(source, ClientWelcome(self._state.id))
        self._watch(source, session)

    def _look_by(self, at_ns: int) -> None:
        if self._look_ns is None or at_ns < self._look_ns:
            self._look_ns = at_ns

    def _ask(self, source: Endpoint, session: Session, ask: Ask) -> None:
        def answered(outcome: Outcome) -> None:
            if self._sessions.get(source) is session:
                session.asked.pop(ask.number, None)
                self._send(source, answer_of(ask.number, outcome.reply))

        budget_ms = ask.budget_ms
        if not 0 < budget_ms <= REQUEST_TIMEOUT_S_MAX * 1000 or len(ask.payload) > REQUEST_BYTES_MAX:
            why = (
                f"expected a time-out of 1 ms to {REQUEST_TIMEOUT_S_MAX} s, up to {REQUEST_BYTES_MAX} bytes of payload"
            )
            self._refuse_request(source, ask.number, InvalidInputError(why))
            return
        node, cluster = self._registry.split_target(ask.target)
        request_id = self._requests.ask(
            answered,
            ask.service,
            ask.payload,
            budget_ms * NS_PER_MS,
            idempotent=ask.idempotent,
            hedge_ns=max(0, ask.hedge_ms) * NS_PER_MS,
            node=node,
            cluster=cluster,
        )
        if self._requests.is_open(request_id):
            session.asked[ask.number] = request_id

    def _offer(self, source: Endpoint, session: Session, offer: Offer) -> None:
        service = offer.service
        if not offer.until_further_notice:
            if session.services.pop(service, self) is None:
                self._no_longer(source, service)
            self._send(source, Done(offer.number))
            return
        try:
            if len(session.services) >= SERVICES_PER_CLUSTER_MAX:
                raise OverloadedError(f"a client serves at most {SERVICES_PER_CLUSTER_MAX} services")
            if service not in self._servers:
                self._registry.serve(service)
        except MpregError as error:
            self._refuse(source, offer.number, error)
            return
        if service not in session.services:
            session.services[service] = None
            self._servers.setdefault(service, []).append(source)
        self._send(source, Done(offer.number))

    def _publish(self, source: Endpoint, publish: Publish) -> None:
        try:
            at_least_once = publish.at_least_once
            done = Done(
                publish.number, id=self._spread.publish(publish.topic, publish.payload, at_least_once=at_least_once)
            )
        except MpregError as error:
            self._refuse(source, publish.number, error)
            return
        if at_least_once:
            self._messages.custody.log.then(lambda: self._send(source, done) if source in self._sessions else None)
        else:
            self._send(source, done)

    def _subscribe(self, source: Endpoint, session: Session, subscribe: Subscribe) -> None:
        key = (subscribe.pattern, subscribe.queue)
        if not subscribe.until_further_notice:
            if key in session.patterns:
                self._unsubscribe(session.patterns.pop(key))
        elif len(session.patterns) >= CLIENT_SUBSCRIPTIONS_MAX:
            self._refuse(source, subscribe.number, OverloadedError(f"at most {CLIENT_SUBSCRIPTIONS_MAX} subscriptions"))
            return
        elif key not in session.patterns:
            try:
                token = session.patterns[key] = self._messages.subscribe(*key)
            except MpregError as error:
                self._refuse(source, subscribe.number, error)
                return
            if subscribe.queue:
                self._in_groups[token] = (source, subscribe.queue)
        self._receivers.clear()
        self._send(source, Done(subscribe.number))

    def _unsubscribe(self, token: int) -> None:
        source, queue = self._in_groups.pop(token, (None, ""))
        self._messages.unsubscribe(token)
        if source is not None:
            self._messages.custody.on_gone(str(source), queue)

    def _refuse(self, source: Endpoint, number: int, error: MpregError) -> None:
        self._send(source, Done(number, error.code, error.message))

    def _refuse_request(self, source: Endpoint, number: int, error: MpregError) -> None:
        me = self._state.id
        self._send(source, Answer(number, error.code, b"", me, (me,), error.message))

    # what happens

    def on_published(self, event: Published) -> None:
        """A message came here: to the clients it goes once each."""
        if not self._sessions:
            return
        receivers = self._receivers.get(event.topic)
        if receivers is None:
            if len(self._receivers) >= TOPICS_REMEMBERED_MAX:
                self._receivers.clear()
            receivers = self._receivers[event.topic] = tuple(
                source
                for source, session in self._sessions.items()
                if any(not queue and matches(pattern, event.topic) for pattern, queue in session.patterns)
            )
        if not event.plain:
            receivers = ()
        delivery = Delivery(event.id, event.topic, event.payload, event.origin)
        for token in event.chosen:
            if token in self._in_groups:
                source, queue = self._in_groups[token]
                self._send(source, QueueDelivery(delivery, (queue,), source in receivers, not event.plain))
                receivers = tuple(each for each in receivers if each != source)
        if receivers:
            self._send(receivers, delivery)

    def dismiss(self) -> None:
        """This node is about to stop: the clients are to go to another, in their time."""
        if self._sessions:
            self._send(tuple(self._sessions), MoveOn())

    def on_closed(self, source: Endpoint) -> None:
        """A connection that came from there has ended."""
        self.shown.pop(source, None)
        self._end(source)

    def next_deadline(self) -> int | None:
        """When to look for silent ones."""
        return self._look_ns

    def on_deadline(self) -> None:
        """Forget who said nothing for long, part with those whose token has expired."""
        now_ns, wall_ms = self._state.now_ns, self._state.wall_ms
        self._look_ns = None
        for source, session in tuple(self._sessions.items()):
            expires_ms = session.identity.expires_ms
            if now_ns - session.heard_ns >= SILENT_NS:
                self._end(source)
            elif expires_ms and wall_ms >= expires_ms:
                why = "the token of this connection has expired; connect with another one"
                self._send(source, ClientWelcome(self._state.id, UnauthenticatedError.code, why))
                self._end(source)
            else:
                self._watch(source, session)

    def _watch(self, source: Endpoint, session: Session) -> None:
        """Look again in time; a client whose token is about to expire can come with another one meanwhile."""
        now_ns, expires_ms = self._state.now_ns, session.identity.expires_ms
        self._look_by(now_ns + SILENT_NS // 2)
        if not expires_ms:
            return
        left_ns = (expires_ms - self._state.wall_ms) * NS_PER_MS
        if left_ns > RENEW_NS:
            self._look_by(now_ns + left_ns - RENEW_NS)
        else:
            self._look_by(now_ns + left_ns)
            if not session.to_renew:
                self._send(source, MoveOn())
            session.to_renew = True

    def _end(self, source: Endpoint) -> None:
        session = self._sessions.pop(source, None)
        if session is None:
            return
        self._receivers.clear()
        for token in session.patterns.values():
            self._unsubscribe(token)
        for request_id in tuple(session.asked.values()):
            self._requests.cancel(request_id)
        for service in session.services:
            self._no_longer(source, service)
        for call in tuple(session.calls):
            self._callers.pop(call, None)
            self._requests.on_handled(call, "unavailable", b"", "the client that served it went away")

    def _no_longer(self, source: Endpoint, service: str) -> None:
        servers = self._servers[service]
        servers.remove(source)
        if not servers:
            del self._servers[service]
            self._registry.unserve(service)

    def _call(self, invoke: Invoke) -> bool:
        servers = self._servers.get(invoke.service)
        if not servers:
            return False
        source = servers.pop(0)
        servers.append(source)  # in turn
        self._sessions[source].calls[invoke.call] = None
        self._callers[invoke.call] = source
        budget_ms = max(0, invoke.deadline_ns - self._state.now_ns) // NS_PER_MS
        self._send(source, Call(invoke.call, invoke.service, invoke.payload, invoke.path, budget_ms))
        return True

    def _call_off(self, call: str) -> None:
        source = self._callers.get(call)
        if source is not None:
            self._over(call)
            self._send(source, CallOff(call))

    def _over(self, call: str) -> None:
        source = self._callers.pop(call, None)
        if source is not None:
            session = self._sessions.get(source)
            if session is not None:
                session.calls.pop(call, None)

    def _send(self, to: Endpoint | Sequence[Endpoint], message: Struct) -> None:
        try:
            frame = self._frame.encode(message)
        except FrameError as error:
            self._state.count("mpreg_frames_dropped_total", plane="routing", reason=error.code)
            return
        endpoints = (to,) if isinstance(to, Endpoint) else tuple(to)
        self._state.actions.append(Transmit(endpoints, "routing", "stream", frame))
