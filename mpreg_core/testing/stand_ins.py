"""Strategies as simple as their contracts allow. In the kit they stand for the families that are not under test."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from mpreg_core.contracts.consensus import Proposal, ProposalView, Voters
from mpreg_core.contracts.context import ConsensusContext, GossipContext, StrategyContext
from mpreg_core.contracts.effects import NOTHING, Effect, Effects, Emit, Persist, Send
from mpreg_core.contracts.events import Decided, Delivered, ReadDone, RoundTrip, Verdict
from mpreg_core.contracts.failure_detector import Evidence
from mpreg_core.contracts.gossip import DIGEST_FANOUT, Item
from mpreg_core.contracts.members import Member
from mpreg_core.contracts.router import Forward, Local, Policy, Refuse, Route, Target, View
from mpreg_core.contracts.strategy import ConsensusSpec, FailureDetectorSpec, GossipSpec, RouterSpec
from mpreg_core.ids import NodeId
from mpreg_core.units import NS_PER_MS, NS_PER_S


class NoOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing to set."""


class Watching(Struct, frozen=True):
    """How many others it knows."""

    known: int


class Beat(Struct, frozen=True, array_like=True, tag=1):
    """I live, or: yes, I do."""

    answer: bool


class Heartbeats:
    """Beats once a second; a member silent for eight is failed, one whose host refuses is failed at once."""

    silence_ns = 8 * NS_PER_S

    def __init__(self, context: StrategyContext, options: NoOptions) -> None:
        self.me = context.me.id
        self.members: dict[NodeId, Member] = {}
        self.heard_ns: dict[NodeId, int] = {}
        self.due_ns = context.now_ns + NS_PER_S

    def on_members(self, now_ns: int, members: Sequence[Member]) -> Effects:
        for member in members:
            if member.status == "left":
                self.members.pop(member.id, None)
                self.heard_ns.pop(member.id, None)
            elif member.id != self.me:
                if member.status == "alive" and self.members.get(member.id) != member:
                    self.heard_ns[member.id] = now_ns
                self.members[member.id] = member
        return NOTHING

    def on_message(self, now_ns: int, sender: NodeId, message: Beat) -> Effects:
        member = self.members.get(sender)
        if member is None:
            return NOTHING
        self.heard_ns[sender] = now_ns
        effects: list[Effect] = [] if message.answer else [Send((sender,), Beat(True))]
        if member.status == "failed":
            effects.append(Emit(Verdict(sender, "alive", member.incarnation, "beat")))
        return [*effects, Emit(RoundTrip(sender, NS_PER_MS))] if message.answer else effects

    def on_evidence(self, now_ns: int, peer: NodeId, evidence: Evidence) -> Effects:
        member = self.members.get(peer)
        if evidence == "refused" and member is not None and member.status == "alive":
            return [Emit(Verdict(peer, "failed", member.incarnation, "refused", self.me))]
        return NOTHING

    def on_deadline(self, now_ns: int) -> Effects:
        late_ns = max(0, now_ns - self.due_ns)
        if late_ns > NS_PER_S:  # this process was paused: the silence was its own
            self.heard_ns = dict.fromkeys(self.heard_ns, now_ns)
        self.due_ns = now_ns + NS_PER_S
        peers = tuple(sorted(self.members))
        effects: list[Effect] = [Send(peers, Beat(False))] if peers else []
        for node in peers:
            member = self.members[node]
            if member.status == "alive" and now_ns - self.heard_ns.get(node, now_ns) > self.silence_ns:
                effects.append(Emit(Verdict(node, "failed", member.incarnation, "silence", self.me)))
        return effects

    def next_deadline(self) -> int | None:
        return self.due_ns

    def on_leave(self, now_ns: int) -> Effects:
        return NOTHING

    def snapshot(self) -> Struct:
        return Watching(len(self.members))


class Told(Struct, frozen=True, array_like=True, tag=1):
    """Items, and how many nodes they passed."""

    items: tuple[Item, ...]
    hops: int


class Rumours:
    """Tells news to a few at random, and one member once a second all that it holds and what lately passed."""

    fanout = 4

    def __init__(self, context: GossipContext, options: NoOptions) -> None:
        self.context = context
        self.peers: list[NodeId] = []
        self.passed: deque[Item] = deque(maxlen=64)  # messages: the replica does not keep them
        self.due_ns = context.now_ns + NS_PER_S

    def on_members(self, now_ns: int, members: Sequence[Member]) -> Effects:
        for member in members:
            if member.status in ("alive", "suspect") and member.id != self.context.me.id:
                self.peers = sorted({*self.peers, member.id})
            elif member.status == "left":
                self.peers = [peer for peer in self.peers if peer != member.id]
        return NOTHING

    def on_publish(self, now_ns: int, item: Item) -> Effects:
        return self._tell((item,), 1, "")

    def on_message(self, now_ns: int, sender: NodeId, message: Told) -> Effects:
        news = tuple(item for item in message.items if self.context.replica.is_news(item))
        emits = [Emit(Delivered(i.key, i.stamp, i.payload, i.origin, i.born_ms, message.hops, i.kept)) for i in news]
        return [*emits, *self._tell(news, message.hops + 1, sender)]

    def _tell(self, items: tuple[Item, ...], hops: int, sender: NodeId) -> Effects:
        self.passed.extend(item for item in items if not item.kept)
        others = [peer for peer in self.peers if peer != sender]
        chosen = self.context.rng.sample(others, min(self.fanout, len(others)))
        return [Send(tuple(chosen), Told(items, min(hops, 1000)), "stream")] if items and chosen else NOTHING

    def on_round_trip(self, now_ns: int, peer: NodeId, rtt_ns: int) -> Effects:
        return NOTHING

    def on_deadline(self, now_ns: int) -> Effects:
        self.due_ns = now_ns + NS_PER_S
        held = (*self._held(), *self.passed)
        if not self.peers or not held:
            return NOTHING
        return [Send((self.context.rng.choice(self.peers),), Told(held, 1), "stream")]

    def _held(self) -> list[Item]:
        replica = self.context.replica
        keys = [
            key
            for branch, digest in enumerate(replica.branches())
            if digest
            for leaf in range(DIGEST_FANOUT)
            for key in replica.stamps(branch, leaf)
        ]
        return [item for key in keys if (item := replica.get(key)) is not None]

    def next_deadline(self) -> int | None:
        return self.due_ns

    def on_leave(self, now_ns: int) -> Effects:
        return NOTHING

    def snapshot(self) -> Struct:
        return Watching(len(self.peers))


class Decree(Struct, frozen=True, array_like=True, tag=1):
    """A proposal on its way to the dictator (index 0), or decided."""

    proposal: Proposal
    index: int


class Dictator:
    """The first voter decides. Enough for a pool that needs decisions, no consensus protocol: it survives nothing."""

    def __init__(self, context: ConsensusContext, options: NoOptions) -> None:
        self.me = context.me.id
        self.wanted = Voters(0, ())
        self.index = len(context.records)

    def on_members(self, now_ns: int, members: Sequence[Member]) -> Effects:
        return NOTHING

    def on_voters(self, now_ns: int, voters: Voters) -> Effects:
        self.wanted = voters
        return NOTHING

    def voters(self) -> Sequence[NodeId]:
        return self.wanted.ids

    def may_leave(self) -> bool:
        return True

    def on_proposal(self, now_ns: int, proposal: Proposal) -> Effects:
        if not self.wanted.ids or self.wanted.ids[0] == self.me:
            return self._decide(proposal)
        return [Send((self.wanted.ids[0],), Decree(proposal, 0), "stream")]

    def _decide(self, proposal: Proposal) -> Effects:
        self.index += 1
        decree = Decree(proposal, self.index)
        others = tuple(voter for voter in self.wanted.ids if voter != self.me)
        told: list[Effect] = [Send(others, decree, "stream")] if others else []
        return [Persist(self.index, msgspec.msgpack.encode(decree)), *told, self._emit(decree)]

    def _emit(self, decree: Decree) -> Emit:
        made = decree.proposal
        return Emit(Decided(made.id, made.key, made.value, made.proposer, "committed", {}, decree.index))

    def on_message(self, now_ns: int, sender: NodeId, message: Decree) -> Effects:
        return [self._emit(message)] if message.index else self._decide(message.proposal)

    def on_vote(self, now_ns: int, proposal: str, yes: bool) -> Effects:
        return NOTHING

    def on_read(self, now_ns: int, read: str, timeout_ns: int) -> Effects:
        return [Emit(ReadDone(read, True))]

    def on_persisted(self, now_ns: int, token: int) -> Effects:
        return NOTHING

    def proposals(self) -> Sequence[ProposalView]:
        return ()

    def on_deadline(self, now_ns: int) -> Effects:
        return NOTHING

    def next_deadline(self) -> int | None:
        return None

    def on_leave(self, now_ns: int) -> Effects:
        return NOTHING

    def snapshot(self) -> Struct:
        return Watching(len(self.wanted.ids))


class Straight:
    """To the member itself, to the hub above it, to the hub of its region, else up."""

    def __init__(self, context: StrategyContext, options: NoOptions) -> None:
        self.view: View | None = None

    def on_view(self, now_ns: int, view: View) -> Effects:
        self.view = view
        return NOTHING

    def route(self, target: Target, avoid: frozenset[NodeId], policy: Policy) -> Route:
        view = self.view
        if view is None:
            return Refuse("nothing is known of the pool yet")
        if target.node == view.me:
            return Local()
        ways = [name for name in (target.node, target.hub) if name in view.members]
        ways += [hub for hub in sorted(view.below) if {target.node, target.hub} & view.below[hub]]
        ways += sorted(
            member.id
            for member in view.members.values()
            if view.tier == "global" and member.tier == "regional" and member.region == target.region
        )
        ways += [view.hub] if view.hub else []
        for way in ways:
            if way is not None and way not in avoid and way != view.me and way in view.members:
                return Forward(way, NS_PER_MS, "straight")
        return Refuse(f"nobody in the {view.tier} pool leads there")

    def on_outcome(self, now_ns: int, next_hop: NodeId, ok: bool, duration_ns: int) -> Effects:
        return NOTHING

    def on_message(self, now_ns: int, sender: NodeId, message: Any) -> Effects:
        return NOTHING

    def on_deadline(self, now_ns: int) -> Effects:
        return NOTHING

    def next_deadline(self) -> int | None:
        return None

    def on_leave(self, now_ns: int) -> Effects:
        return NOTHING

    def snapshot(self) -> Struct:
        return Watching(len(self.view.members) if self.view is not None else 0)


HEARTBEATS = FailureDetectorSpec(
    name="heartbeats", summary="Silence is death.", options=NoOptions, messages=(Beat,), create=Heartbeats
)
RUMOURS = GossipSpec(
    name="rumours", summary="News to a few, all to one.", options=NoOptions, messages=(Told,), create=Rumours
)
DICTATOR = ConsensusSpec(
    name="dictator", summary="The first voter decides.", options=NoOptions, messages=(Decree,), create=Dictator
)
STRAIGHT = RouterSpec(name="straight", summary="Straight there, else up.", options=NoOptions, create=Straight)
