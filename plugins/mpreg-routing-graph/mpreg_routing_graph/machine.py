"""The graph router: link-state routing inside a pool (as OSPF, RFC 2328, without areas).

Each member tells the others what its links cost. From these every member computes the least-cost paths from itself.
`Destinations` says which members lead to a target; the graph decides which next hop leads to one of them best: the
straight link, which always exists, or a path over other members where that is cheaper by a margin.

Loop freedom: a hop over another member is taken only along a shortest path to the nearest exit, so the distance falls
with each; a straight hop ends the way. With differing knowledge, `avoid` keeps a request from coming back.
"""

from msgspec import Struct

from mpreg_core import (
    NOTHING,
    NS_PER_S,
    Effect,
    Effects,
    Emit,
    Forward,
    Local,
    Member,
    NodeId,
    Policy,
    Refuse,
    Route,
    RouteChanged,
    Send,
    StrategyContext,
    Target,
    View,
    ns,
)
from mpreg_core.routing import Destinations, Outliers, Ways, standing
from mpreg_routing_graph.links import OwnLinks, cost_us
from mpreg_routing_graph.messages import LinkState
from mpreg_routing_graph.options import GraphOptions
from mpreg_routing_graph.policies import weight
from mpreg_routing_graph.topology import Topology

POLICIES: tuple[Policy, ...] = ("optimal", "fastest", "balanced", "geographic")
PATHS_MAX = 3  # over other members, to one exit
EXITS_MAX = 16  # looked at for one target
ALTERNATIVES_MAX = 7
REFRESHES_PER_S_MAX = 100  # that a member gets, whatever the size of the pool
WATCHED_HUBS_MAX = 64  # hubs whose loss or gain is announced; regions are always
ANNOUNCE_AFTER_NS = NS_PER_S // 5  # so that a burst of news is one announcement


class Decision(Struct, frozen=True):
    """A route, the paths in it, best first, and everybody on them."""

    route: Route
    paths: tuple[tuple[NodeId, ...], ...] = ()
    visits: frozenset[NodeId] = frozenset()


class GraphSnapshot(Struct, frozen=True):
    """What the router holds, in numbers; `ejected` are the next hops it distrusts, `dropped` messages without use."""

    members: int
    origins: int
    links: int
    own_links: int
    seq: int
    decisions: int
    ejected: tuple[NodeId, ...]
    dropped: int


class GraphRouter:
    """A router for one pool."""

    def __init__(self, context: StrategyContext, options: GraphOptions) -> None:
        self._view = View(
            me=context.me.id, tier=context.tier, members={context.me.id: context.me}, rtts_ns={}, hub=None, below={}
        )
        self._options = options
        self._rng = context.rng
        self._started_ms = context.me.started_ms
        self._outliers = Outliers(options.eject_after, ns(options.eject_time), ns(options.eject_time_max))
        self._destinations = Destinations()
        self._destinations.update(self._view)
        self._links = OwnLinks(options.hysteresis, options.max_links)
        self._topology = Topology(self._view)
        self._peers: list[NodeId] = []
        self._decisions: dict[Policy, dict[Target, Decision]] = {policy: {} for policy in POLICIES}
        self._watched: dict[str, Target] = {}
        self._announced: dict[str, NodeId] = {}
        self._told: LinkState | None = None
        self._told_at: int | None = None
        self._tell_at: int | None = None
        self._again_ns = ns(options.update_interval)
        self._announce_at: int | None = None
        self._dropped = 0

    def on_message(self, now_ns: int, sender: NodeId, message: LinkState) -> Effects:
        """Take over news of links, and pass it on in a large pool. What is not news ends here."""
        changed = self._topology.learn(message)
        if changed is None:
            self._dropped += 1
            return NOTHING
        if changed:
            self._forget_decisions(now_ns)
        if len(self._peers) <= self._options.flood_direct:
            return NOTHING
        to = [peer for peer in self._sample() if peer not in (sender, message.origin)]
        return (Send(tuple(to), message),) if to else NOTHING

    def on_view(self, now_ns: int, view: View) -> Effects:
        """Take over members, round trips and what lies below; tell the others when own links changed.

        In a small pool newcomers are a reason to tell as well: what was told before they did not get.
        """
        before, self._view = self._view, view
        self._peers = sorted(peer for peer in view.members if peer != view.me)
        if view.me in view.members:
            self._started_ms = view.members[view.me].started_ms
        self._destinations.update(view)
        self._outliers.keep(view.members)
        small = len(self._peers) <= self._options.flood_direct
        return self._measure(now_ns, tell=small and any(_is_new(m, before) for m in view.members.values()))

    def on_outcome(self, now_ns: int, next_hop: NodeId, ok: bool, duration_ns: int) -> Effects:
        """Failures in a row take the link to a next hop out of the graph for a while."""
        if next_hop not in self._view.members or not self._outliers.record(now_ns, next_hop, ok):
            return NOTHING
        return self._measure(now_ns)

    def on_deadline(self, now_ns: int) -> Effects:
        """An ejection may be over, own links to be told, or changed next hops to be announced."""
        effects: list[Effect] = []
        if self._outliers.expire(now_ns):
            effects += self._measure(now_ns)
        if self._tell_at is not None and self._tell_at <= now_ns:
            effects += self._tell(now_ns)
        if self._announce_at is not None and self._announce_at <= now_ns:
            effects += self._announce()
        return effects

    def next_deadline(self) -> int | None:
        """The first of the three."""
        times = (self._outliers.next_deadline(), self._tell_at, self._announce_at)
        return min((time for time in times if time is not None), default=None)

    def on_leave(self, now_ns: int) -> Effects:
        """Nothing: the pool's table says that this node left, and its links go with it."""
        return NOTHING

    def snapshot(self) -> GraphSnapshot:
        """Sizes, the sequence number and ejections."""
        return GraphSnapshot(
            members=len(self._view.members),
            origins=len(self._topology),
            links=len(self._topology.paths("optimal")),
            own_links=len(self._links.costs),
            seq=self._told.seq if self._told is not None else 0,
            decisions=sum(len(decisions) for decisions in self._decisions.values()),
            ejected=self._outliers.ejected(),
            dropped=self._dropped,
        )

    def route(self, target: Target, avoid: frozenset[NodeId], policy: Policy) -> Route:
        """One look-up when the target was asked for since paths last changed."""
        decision = self._decisions[policy].get(target) or self._decide(target, policy)
        if not avoid or avoid.isdisjoint(decision.visits):
            return decision.route
        left = [path for path in decision.paths if avoid.isdisjoint(path)]
        if not left:
            hops = ", ".join(path[0] for path in decision.paths)
            return Refuse(f"no way left but by {hops}, to be avoided: {_reason(decision.route)}")
        return self._forward(left, f"{_reason(decision.route)}; avoiding {decision.paths[0][0]}")

    def _decide(self, target: Target, policy: Policy) -> Decision:
        ways = self._destinations.ways(target)
        if isinstance(ways, Local | Refuse):
            decision = Decision(ways)
        else:
            paths = self._ranked(ways, policy)
            visits = frozenset(member for path in paths for member in path)
            decision = Decision(self._forward(paths, ways.reason), tuple(paths), visits)
        decisions = self._decisions[policy]
        if len(decisions) >= self._options.max_graph_cache_size:
            decisions.clear()
        decisions[target] = decision
        return decision

    def _forward(self, paths: list[tuple[NodeId, ...]], reason: str) -> Forward:
        best = paths[0]
        cost = self._topology.cost_us(best, self._straight_us(best[0]))
        over = f"; over {', '.join(best[:-1])}" if best[1:] else ""
        return Forward(best[0], cost * 1_000, reason + over, tuple(path[0] for path in paths[1:]))

    def _ranked(self, ways: Ways, policy: Policy) -> list[tuple[NodeId, ...]]:
        """The best path for each next hop, best first.

        A distrusted straight link comes last, a last resort after all exits, an unfit exit after the fit ones, then by
        weight, where the straight link has the margin as its advantage.
        """
        members, me = self._view.members, self._view.members.get(self._view.me)
        paths = self._topology.paths(policy)
        ranked: list[tuple[bool, bool, int, float, tuple[NodeId, ...]]] = []
        for last, exits in ((False, ways.exits), (True, ways.last_resort)):
            for goal in exits[:EXITS_MAX]:
                fitness = standing(members.get(goal))
                straight = weight(policy, self._straight_us(goal), me, members.get(goal))
                straight_rank = straight * (1.0 - self._options.margin)
                ranked.append((goal in self._outliers, last, fitness, straight_rank, (goal,)))
                for total, path in paths.disjoint(goal, PATHS_MAX):
                    ranked.append((False, last, fitness, total, path))
        best: dict[NodeId, tuple[NodeId, ...]] = {}
        for *_, path in sorted(ranked):
            best.setdefault(path[0], path)
        return list(best.values())[: 1 + ALTERNATIVES_MAX]

    def _straight_us(self, peer: NodeId) -> int:
        return self._links.costs.get(peer) or cost_us(self._view, peer)

    def _measure(self, now_ns: int, *, tell: bool = False) -> Effects:
        """Bring the view and own links into the graph. The first change is told at once, further ones in a while."""
        changed = self._links.measure(self._view, self._outliers)
        self._topology.on_view(self._view, self._links.costs)
        self._forget_decisions(now_ns)
        if not changed and not (tell and self._told is not None):
            return NOTHING
        hold_ns = self._again_ns = ns(self._options.update_interval)
        at = now_ns if self._told_at is None else max(now_ns, self._told_at + hold_ns)
        if at <= now_ns:
            return self._tell(now_ns)
        self._tell_at = at if self._tell_at is None else min(self._tell_at, at)
        return NOTHING

    def _tell(self, now_ns: int) -> Effects:
        """Tell own links, and plan to tell them again.

        Repeats come seldom and seldomer while nothing changes (as in Trickle, RFC 6206), for those that missed it.
        `seq` follows the clock, so it grows even over a rebuilt machine.
        """
        seq = max(now_ns, self._told.seq + 1 if self._told is not None else 0)
        self._told = LinkState(self._view.me, self._started_ms, seq, self._links.to_tell(self._view))
        self._told_at = now_ns
        large = len(self._peers) > self._options.flood_direct
        crowd = len(self._peers) * self._options.flood_fanout / REFRESHES_PER_S_MAX if large else 0.0
        self._tell_at = now_ns + round(self._again_ns * self._rng.uniform(1.0, 1.25))
        self._again_ns = min(2 * self._again_ns, ns(max(self._options.refresh_interval, crowd)))
        to = self._sample() if large else self._peers
        return (Send(tuple(to), self._told),) if to else NOTHING

    def _sample(self) -> list[NodeId]:
        return self._rng.sample(self._peers, min(self._options.flood_fanout, len(self._peers)))

    def _forget_decisions(self, now_ns: int) -> None:
        for decisions in self._decisions.values():
            decisions.clear()
        if self._announce_at is None:
            self._announce_at = now_ns + ANNOUNCE_AFTER_NS

    def _announce(self) -> list[Emit]:
        """Say which next hops towards regions and hubs are others than before."""
        self._announce_at = None
        watched = {hub: Target(node=hub) for hub in self._destinations.hubs[:WATCHED_HUBS_MAX]}
        watched.update((region, Target(region=region)) for region in self._destinations.regions)
        asked = {**self._watched, **watched}
        self._watched = watched
        effects: list[Emit] = []
        for name in sorted(asked):
            route = self.route(asked[name], frozenset(), "optimal")
            hop = route.next_hop if isinstance(route, Forward) else None
            if hop != self._announced.get(name):
                effects.append(Emit(RouteChanged(name, hop, _reason(route))))
            if hop is None or name not in watched:
                self._announced.pop(name, None)
            else:
                self._announced[name] = hop
        return effects


def _is_new(member: Member, before: View) -> bool:
    """Unknown before, or another process by a known name."""
    known = before.members.get(member.id)
    return known is None or known.started_ms != member.started_ms


def _reason(route: Route) -> str:
    return "this node is the target" if isinstance(route, Local) else route.reason
