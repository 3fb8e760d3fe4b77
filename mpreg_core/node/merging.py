"""Merging what arrives: items by topic, members' records, verdicts; and saying what changed to whom it concerns."""

from collections.abc import Callable, Iterable

from msgspec import structs

from mpreg_core.contracts.consensus import Voters
from mpreg_core.contracts.events import (
    ChannelRefused,
    ClusterChanged,
    Delivered,
    MemberChanged,
    RoundTrip,
    Verdict,
)
from mpreg_core.contracts.gossip import Item
from mpreg_core.contracts.members import Member
from mpreg_core.ids import NodeId
from mpreg_core.membership.federation import HubSummary, decode_summary, order
from mpreg_core.membership.pool import Outcome
from mpreg_core.node import topics
from mpreg_core.node.actions import StopNode
from mpreg_core.node.messages import Messages
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.node.replication import Replication
from mpreg_core.node.state import NodeState
from mpreg_core.wire.control import Goodbye, Received, Welcome
from mpreg_core.wire.envelope import CONTROL_CHANNEL

GOODBYES = 4
"""Members that are told of a departure straight, by stream: the hubs of the pool, then who has been there longest.

Gossip alone is not enough where many leave at once: those whom it tells may be leaving too, and a member that nobody
heard leave is taken for a dead voter.
"""


class Merging:
    """The one place where a record becomes truth at this node."""

    def __init__(self, state: NodeState, replication: Replication, messages: Messages) -> None:
        self._state = state
        self._replication = replication
        self._messages = messages
        self._topics: dict[str, Callable[[PoolStack, Item], None]] = {
            topics.MEMBER: self._on_member,
            topics.HUB: self._on_hub,
            topics.CLUSTER: self._on_cluster,
            topics.STATE: self._on_state,
            topics.MESSAGE: messages.on_gossip,
            topics.INTEREST: messages.on_record,
            topics.PROBE: self._on_probe,
        }

    # items

    def on_delivered(self, stack: PoolStack, event: Delivered) -> None:
        """An item came in by gossip. One that does not decode is counted and forgotten."""
        item = Item(event.key, event.stamp, event.payload, event.origin, event.born_ms, event.priority, kept=event.kept)
        handler = self._topics.get(topics.topic_of(event.key))
        try:
            if handler is None:
                raise ValueError(f"unknown topic in key {event.key!r}")
            handler(stack, item)
        except topics.UNREADABLE:
            self._state.count("mpreg_items_rejected_total", pool=stack.pool)

    def judges(self, stack: Callable[[], PoolStack]) -> dict[str, Callable[[Item | None, Item], bool]]:
        """What makes an item of each topic news to a pool's replica; bad payloads never are."""

        def guarded(judge: Callable[[Item], bool]) -> Callable[[Item | None, Item], bool]:
            def judged(held: Item | None, new: Item) -> bool:
                if held is not None and held.stamp == new.stamp:
                    return False
                try:
                    return judge(new)
                except topics.UNREADABLE:
                    self._state.count("mpreg_items_rejected_total", pool=stack().pool)
                    return False

            return judged

        return {
            topics.MEMBER: guarded(lambda item: stack().table.is_news(topics.members.decode(item.payload))),
            topics.HUB: guarded(lambda item: self._newer_hub(stack(), decode_summary(item.payload))),
            topics.CLUSTER: guarded(lambda item: self._newer_cluster(stack(), item)),
            topics.INTEREST: guarded(
                lambda item: self._messages.is_news(stack(), topics.interests.decode(item.payload))
            ),
            topics.STATE: guarded(lambda item: self._replication.is_news(item.key, item.payload)),
        }

    def _on_member(self, stack: PoolStack, item: Item) -> None:
        member = topics.members.decode(item.payload)
        if item.key != f"{topics.MEMBER}/{member.id}":
            raise ValueError("a member's record under another key")
        if self.take(stack, member, "gossip", spread=False):
            stack.items.put(item)

    def _on_hub(self, stack: PoolStack, item: Item) -> None:
        summary = decode_summary(item.payload)
        if item.key == f"{topics.HUB}/{summary.hub}" and self._newer_hub(stack, summary):
            self.hold_hub(stack, summary)
            stack.items.put(item)

    def hold_hub(self, stack: PoolStack, summary: HubSummary) -> None:
        """A hub's summary is the newest of its pool."""
        stack.hubs[summary.hub] = summary
        stack.view_dirty = True

    def _newer_hub(self, stack: PoolStack, summary: HubSummary) -> bool:
        held = stack.hubs.get(summary.hub)
        return summary.hub != self._state.id and (held is None or order(summary) > order(held))

    def _on_cluster(self, stack: PoolStack, item: Item) -> None:
        record = topics.clusters.decode(item.payload)
        if item.key != f"{topics.CLUSTER}/{record.node}" or not self._newer_cluster(stack, item):
            return
        stack.items.put(item)
        change = "updated" if record.node in stack.clusters else "registered"
        if record.cluster is None:
            stack.clusters.pop(record.node, None)
            change = "deregistered"
        else:
            stack.clusters[record.node] = record.cluster
        self._state.emit(stack, ClusterChanged(record.node, change))  # type: ignore[arg-type]

    def _newer_cluster(self, stack: PoolStack, item: Item) -> bool:
        record = topics.clusters.decode(item.payload)
        held = stack.items.get(item.key)
        if held is None:
            return True
        old = topics.clusters.decode(held.payload)
        return (record.incarnation, record.sequence) > (old.incarnation, old.sequence)

    def _on_state(self, stack: PoolStack, item: Item) -> None:
        self._replication.on_remote(stack, item)

    def _on_probe(self, stack: PoolStack, item: Item) -> None:
        record = topics.probes.decode(item.payload)
        stack.items.mark_seen(item.stamp)
        origin = stack.table.member(record.origin)
        if origin is not None and origin.id != self._state.id:
            answer = Received(record.id, self._state.id)
            self._state.transmit((origin.address,), CONTROL_CHANNEL, "membership", answer, "datagram")

    # members

    def take(self, stack: PoolStack, member: Member, cause: str, *, by: NodeId = "", spread: bool = True) -> bool:
        """Merge a record. `spread` has the pool told of a change. True if the record is now the table's."""
        held = stack.table.member(member.id)
        outcome = stack.table.merge(self._state.now_ns, member, cause, by)
        self._act(stack, outcome, spread)
        is_back = held is not None and held.status == "left" and member.started_ms > held.started_ms
        if held is not None and is_back and outcome.change is None and member.id != self._state.id:
            self._tell_of_itself(stack, held, member)  # it does not remember that it left, nor its incarnation
        return outcome.change is not None

    def take_spread(self, stack: PoolStack, member: Member, cause: str) -> None:
        """Merge a record that this node is the first to know, and have the pool told."""
        self.take(stack, member, cause)

    def take_all(self, stack: PoolStack, members: Iterable[Member], cause: str) -> None:
        """Merge a page of records that the pool knows already."""
        for member in members:
            if self.take(stack, member, cause, spread=False):
                stack.items.put(topics.member_item(member, member.id, self._state.wall_ms))

    def on_verdict(self, stack: PoolStack, verdict: Verdict) -> None:
        """A detector concluded something: merge it; tell a member that answers though it is held for dead."""
        self._act(stack, stack.table.conclude(self._state.now_ns, verdict), spread=True)
        held = stack.table.member(verdict.peer)
        if verdict.status == "alive" and held is not None and held.status in ("suspect", "failed"):
            self._tell_of_itself(stack, held, held)

    def _act(self, stack: PoolStack, outcome: Outcome, spread: bool) -> None:
        if outcome.conflict is not None:
            self._state.emit(stack, outcome.conflict)
            if outcome.conflict.ours:
                conflict = outcome.conflict
                reason = f"another node has the id {conflict.id} at {conflict.kept}, and was there first"
                self._state.actions.append(StopNode(reason))
        if outcome.refute is not None:
            self.announce(at_least=outcome.refute)
        if outcome.change is not None:
            self._changed(stack, outcome.change, spread)

    def _changed(self, stack: PoolStack, change: MemberChanged, spread: bool) -> None:
        member = change.member
        self._check_channels(stack, member)
        stack.view_dirty = True
        if change.change != "updated":
            stack.changed_ns = self._state.now_ns
        stack.tell_members((member,))
        if change.previous in (None, "left") or member.status == "left":
            self._set_voters(stack)
        self._state.emit(stack, change)
        if change.change == "failed":
            self._state.count("membership_failures_total")
        if spread:
            stack.publish(topics.member_item(member, member.id, self._state.wall_ms))

    def announce(self, at_least: int | None = None) -> None:
        """This node's own record changed: raise the incarnation and tell every pool."""
        state = self._state
        state.incarnation = max(state.incarnation, -1 if at_least is None else at_least) + 1
        for stack in list(state.stacks.values()):
            self.introduce(stack)

    def introduce(self, stack: PoolStack) -> None:
        """Tell a pool this node's own record."""
        state = self._state
        me = state.own_record(stack.tier)
        stack.table.set_own(state.now_ns, me)
        stack.view_dirty = True
        stack.tell_members((me,))
        self._set_voters(stack)
        stack.publish(topics.member_item(me, me.id, state.wall_ms))

    def on_round_trip(self, stack: PoolStack, event: RoundTrip) -> None:
        """A detector measured one: this node may lie elsewhere than it has said."""
        state = self._state
        rtt_ns = stack.table.measured(event.peer, event.rtt_ns)
        peer = stack.table.member(event.peer)
        if rtt_ns is not None and peer is not None and peer.network is not None:
            state.vivaldi.sample(rtt_ns, peer.network)
            if state.life == "ready" and state.vivaldi.should_publish(state.now_ns):
                self.announce()

    def say_goodbye(self, stack: PoolStack) -> None:
        """Tell a pool that this node leaves it."""
        state = self._state
        me = structs.replace(state.own_record(stack.tier), status="left")
        stack.table.set_own(state.now_ns, me)
        stack.publish(topics.member_item(me, me.id, state.wall_ms))
        for hosted in stack.hosted:
            stack.call(hosted, "on_leave")
        self._set_voters(stack)
        staying = sorted(stack.table.present(), key=lambda member: (member.tier != stack.tier, member.started_ms))
        to = [member.address for member in staying if member.id != me.id][:GOODBYES]
        if to:
            state.transmit(to, CONTROL_CHANNEL, "membership", Goodbye(stack.pool, me))

    def on_goodbye(self, source: NodeId, goodbye: Goodbye) -> None:
        """A member leaves a pool: have the rest of it told."""
        stack, member = self._state.stacks.get(goodbye.pool), goodbye.member
        if stack is not None and member.id == source and member.status == "left":
            self.take_spread(stack, member, "goodbye")

    def _check_channels(self, stack: PoolStack, member: Member) -> None:
        ours = {part.family: part for part in self._state.parts_of(stack.tier).all()}
        for theirs in member.speaks:
            part = ours.get(theirs.family)
            if part is None:
                continue
            key = (member.id, theirs.family)
            low, high = max(part.wire[0], theirs.wire_min), min(part.wire[1], theirs.wire_max)
            if theirs.strategy == part.protocol and low <= high:
                stack.refused.discard(key)
            elif key not in stack.refused:
                stack.refused.add(key)
                ours_text = f"{part.protocol}/{part.wire[0]}-{part.wire[1]}"
                theirs_text = f"{theirs.strategy}/{theirs.wire_min}-{theirs.wire_max}"
                self._state.emit(stack, ChannelRefused(member.id, theirs.family, ours_text, theirs_text))

    def _set_voters(self, stack: PoolStack) -> None:
        """All members at home here that did not leave are to vote, alive or not: failing does not make a pool smaller.

        Guests, whose own hub is away, are not: they go together when it comes back, and could take a majority along.
        """
        ids = tuple(sorted(entry.member.id for entry in stack.table if _is_to_vote(stack, entry.member)))
        if ids != stack.voters.ids:
            stack.set_voters(Voters(stack.voters.epoch + 1, ids))

    def _tell_of_itself(self, stack: PoolStack, known: Member, now: Member) -> None:
        """Send a member what the pool holds of it, to where it is now."""
        me = stack.table.member(self._state.id)
        assert me is not None
        welcome = Welcome(stack.pool, (known, me))
        self._state.transmit((now.address,), CONTROL_CHANNEL, "membership", welcome, "datagram")


def _is_to_vote(stack: PoolStack, member: Member) -> bool:
    """True for who is at home here and did not leave, and for the hub that the pool is named after: it comes back."""
    place = stack.pool.partition(":")[2]
    if stack.tier == "local":
        return member.id == place or (member.status != "left" and member.home in (None, place))
    if stack.tier == "regional" and member.region != place:
        return False
    return member.status != "left" or (stack.tier == "regional" and member.leads("regional"))
