"""What may be read of a running node, as the api's Structs. Snapshots: nothing here waits or changes anything."""

from collections.abc import Sequence

import msgspec

from mpreg_core.contracts.api import (
    Decision,
    Json,
    MemberView,
    NodeStatus,
    PoolStatus,
    RouteView,
    Scope,
    StateChange,
    StateEntry,
    Status,
)
from mpreg_core.contracts.consensus import ProposalView
from mpreg_core.contracts.members import Member
from mpreg_core.contracts.router import Forward, Policy, Target
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.errors import NoRouteError, NotFoundError
from mpreg_core.ids import Family, NodeId
from mpreg_core.node.admission import children_of
from mpreg_core.node.core import NodeCore
from mpreg_core.node.decisions import Decree
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.runtime import clock
from mpreg_core.units import NS_PER_MS, seconds

_decrees = msgspec.msgpack.Decoder(Decree)


class Reads:
    """Reads of one node. `transport` is the transport strategy's name."""

    def __init__(self, core: NodeCore, transport: str) -> None:
        self._core = core
        self._state = core.state
        self._transport = transport
        self._started_ns = clock.now_ns()

    @property
    def id(self) -> NodeId:
        """This node."""
        return self._state.id

    def state(self, prefix: str, scope: Scope | None) -> tuple[Sequence[StateEntry], int]:
        """The replicated keys here, and the store's revision."""
        replication = self._core.replication
        return replication.list(prefix, scope), replication.store.revision

    def changes(self, since: int, prefix: str, scope: Scope | None) -> tuple[Sequence[StateChange], int]:
        """What changed after a revision, and the store's revision. Raises `CompactedError`."""
        replication = self._core.replication
        return replication.changes(since, prefix, scope), replication.store.revision

    def status(self) -> Status:
        """This node, its pools, its place in the hierarchy."""
        state, settings = self._state, self._state.settings
        node = NodeStatus(
            id=settings.id,
            region=settings.region,
            hub_tier=settings.tier,
            incarnation=state.incarnation,
            uptime_seconds=round(seconds(clock.now_ns() - self._started_ns), 3),
            version=settings.version,
            state=state.life,
            federation=settings.federation,
            coordinates=settings.coordinates,
            routing=str(Endpoint(settings.address.host, settings.address.routing)),
            stands_by_for=settings.stands_by_for if state.stands_by else None,
        )
        return Status(node, [self._pool(stack) for stack in state.lowest_first()], state.parent, self.children())

    def children(self) -> list[NodeId]:
        """The present members below this hub."""
        tier = self._state.settings.tier
        lead = [stack for stack in self._state.stacks.values() if stack.tier == tier and not self._state.stands_by]
        return [member.id for stack in lead for member in children_of(stack)]

    def _pool(self, stack: PoolStack) -> PoolStatus:
        table = stack.table
        strategies: dict[Family, str] = {hosted.part.family: hosted.part.strategy for hosted in stack.hosted}
        strategies["transport"] = self._transport
        return PoolStatus(
            id=stack.pool,
            tier=stack.tier,
            members=len(table),
            alive=table.count("alive"),
            suspect=table.count("suspect"),
            failed=table.count("failed"),
            left=table.count("left"),
            hub=self._core.hierarchy.hub_of(stack),
            strategies=strategies,
        )

    def members(self) -> Sequence[MemberView]:
        """The members of all pools, by pool from the lowest up and id."""
        state = self._state
        return [
            MemberView(
                stack.pool,
                entry.member,
                entry.rtt_ns,
                seconds(state.wall_offset_ns + entry.since_ns),
                self._estimate_ns(entry.member),
            )
            for stack in self._state.lowest_first()
            for entry in sorted(stack.table, key=lambda entry: entry.member.id)
        ]

    def _estimate_ns(self, member: Member) -> int | None:
        if member.network is None or member.id == self._state.id:
            return None
        return self._state.vivaldi.current().round_trip_ns(member.network)

    def topology(self) -> Json:
        """Nodes, edges, pools, clusters and summaries of hubs, as far as this node knows."""
        nodes: dict[str, Json] = {}
        edges: list[Json] = []
        for view in self.members():
            member = view.member
            nodes[member.id] = {
                "id": member.id,
                "tier": member.tier,
                "region": member.region,
                "status": member.status,
                "coordinates": msgspec.to_builtins(member.coordinates),
                "parent": member.parent,
            }
            if view.rtt_ns is not None:
                rtt_ms = view.rtt_ns / NS_PER_MS
                edge: Json = {"from": self._state.id, "to": member.id, "pool": view.pool, "rtt_ms": rtt_ms}
                edges.append(edge)
        for stack in self._state.stacks.values():
            for hub in stack.hubs.values():
                summary: Json = {
                    "id": hub.hub,
                    "tier": hub.tier,
                    "region": hub.region,
                    "status": hub.status,
                    "coordinates": msgspec.to_builtins(hub.coordinates),
                    "parent": None,
                    "children": hub.children,
                }
                nodes.setdefault(hub.hub, summary)
        pools: list[Json] = [msgspec.to_builtins(self._pool(stack)) for stack in self._state.lowest_first()]
        clusters: list[Json] = [msgspec.to_builtins(cluster) for cluster in self._core.registry.clusters()]
        return {"nodes": [nodes[name] for name in sorted(nodes)], "edges": edges, "pools": pools, "clusters": clusters}

    def gossip_stats(self) -> Json:
        """For each pool what its gossip strategy counts, and the digest by which replicas compare."""
        return {"pools": [self._gossip(stack) for stack in self._state.lowest_first()]}

    def _gossip(self, stack: PoolStack) -> Json:
        snapshot = stack.gossip.machine.snapshot() if not stack.gossip.stopped else None
        return {
            "pool": stack.pool,
            "strategy": stack.gossip.part.strategy,
            "items": len(stack.items),
            "digest": f"{stack.items.root():016x}",
            "stats": msgspec.to_builtins(snapshot),
        }

    def consensus_status(self) -> Json:
        """For each pool its engine: voters, votes needed, open proposals, and what the engine itself counts."""
        return {"pools": [self._consensus(stack) for stack in self._state.lowest_first()]}

    def _consensus(self, stack: PoolStack) -> Json:
        views = self._core.decisions.views(stack)
        snapshot = stack.consensus.machine.snapshot() if not stack.consensus.stopped else None
        return {
            "pool": stack.pool,
            "strategy": stack.consensus.part.strategy,
            "stopped": stack.consensus.stopped,
            "voters": list[Json](stack.counted()),
            "wanted": list[Json](stack.voters.ids),
            "open": sum(1 for view in views if view.status == "pending"),
            "stats": msgspec.to_builtins(snapshot),
        }

    def proposals(self) -> list[Decision]:
        """Open and recent proposals of all pools."""
        return [
            decision_of(view, self._state.wall_offset_ns)
            for stack in self._state.lowest_first()
            for view in self._core.decisions.views(stack)
        ]

    def proposal(self, proposal: str) -> Decision:
        """One proposal. Raises `NotFoundError`."""
        for decision in self.proposals():
            if decision.id == proposal:
                return decision
        raise NotFoundError(f"no proposal {proposal!r} is known here", where=self._state.id)

    def route(self, to: str, policy: Policy) -> RouteView:
        """The next hop towards a node, hub or region. Raises `NoRouteError`."""
        core, reasons = self._core, []
        core.hierarchy.refresh_views()
        for target in self._targets(to):
            for stack in self._state.lowest_first():
                route = stack.router.machine.route(target, frozenset((self._state.id,)), policy)
                if isinstance(route, Forward):
                    cost_ms = route.cost_ns / NS_PER_MS
                    alternatives = list(route.alternatives)
                    return RouteView(to, route.next_hop, stack.pool, cost_ms, alternatives, route.reason)
                if target.node == self._state.id:
                    return RouteView(to, None, stack.pool, 0.0, [], "this node is the target")
                reasons.append(f"{stack.pool}: {getattr(route, 'reason', 'here')}")
        raise NoRouteError(f"no way to {to!r} ({'; '.join(reasons)})", where=self._state.id)

    def _targets(self, to: str) -> list[Target]:
        if to == self._state.id:
            return [Target(node=to)]
        regions = {view.member.region for view in self.members()}
        hubs = [hub for stack in self._state.stacks.values() for hub in stack.hubs.values()]
        regions |= {hub.region for hub in hubs}
        if to in regions and self._state.member(to) is None:
            return [Target(region=to)]
        holders = [hub for hub in hubs if to in hub.ids or hub.hub == to]
        service = self._core.registry.locate(to)
        places = [Target(node=to, hub=hub.hub, region=hub.region) for hub in holders]
        return [*places, *service, Target(node=to)]


def decision_of(view: ProposalView, wall_offset_ns: int) -> Decision:
    """A proposal as users see it."""
    proposal = view.proposal
    decided = None if view.ended_ns is None else seconds(wall_offset_ns + view.ended_ns)
    return Decision(
        id=proposal.id,
        key=outer_key(proposal.key),
        value=value_of(proposal.value),
        proposer=proposal.proposer,
        status=view.status,
        votes=view.votes,
        needed=view.needed,
        voters=view.voters,
        created=proposal.created_ms / 1000,
        decided=decided,
        threshold=view.threshold,
    )


def outer_key(inner: str) -> str:
    """A key as users know it, without its domain."""
    return inner.partition("/")[2]


def value_of(encoded: bytes) -> Json:
    """The value a proposal carries; None when it does not decode."""
    try:
        value: Json = msgspec.json.decode(_decrees.decode(encoded).value)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return value
