"""One pool at this node: its table, its replica and the four machines that work for it.

The stack calls its machines, turns their effects into actions and events, and keeps the persist barrier.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Raw

from mpreg_core.contracts.api import Cluster
from mpreg_core.contracts.consensus import Voters
from mpreg_core.contracts.context import ConsensusContext, GossipContext, StrategyContext
from mpreg_core.contracts.effects import Effect, Effects, Emit, Persist, Send
from mpreg_core.contracts.events import StrategyFailed
from mpreg_core.contracts.gossip import Item
from mpreg_core.contracts.members import Member
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.ids import Family, NodeId, Plane, PoolId, PoolTier
from mpreg_core.limits import DATAGRAM_BYTES_MAX
from mpreg_core.membership.federation import HubSummary
from mpreg_core.membership.pool import PoolTable
from mpreg_core.node.actions import Transmit
from mpreg_core.node.hosted import Hosted
from mpreg_core.node.interests import Wants
from mpreg_core.node.parts import Part, PoolParts, journal_name
from mpreg_core.node.state import NodeState
from mpreg_core.state.items import ItemStore
from mpreg_core.wire.codec import FrameError


class PoolStack:
    """A pool's machines and what they share. `born_ns` is when this node entered the pool."""

    def __init__(self, state: NodeState, pool: PoolId, tier: PoolTier, parts: PoolParts, items: ItemStore) -> None:
        self._state = state
        self.pool = pool
        self.tier = tier
        self.items = items
        self.born_ns = state.now_ns
        self.table = PoolTable(state.id)
        self.voters = Voters(0, ())
        self.refused: set[tuple[NodeId, Family]] = set()
        self._held: dict[int, tuple[Hosted, Persist, Sequence[Effect]]] = {}  # by the node's token
        self.table.set_own(state.now_ns, state.own_record(tier))
        self.detector = self._build(parts.failure_detector)
        self.gossip = self._build(parts.gossip)
        self.consensus = self._build(parts.consensus)
        self.router = self._build(parts.routing)
        self.hosted = (self.detector, self.gossip, self.consensus, self.router)
        self.captured: bytes = b""
        self.view_dirty = True
        self.hub: NodeId | None = None
        self.hubs: dict[NodeId, HubSummary] = {}
        self.clusters: dict[NodeId, Cluster] = {}
        self.wants: dict[NodeId, Wants] = {}
        self.entered_ns = self.changed_ns = state.now_ns

    def _build(self, part: Part) -> Hosted:
        return Hosted(self._state.settings.federation, self.pool, self._state.id, part, self._machine(part))

    def _machine(self, part: Part) -> object:
        state = self._state
        me = self.table.member(state.id)
        assert me is not None
        rng = state.stream(self.pool, part.family, part.strategy)
        if part.family == "gossip":
            context = GossipContext(me, self.pool, self.tier, rng, state.now_ns, self.items)
            return part.create(context)
        if part.family == "consensus":
            records = state.journal(journal_name(self.pool))
            return part.create(
                ConsensusContext(me, self.pool, self.tier, rng, state.now_ns, records, lambda: self.captured)
            )
        return part.create(StrategyContext(me, self.pool, self.tier, rng, state.now_ns))

    # calls

    def call(self, hosted: Hosted, name: str, *arguments: object) -> None:
        """Call a machine with `now_ns` first and carry out its effects. A machine that raises is replaced."""
        if hosted.stopped:
            return
        machine = hosted.machine
        try:
            effects = getattr(machine, name)(self._state.now_ns, *arguments)
            hosted.deadline = machine.next_deadline()
        except Exception as error:
            self._broke(hosted, f"{type(error).__name__} in {name}: {error}")
            return
        if effects:
            self.apply(hosted, effects)

    def receive(self, hosted: Hosted, source: NodeId, body: Raw) -> None:
        """A frame's body came in on the channel of this machine. Raises `FrameError` when it does not decode."""
        if (source, hosted.part.family) in self.refused:
            raise FrameError("channel_refused", f"{source} speaks another version of {hosted.part.family}")
        message = hosted.decoder.decode(body)
        hosted.heard_ns = self._state.now_ns
        self.call(hosted, "on_message", source, message)

    def on_deadline(self) -> None:
        """Call every machine whose time has come."""
        now_ns = self._state.now_ns
        for hosted in self.hosted:
            if hosted.deadline is not None and hosted.deadline <= now_ns:
                self.call(hosted, "on_deadline")
                if hosted.deadline is not None and hosted.deadline <= now_ns:
                    self._broke(hosted, f"next_deadline is not later than now after on_deadline ({hosted.deadline})")

    def next_deadline(self) -> int | None:
        """The earliest deadline of the machines."""
        best: int | None = None
        for hosted in self.hosted:
            deadline = hosted.deadline
            if deadline is not None and (best is None or deadline < best):
                best = deadline
        return best

    # what concerns several machines

    def tell_members(self, members: Sequence[Member]) -> None:
        """Members are new or changed."""
        for hosted in (self.detector, self.gossip, self.consensus):
            self.call(hosted, "on_members", members)

    def set_voters(self, voters: Voters) -> None:
        """The configured voters changed."""
        self.voters = voters
        self.call(self.consensus, "on_voters", voters)

    def counted(self) -> Sequence[NodeId]:
        """Who votes now, as the pool's engine says."""
        machine: Any = self.consensus.machine
        return [] if self.consensus.stopped else machine.voters()

    def vote_only(self) -> None:
        """This node has left the pool: its engine alone goes on, as long as the others need it."""
        for hosted in self.hosted:
            if hosted is not self.consensus:
                hosted.stopped, hosted.deadline = True, None

    def may_leave(self) -> bool:
        """False while the pool's engine needs this node's vote."""
        machine: Any = self.consensus.machine
        is_alone = all(member.id == self._state.id for member in self.table.present())
        return self.consensus.stopped or is_alone or machine.may_leave()

    def publish(self, item: Item) -> None:
        """Hold an item if it is one to keep, and have it spread."""
        if item.kept:
            self.items.put(item)
        else:
            self.items.mark_seen(item.stamp)
        self.call(self.gossip, "on_publish", item)

    def persisted(self, token: int) -> None:
        """A record of the consensus engine is durable: release its barrier, then tell the engine."""
        held = self._held.pop(token, None)
        if held is None:
            return
        hosted, persist, rest = held
        self.apply(hosted, rest)
        self.call(hosted, "on_persisted", persist.token)

    # effects

    def apply(self, hosted: Hosted, effects: Effects) -> None:
        """Carry out effects in order; those behind a `Persist` wait for the disk."""
        for index, effect in enumerate(effects):
            kind = type(effect)
            if kind is Send:
                self._send(hosted, effect)  # type: ignore[arg-type]
            elif kind is Emit:
                self._state.events.append((self, effect.event))  # type: ignore[union-attr]
            elif isinstance(effect, Persist) and hosted.part.family == "consensus":
                token = self._state.write(journal_name(self.pool), effect.record, checkpoint=effect.checkpoint)
                self._held[token] = (hosted, effect, effects[index + 1 :])
                return
            else:
                self._broke(hosted, f"expected Send, Emit or (consensus only) Persist, got {effect!r:.80}")
                return

    def _send(self, hosted: Hosted, send: Send) -> None:
        plane = hosted.plane
        endpoints = self._reachable(send.to, hosted.part.family, plane)
        if not endpoints:
            return
        try:
            frame = hosted.encode(send.message)
        except (FrameError, TypeError) as error:
            self._broke(hosted, f"message cannot be sent: {error}")
            return
        lane = send.lane if len(frame) <= DATAGRAM_BYTES_MAX else "stream"
        self._state.actions.append(Transmit(endpoints, plane, lane, frame))

    def _reachable(self, to: Iterable[NodeId], family: Family, plane: Plane) -> tuple[Endpoint, ...]:
        found: list[Endpoint] = []
        for node in to:
            entry = self.table.get(node)
            is_gone = entry is None or (entry.member.status == "left" and family != "consensus")  # it may still vote
            if entry is None or is_gone or node == self._state.id:
                self._state.count("mpreg_sends_skipped_total", pool=self.pool, plane=plane)
            elif not self.refused or (node, family) not in self.refused:
                address = entry.member.address
                found.append(Endpoint(address.host, address.port(plane)))
        return tuple(found)

    def router_broke(self, error: Exception) -> None:
        """The router raised in `route`."""
        self._broke(self.router, f"{type(error).__name__} in route: {error}")

    def _broke(self, hosted: Hosted, error: str) -> None:
        part = hosted.part
        stopped = hosted.broke(self._state.now_ns)
        self._state.count("mpreg_plugin_errors_total", pool=self.pool, plugin=part.strategy)
        self._state.emit(self, StrategyFailed(part.family, part.strategy, error, stopped))
        if stopped:
            return
        try:
            hosted.replace(self._machine(part))
        except Exception as again:  # it cannot even be built: stop it rather than the node
            hosted.stopped = True
            hosted.deadline = None
            self._state.emit(self, StrategyFailed(part.family, part.strategy, f"cannot be rebuilt: {again}", True))
            return
        members = tuple(entry.member for entry in self.table)
        if part.family == "routing":
            self.view_dirty = True
        else:
            self.call(hosted, "on_members", members)
            if part.family == "consensus":
                self.call(hosted, "on_voters", self.voters)
