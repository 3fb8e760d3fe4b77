"""The hub router: a request climbs only as far as needed, crosses to the target's region, and descends.

`Destinations` says which members lead to a target. Where there are several, this machine ranks them by the request's
policy and stays with its choice until another is clearly better. A decision is kept until the view or an ejection
changes, so that the next request for the same target costs one look-up.

Policies rank members that lead to the same target: `optimal` and `fastest` by round trip (each is one hop away),
`balanced` by load, `geographic` by distance. The cost of a way is always the round trip to its next hop.
"""

from math import inf

from msgspec import Struct

from mpreg_core import (
    NOTHING,
    Effects,
    Emit,
    Forward,
    Local,
    NodeId,
    Policy,
    Refuse,
    Route,
    RouteChanged,
    StrategyContext,
    Target,
    View,
    ns,
)
from mpreg_core.routing import Destinations, Outliers, distance_km, round_trip_ns, standing
from mpreg_routing_hub.options import HubOptions

DECISIONS_MAX = 16_384  # kept for a policy
CHOICES_MAX = 4_096  # remembered sets of members that lead to one target
ALTERNATIVES_MAX = 7
WATCHED_HUBS_MAX = 64  # hubs whose loss or gain is announced; regions are always
POLICIES: tuple[Policy, ...] = ("optimal", "fastest", "balanced", "geographic")


class Decision(Struct, frozen=True):
    """A route and all next hops in it."""

    route: Route
    hops: tuple[NodeId, ...] = ()


class HubSnapshot(Struct, frozen=True):
    """What the router holds, in numbers; `ejected` are the next hops it distrusts, `dropped` messages without use."""

    members: int
    hubs: int
    regions: int
    decisions: int
    ejected: tuple[NodeId, ...]
    dropped: int


class HubRouter:
    """A router for one pool. Sends nothing."""

    def __init__(self, context: StrategyContext, options: HubOptions) -> None:
        self._view = View(
            me=context.me.id, tier=context.tier, members={context.me.id: context.me}, rtts_ns={}, hub=None, below={}
        )
        self._keep = 1.0 - options.hysteresis
        self._outliers = Outliers(options.eject_after, ns(options.eject_time), ns(options.eject_time_max))
        self._destinations = Destinations()
        self._destinations.update(self._view)
        self._decisions: dict[Policy, dict[Target, Decision]] = {policy: {} for policy in POLICIES}
        self._choices: dict[tuple[Policy, tuple[NodeId, ...]], NodeId] = {}
        self._watched: dict[str, Target] = {}
        self._announced: dict[str, NodeId] = {}
        self._dropped = 0

    def on_message(self, now_ns: int, sender: NodeId, message: Struct) -> Effects:
        """This router has no messages."""
        self._dropped += 1
        return NOTHING

    def on_view(self, now_ns: int, view: View) -> Effects:
        """Build the tables anew."""
        self._view = view
        self._destinations.update(view)
        self._outliers.keep(view.members)
        return self._decide_anew()

    def on_outcome(self, now_ns: int, next_hop: NodeId, ok: bool, duration_ns: int) -> Effects:
        """Failures in a row put a next hop last for a while."""
        if next_hop not in self._view.members or not self._outliers.record(now_ns, next_hop, ok):
            return NOTHING
        return self._decide_anew()

    def on_deadline(self, now_ns: int) -> Effects:
        """An ejection may be over."""
        return self._decide_anew() if self._outliers.expire(now_ns) else NOTHING

    def next_deadline(self) -> int | None:
        """The end of the next ejection."""
        return self._outliers.next_deadline()

    def on_leave(self, now_ns: int) -> Effects:
        """Nobody needs to be told."""
        return NOTHING

    def snapshot(self) -> HubSnapshot:
        """Sizes and ejections."""
        return HubSnapshot(
            members=len(self._view.members),
            hubs=len(self._destinations.hubs),
            regions=len(self._destinations.regions),
            decisions=sum(len(decisions) for decisions in self._decisions.values()),
            ejected=self._outliers.ejected(),
            dropped=self._dropped,
        )

    def route(self, target: Target, avoid: frozenset[NodeId], policy: Policy) -> Route:
        """One look-up when the target was asked for since the last change."""
        decision = self._decisions[policy].get(target) or self._decide(target, policy)
        if not avoid or avoid.isdisjoint(decision.hops):
            return decision.route
        left = [hop for hop in decision.hops if hop not in avoid]
        if not left:
            return Refuse(f"no way left but {', '.join(decision.hops)}, to be avoided: {_reason(decision.route)}")
        return self._forward(left, f"{_reason(decision.route)}; avoiding {decision.hops[0]}")

    def _decide(self, target: Target, policy: Policy) -> Decision:
        ways = self._destinations.ways(target)
        if isinstance(ways, Local | Refuse):
            decision = Decision(ways)
        else:
            hops = [*self._ranked(ways.exits, policy), *ways.last_resort]
            hops.sort(key=self._outliers.__contains__)  # stable: ejected ones last, in their order
            del hops[1 + ALTERNATIVES_MAX :]
            decision = Decision(self._forward(hops, ways.reason), tuple(hops))
        decisions = self._decisions[policy]
        if len(decisions) >= DECISIONS_MAX:
            decisions.clear()
        decisions[target] = decision
        return decision

    def _forward(self, hops: list[NodeId], reason: str) -> Forward:
        return Forward(hops[0], round_trip_ns(self._view, hops[0]), reason, tuple(hops[1:]))

    def _ranked(self, exits: tuple[NodeId, ...], policy: Policy) -> tuple[NodeId, ...]:
        """Members that lead to one target, best first. The present choice is left only for a clearly better one."""
        if len(exits) == 1:
            return exits
        members = self._view.members
        fitness = {hop: (hop in self._outliers, standing(members.get(hop))) for hop in exits}
        score = {hop: self._score(hop, policy) for hop in exits}
        ranked = sorted(exits, key=lambda hop: (fitness[hop], score[hop], round_trip_ns(self._view, hop), hop))
        best, present = ranked[0], self._choices.get((policy, exits))
        equals = present is not None and fitness[present] == fitness[best]
        if present is not None and equals and score[best] >= score[present] * self._keep:
            ranked.remove(present)
            ranked.insert(0, present)
        if len(self._choices) >= CHOICES_MAX:
            self._choices.clear()
        self._choices[policy, exits] = ranked[0]
        return tuple(ranked)

    def _score(self, hop: NodeId, policy: Policy) -> float:
        """Less is better: nanoseconds, load or kilometres."""
        if policy == "balanced":
            return self._view.members[hop].load
        if policy == "geographic":
            km = distance_km(self._view.members.get(self._view.me), self._view.members.get(hop))
            return inf if km is None else km
        return round_trip_ns(self._view, hop)

    def _decide_anew(self) -> Effects:
        """Forget all decisions and announce which next hops towards regions and hubs are others than before."""
        for decisions in self._decisions.values():
            decisions.clear()
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


def _reason(route: Route) -> str:
    return "this node is the target" if isinstance(route, Local) else route.reason
