"""Strategies as simple as the contracts allow, so that the node is tested apart from the plugins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from mpreg_core.contracts.consensus import Proposal, ProposalView, Voters
from mpreg_core.contracts.context import ConsensusContext, GossipContext, StrategyContext
from mpreg_core.contracts.effects import NOTHING, Effects, Emit, Persist, Send
from mpreg_core.contracts.events import Decided, Delivered, ReadDone, RoundTrip, Verdict
from mpreg_core.contracts.gossip import Item
from mpreg_core.contracts.members import Coordinates, Member
from mpreg_core.contracts.router import Forward, Local, Policy, Refuse, Route, Target, View
from mpreg_core.ids import NodeId, PoolTier, Tier
from mpreg_core.node.parts import NodeSettings, Part, PoolParts
from mpreg_core.sim import Faults, SimNode, World
from mpreg_core.sim.world import address_of
from mpreg_core.units import NS_PER_S


class Nothing(msgspec.Struct, frozen=True):
    """A snapshot with nothing to tell."""


class Beat(msgspec.Struct, frozen=True, array_like=True, tag=1):
    answer: bool


class Told(msgspec.Struct, frozen=True, array_like=True, tag=1):
    items: tuple[Item, ...]
    hops: int


class Vote(msgspec.Struct, frozen=True, array_like=True, tag=1):
    proposal: Proposal
    index: int


class Heartbeats:
    """Beats once a second; a member silent for three is failed, one that refuses at once."""

    def __init__(self, context: StrategyContext) -> None:
        self.me = context.me.id
        self.members: dict[NodeId, Member] = {}
        self.heard: dict[NodeId, int] = {}
        self.due = context.now_ns + NS_PER_S

    def on_members(self, now_ns: int, members: Sequence[Member]) -> Effects:
        for member in members:
            if member.id != self.me:
                self.members[member.id] = member
                if member.status == "alive":
                    self.heard[member.id] = now_ns
        return NOTHING

    def on_message(self, now_ns: int, sender: NodeId, message: Beat) -> Effects:
        self.heard[sender] = now_ns
        effects: list[Any] = [] if message.answer else [Send((sender,), Beat(True))]
        member = self.members.get(sender)
        if member is not None and member.status == "failed":
            effects.append(Emit(Verdict(sender, "alive", member.incarnation, "beat")))
        return [*effects, Emit(RoundTrip(sender, 1_000_000))] if message.answer else effects

    def on_evidence(self, now_ns: int, peer: NodeId, evidence: str) -> Effects:
        member = self.members.get(peer)
        if evidence == "refused" and member is not None and member.status == "alive":
            return [Emit(Verdict(peer, "failed", member.incarnation, "refused", self.me))]
        return NOTHING

    def on_deadline(self, now_ns: int) -> Effects:
        self.due = now_ns + NS_PER_S
        peers = tuple(sorted(node for node, member in self.members.items() if member.status != "left"))
        effects: list[Any] = [Send(peers, Beat(False))] if peers else []
        for node in peers:
            member = self.members[node]
            if member.status == "alive" and now_ns - self.heard.get(node, now_ns) > 3 * NS_PER_S:
                effects.append(Emit(Verdict(node, "failed", member.incarnation, "silence", self.me)))
        return effects

    def next_deadline(self) -> int | None:
        return self.due

    def on_leave(self, now_ns: int) -> Effects:
        return NOTHING

    def snapshot(self) -> Nothing:
        return Nothing()


class Flood:
    """Tells everyone at once, and one member everything once a second."""

    def __init__(self, context: GossipContext) -> None:
        self.context = context
        self.peers: list[NodeId] = []
        self.due = context.now_ns + NS_PER_S

    def on_members(self, now_ns: int, members: Sequence[Member]) -> Effects:
        for member in members:
            if member.status in ("alive", "suspect") and member.id != self.context.me.id:
                self.peers = sorted({*self.peers, member.id})
            elif member.status == "left":
                self.peers = [peer for peer in self.peers if peer != member.id]
        return NOTHING

    def on_publish(self, now_ns: int, item: Item) -> Effects:
        return [Send(tuple(self.peers), Told((item,), 1), "stream")] if self.peers else NOTHING

    def on_message(self, now_ns: int, sender: NodeId, message: Told) -> Effects:
        news = [item for item in message.items if self.context.replica.is_news(item)]
        emits = [Emit(Delivered(i.key, i.stamp, i.payload, i.origin, i.born_ms, message.hops, i.kept)) for i in news]
        others = tuple(peer for peer in self.peers if peer != sender)
        return [*emits, Send(others, Told(tuple(news), message.hops + 1), "stream")] if news and others else emits

    def on_round_trip(self, now_ns: int, peer: NodeId, rtt_ns: int) -> Effects:
        return NOTHING

    def on_deadline(self, now_ns: int) -> Effects:
        self.due = now_ns + NS_PER_S
        if not self.peers:
            return NOTHING
        replica = self.context.replica
        held = [
            replica.get(key)
            for branch, digest in enumerate(replica.branches())
            if digest
            for leaf in range(64)
            for key in replica.stamps(branch, leaf)
        ]
        peer = self.context.rng.choice(self.peers)
        return [Send((peer,), Told(tuple(item for item in held if item), 1), "stream")]

    def next_deadline(self) -> int | None:
        return self.due

    def on_leave(self, now_ns: int) -> Effects:
        return NOTHING

    def snapshot(self) -> Nothing:
        return Nothing()


class Dictator:
    """The first voter decides: enough to test what core does around an engine, not a consensus protocol."""

    def __init__(self, context: ConsensusContext) -> None:
        self.me = context.me.id
        self.wanted = Voters(0, ())
        self.index = len(context.records)
        self.pending: dict[int, Vote] = {}

    def on_members(self, now_ns: int, members: Sequence[Member]) -> Effects:
        return NOTHING

    def voters(self) -> Sequence[NodeId]:
        return self.wanted.ids

    def may_leave(self) -> bool:
        return True

    def on_voters(self, now_ns: int, voters: Voters) -> Effects:
        self.wanted = voters
        return NOTHING

    def on_proposal(self, now_ns: int, proposal: Proposal) -> Effects:
        if self.wanted.ids[0] == self.me:
            return self._decide(proposal)
        return [Send((self.wanted.ids[0],), Vote(proposal, 0), "stream")]

    def _decide(self, proposal: Proposal) -> Effects:
        self.index += 1
        vote = Vote(proposal, self.index)
        others = tuple(voter for voter in self.wanted.ids if voter != self.me)
        decided = [Send(others, vote, "stream"), self._emit(vote)] if others else [self._emit(vote)]
        return [Persist(self.index, msgspec.msgpack.encode(vote)), *decided]

    def _emit(self, vote: Vote) -> Emit:
        proposal = vote.proposal
        votes = {self.wanted.ids[0]: True}
        return Emit(
            Decided(proposal.id, proposal.key, proposal.value, proposal.proposer, "committed", votes, vote.index)
        )

    def on_message(self, now_ns: int, sender: NodeId, message: Vote) -> Effects:
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

    def snapshot(self) -> Nothing:
        return Nothing()


class Straight:
    """To the member itself, to the hub above it, to the hub of its region, else up."""

    def __init__(self, context: StrategyContext) -> None:
        self.view: View | None = None

    def on_view(self, now_ns: int, view: View) -> Effects:
        self.view = view
        return NOTHING

    def route(self, target: Target, avoid: frozenset[NodeId], policy: Policy) -> Route:
        view = self.view
        assert view is not None
        if target.node == view.me:
            return Local()
        ways = [name for name in (target.node, target.hub) if name in view.members]
        ways += [hub for hub in sorted(view.below) if {target.node, target.hub} & view.below[hub]]
        ways += [
            member.id for member in view.members.values()
            if view.tier == "global" and member.tier == "regional" and member.region == target.region
        ]  # fmt: skip
        ways += [view.hub] if view.hub else []
        for way in ways:
            if way not in avoid and way != view.me:
                return Forward(way, 1_000, "straight")
        return Refuse(f"nobody in the {view.tier} pool")

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

    def snapshot(self) -> Nothing:
        return Nothing()


def simple_parts(tier: PoolTier) -> PoolParts:
    return PoolParts(
        Part("failure_detector", "heartbeats", "heartbeats", (1, 1), (Beat,), Heartbeats),
        Part("gossip", "flood", "flood", (1, 1), (Told,), Flood),
        Part("consensus", "dictator", "dictator", (1, 1), (Vote,), Dictator),
        Part("routing", "straight", "straight", (1, 1), (), Straight),
    )


PLACES = {"us": Coordinates(40.7, -74.0), "eu": Coordinates(50.1, 8.7), "ap": Coordinates(1.3, 103.8)}


@dataclass
class Federation:
    """A world of three tiers: `g`, regional hubs by region, local hubs and cluster nodes below them."""

    world: World
    parts_of: Callable[[PoolTier], PoolParts] = simple_parts
    ids: list[NodeId] = field(default_factory=list)

    def add(self, node: NodeId, tier: Tier, region: str, parent: NodeId | None, **more: Any) -> SimNode:
        self.ids.append(node)
        settings = NodeSettings(
            id=node,
            federation=more.pop("federation", "test"),
            tier=tier,
            region=region,
            address=address_of(node),
            started_ms=0,
            seed=0,
            parent=parent,
            parent_address=address_of(parent) if parent else None,
            coordinates=PLACES.get(region),
            version="1",
            **more,
        )
        return self.world.add(settings, more.pop("parts_of", self.parts_of))

    def grow(self, regions: Sequence[str] = ("us", "eu"), hubs: int = 2, clusters: int = 1, **more: Any) -> None:
        """One global hub, a regional hub a region, `hubs` local hubs each, `clusters` nodes each."""
        self.add("g", "global", "us", None, **more)
        for region in regions:
            self.add(f"r-{region}", "regional", region, "g", **more)
            for hub in range(1, hubs + 1):
                self.add(f"l-{region}-{hub}", "local", region, f"r-{region}", **more)
                for cluster in range(1, clusters + 1):
                    self.add(f"c-{region}-{hub}-{cluster}", "cluster", region, f"l-{region}-{hub}", **more)

    def complete(self) -> bool:
        """True when every pool's table is the same, all alive, at all its members."""
        pools: dict[str, list[set[NodeId]]] = {}
        for node in self.world.nodes.values():
            if not node.alive:
                continue
            if node.core.state.life == "joining":
                return False
            for stack in node.core.state.stacks.values():
                alive = {entry.member.id for entry in stack.table if entry.member.status == "alive"}
                pools.setdefault(stack.pool, []).append(alive)
        return all(len(views) == len(views[0]) and all(view == views[0] for view in views) for views in pools.values())

    def request(self, at: NodeId, service: str, timeout_s: float = 2.0, **target: Any) -> Any:
        """Ask at a node and wait: the `Outcome`."""
        tokens: list[int] = []

        def ask(core: Any) -> None:
            tokens.append(core.new_token())
            core.requests.ask(tokens[0], service, b'"hi"', round(timeout_s * 1e9), **target)

        self.world.command(at, ask)
        results = self.world.nodes[at].results
        self.world.run_until(lambda: tokens[0] in results, timeout_s + 1)
        return results.get(tokens[0])


@pytest.fixture
def federation() -> Callable[..., Federation]:
    """A federation of no node yet: `federation(seed=1, loss=0.1)`."""

    def make(seed: int = 1, **faults: float) -> Federation:
        return Federation(World(seed, Faults(**faults)))

    return make
