"""The node as one pure machine.

A driver (the anyio runtime or the simulator) tells it what happened and when, and carries out the actions it returns.
`next_deadline` says when it wants to be called at the latest. Nothing here knows a clock, a socket or a disk.
"""

from collections.abc import Sequence

from msgspec import msgpack

from mpreg_core.contracts.access import Identity
from mpreg_core.contracts.events import ClusterChanged, MemberChanged, PoolJoined, PoolLeft, Published
from mpreg_core.contracts.failure_detector import Evidence
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.ids import ClusterId, Lane, NodeId, Plane, pool_id
from mpreg_core.limits import EVENTS_PER_STEP_MAX, WIRING_ROUNDS_MAX
from mpreg_core.node.actions import Action, WriteRecord
from mpreg_core.node.admission import Admission
from mpreg_core.node.client_access import require_node
from mpreg_core.node.clients import Clients
from mpreg_core.node.custody_log import CUSTODY_JOURNAL
from mpreg_core.node.decisions import Decisions
from mpreg_core.node.drops import Drops
from mpreg_core.node.hierarchy import SOON_NS, Hierarchy
from mpreg_core.node.holding import Holding
from mpreg_core.node.joining import Joining
from mpreg_core.node.keeping import STATE_JOURNAL, Keeping
from mpreg_core.node.leases import Leases
from mpreg_core.node.locating import Locating
from mpreg_core.node.merging import Merging
from mpreg_core.node.messages import Messages
from mpreg_core.node.parts import NODE_JOURNAL, NodeSettings, PartsOf, Remembered, journal_name
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.node.pools import Pools
from mpreg_core.node.registry import NodeRegistry
from mpreg_core.node.replication import Replication
from mpreg_core.node.requests import Requests
from mpreg_core.node.spread import Spread
from mpreg_core.node.state import NodeState
from mpreg_core.node.succession import Succession
from mpreg_core.node.wiring import CONTROLS, WIRES
from mpreg_core.units import NS_PER_MS, NS_PER_S
from mpreg_core.wire.client import FROM_CLIENT
from mpreg_core.wire.codec import FrameError, MessageDecoder, decode_frame
from mpreg_core.wire.envelope import CLIENT_CHANNEL, CONTROL_CHANNEL, REQUEST_CHANNEL, Envelope
from mpreg_core.wire.request import CancelFrame, ReplyFrame, RequestFrame

MAINTAIN_NS = 10 * NS_PER_S
PLACES_CHANGE = frozenset((MemberChanged, ClusterChanged, PoolJoined, PoolLeft))
REGISTRY_REVIEW_NS = 250 * NS_PER_MS
"""What is registered, and its load, changes often: a hub's summary follows at most so late, and so often.

What a member serves follows as soon as members do: one that moves must not be missed between two hubs' summaries.
"""


class NodeCore:
    """One node. Every method that takes `now_ns` is one step: it returns the actions of that step, in order."""

    def __init__(self, settings: NodeSettings, parts_of: PartsOf) -> None:
        self.state = NodeState(settings, parts_of)
        self.replication = Replication(self.state)
        self.leases = Leases(self.state, self.replication)
        self.keeping = Keeping(self.state, self.replication.store)
        self.messages = Messages(self.state)
        self.merging = Merging(self.state, self.replication, self.messages)
        self.joining = Joining(self.state)
        self.admission = Admission(self.state, self.joining, self.merging.take_spread)
        self.registry = NodeRegistry(self.state)
        self.hierarchy = Hierarchy(self.state, self.merging, self.registry)
        self._locating = Locating(self.state, self.registry, self.joining, self.replication.failover)
        self.requests = Requests(self.state, self._locating, Holding(self.state, self.joining))
        self.decisions = Decisions(self.state, self.replication)
        self.spread = Spread(self.state, self.messages)
        self.clients = Clients(self.state, self.requests, self.registry, self.spread, self.messages)
        self.pools = Pools(self.state, self.merging, self.joining, self.registry, self._drain_events)
        self.succession = Succession(self.state, self.joining, self.pools, self.merging, self.decisions)
        timed = (self.requests, self.hierarchy, self.registry, self.decisions, self.clients)
        self._timed = (*timed, self.leases, self.messages, self.messages.custody, self.succession)
        self.pools.entered = (self.replication.fill, lambda _: self.messages.on_members())
        self._control = MessageDecoder(tuple(CONTROLS))
        self._requests = MessageDecoder((RequestFrame, ReplyFrame, CancelFrame))
        self._clients = MessageDecoder(FROM_CLIENT)
        self._heard: dict[NodeId, int] = {}
        self._drops = Drops(self.state)
        self._remembered = settings.remembered
        self._token = 0

    # life

    def start(self, now_ns: int, wall_offset_ns: int) -> list[Action]:
        """Begin: lead the pool below, join the one above. `wall_offset_ns` added to `now_ns` is the wall clock."""
        state = self._begin(now_ns)
        state.wall_offset_ns = wall_offset_ns
        self.keeping.restore(state.take_journal(STATE_JOURNAL), state.wall_ms)
        self.messages.custody.restore(state.take_journal(CUSTODY_JOURNAL))
        state.incarnation += 1
        settings = state.settings
        lower = state.lower
        if lower is not None:
            self.pools.enter(pool_id(lower, settings.region if lower == "regional" else settings.id), lower, via="")
        if settings.tier == "global" and not state.stands_by:
            self.pools.enter("global", "global", via="")
        self.hierarchy.start()
        self.joining.start()
        self.succession.start()
        if not self.joining.needed:
            state.set_life("ready")
        state.maintain_ns = now_ns + MAINTAIN_NS
        self._remember()
        return self._end()

    def drain(self, now_ns: int) -> list[Action]:
        """Take no new requests, and tell the pools so that others send none."""
        state = self._begin(now_ns)
        if not state.draining:
            state.set_life("draining")
            self.merging.announce()
            self.clients.dismiss()
        return self._end()

    def resume(self, now_ns: int) -> list[Action]:
        """Undo a drain."""
        state = self._begin(now_ns)
        if state.life == "draining":
            state.set_life("ready" if self.joining.attached() or not self.joining.needed else "joining")
            self.merging.announce()
        return self._end()

    def leave(self, now_ns: int) -> list[Action]:
        """Announce the departure to every pool. Afterwards the node only waits until it `may_stop`."""
        state = self._begin(now_ns)
        state.set_life("stopped")
        for stack in state.lowest_first():
            self.merging.say_goodbye(stack)
            self._drain_events()
            stack.vote_only()
        self.joining.deadline = None
        return self._end()

    def may_stop(self) -> bool:
        """After `leave`: False while an engine's other voters need this one's vote, to go on without it."""
        return all(stack.may_leave() for stack in self.state.lowest_first())

    # what happens

    def on_frames(
        self, now_ns: int, plane: Plane, source: Endpoint, frames: Sequence[bytes], lane: Lane = "stream"
    ) -> list[Action]:
        """Frames came in on a plane's port."""
        self._begin(now_ns)
        for frame in frames:
            try:
                self._on_frame(lane, source, decode_frame(frame))
            except FrameError as error:
                self._drops.add(plane, error.code, source, 1)
            if self.state.events:
                self._drain_events()
        return self._end()

    def on_identified(self, now_ns: int, source: Endpoint, identity: Identity | None) -> list[Action]:
        """A connection to the routing plane showed a certificate, or none where it might have."""
        self._begin(now_ns)
        self.clients.shown[source] = identity
        return self._end()

    def on_closed(self, now_ns: int, source: Endpoint) -> list[Action]:
        """A connection that a peer had opened is gone."""
        self._begin(now_ns)
        self.clients.on_closed(source)
        return self._end()

    def on_dropped(self, now_ns: int, plane: Plane, reason: str, source: Endpoint, count: int) -> list[Action]:
        """The transport dropped frames before they came here."""
        self._begin(now_ns)
        self._drops.add(plane, reason, source, count)
        return self._end()

    def on_evidence(self, now_ns: int, endpoint: Endpoint, evidence: Evidence) -> list[Action]:
        """The network said something of an endpoint: tell the detectors of the pools its node is in."""
        state = self._begin(now_ns)
        for stack in state.lowest_first():
            for entry in stack.table:
                address = entry.member.address
                if address.host == endpoint.host and endpoint.port in (
                    address.gossip, address.membership, address.consensus, address.routing
                ):  # fmt: skip
                    stack.call(stack.detector, "on_evidence", entry.member.id, evidence)
        self.requests.on_unreachable(endpoint)
        return self._end()

    def on_deadline(self, now_ns: int) -> list[Action]:
        """Time passed."""
        state = self._begin(now_ns)
        for stack in state.lowest_first():
            stack.on_deadline()
        if self.joining.deadline is not None and self.joining.deadline <= now_ns:
            self.joining.on_deadline()
        for part in self._timed:
            deadline = part.next_deadline()
            if deadline is not None and deadline <= now_ns:
                part.on_deadline()
        if self.state.maintain_ns <= now_ns:
            self._maintain()
        return self._end()

    def next_deadline(self) -> int:
        """When to call `on_deadline` at the latest."""
        best = self.state.maintain_ns
        for stack in self.state.lowest_first():
            for hosted in stack.hosted:
                deadline = hosted.deadline
                if deadline is not None and deadline < best:
                    best = deadline
        if self.joining.deadline is not None and self.joining.deadline < best:
            best = self.joining.deadline
        for part in self._timed:
            deadline = part.next_deadline()
            if deadline is not None and deadline < best:
                best = deadline
        return best

    def on_persisted(self, now_ns: int, journal: str, token: int) -> list[Action]:
        """A record is durable."""
        state = self._begin(now_ns)
        if journal == STATE_JOURNAL:
            self.keeping.persisted(token)
        elif journal == CUSTODY_JOURNAL:
            self.messages.custody.log.persisted(token)
        for stack in state.lowest_first():
            if journal_name(stack.pool) == journal:
                stack.persisted(token)
        return self._end()

    def on_handled(self, now_ns: int, call: str, code: str, payload: bytes, message: str = "") -> list[Action]:
        """A handler ended: empty `code` for success, else an error's code."""
        self._begin(now_ns)
        self.requests.on_handled(call, code, payload, message)
        return self._end()

    def on_checked(self, now_ns: int, cluster: ClusterId, error: str) -> list[Action]:
        """A health check ended: empty `error` when it passed."""
        self._begin(now_ns)
        self.registry.checks.on_checked(cluster, error)
        return self._end()

    # a step

    def step(self, now_ns: int) -> NodeState:
        """Begin a step for a command: call `registry`, `requests`, `replication` ..., then `finish`."""
        return self._begin(now_ns)

    def finish(self) -> list[Action]:
        """The actions of the step that `step` began."""
        return self._end()

    def new_token(self) -> int:
        """For a command whose outcome comes by `Complete`."""
        self._token += 1
        return self._token

    def _begin(self, now_ns: int) -> NodeState:
        state = self.state
        if now_ns > state.now_ns:
            state.now_ns = now_ns
        return state

    def _end(self) -> list[Action]:
        state = self.state
        if state.events:
            self._drain_events()
        self.keeping.write()
        self.messages.custody.write()
        actions, state.actions = state.actions, []
        return actions

    def _drain_events(self) -> None:
        """Wire the facts of this step, round by round; machines that answer each other for ever are cut off."""
        state = self.state
        handled = 0
        for _ in range(WIRING_ROUNDS_MAX):
            if not state.events:
                return
            for _ in range(len(state.events)):
                stack, event = state.events.popleft()
                state.notify(stack, event)
                if type(event) in PLACES_CHANGE:
                    self._locating.forget()
                wire = WIRES.get(type(event))
                if wire is not None and stack is not None:
                    wire(self, stack, event)
                elif type(event) is Published:
                    self.clients.on_published(event)
                elif type(event) is ClusterChanged:
                    state.review_by(state.now_ns + (REGISTRY_REVIEW_NS if stack is None else SOON_NS))
                handled += 1
                if handled >= EVENTS_PER_STEP_MAX:
                    break
        if state.events:
            state.count("mpreg_events_cut_off_total", len(state.events))
            state.events.clear()

    # frames

    def _on_frame(self, lane: Lane, endpoint: Endpoint, envelope: Envelope) -> None:
        source = envelope.source
        if source == self.state.id:
            raise FrameError("own_id", "a frame that claims to come from this node")
        shown = self.clients.shown
        if shown and lane == "stream" and envelope.channel != CLIENT_CHANNEL and endpoint in shown:
            require_node(shown[endpoint])
        place = self.pools.channels.get(envelope.channel)
        if place is not None:
            stack, hosted = place
            stack.receive(hosted, source, envelope.body)
            self._hear(stack, source)
        elif lane == "datagram" and envelope.channel in (REQUEST_CHANNEL, CLIENT_CHANNEL):
            raise FrameError("not_by_stream", "whose sender may be forged")
        elif envelope.channel == REQUEST_CHANNEL:
            message = self._requests.decode(envelope.body)
            if isinstance(message, RequestFrame):
                self.requests.on_request(source, message)
            elif isinstance(message, ReplyFrame):
                self.requests.on_reply(source, message)
            elif isinstance(message, CancelFrame):
                self.requests.on_cancel(source, message)
        elif envelope.channel == CLIENT_CHANNEL:
            self.clients.on_message(endpoint, self._clients.decode(envelope.body))
        elif envelope.channel == CONTROL_CHANNEL:
            message = self._control.decode(envelope.body)
            CONTROLS[type(message)](self, source, message)
        else:
            raise FrameError("unknown_channel", "another federation, pool or strategy")

    def _hear(self, stack: PoolStack, source: NodeId) -> None:
        last = self._heard.get(source)
        if last is not None and self.state.now_ns - last < NS_PER_S:
            return
        if stack.table.get(source) is not None:
            self._heard[source] = self.state.now_ns
            stack.call(stack.detector, "on_evidence", source, "heard")

    # bounds

    def _maintain(self) -> None:
        """Now and then: forget what is long gone, write down what a restart needs."""
        state = self.state
        state.maintain_ns = state.now_ns + MAINTAIN_NS
        self.pools.reap()
        self.pools.look_for_rivals()
        self._heard = {node: at for node, at in self._heard.items() if state.now_ns - at < MAINTAIN_NS}
        self._remember()

    def _remember(self) -> None:
        known = Remembered(self.state.incarnation, tuple(self.joining.siblings()[:64]))
        if known != self._remembered:
            self._remembered = known
            record = msgpack.encode(known)
            self.state.actions.append(WriteRecord(NODE_JOURNAL, self.new_token(), record, checkpoint=True))
