"""What routers share: which members of a pool lead to a target, how far they are, and which ones lately failed.

`Destinations` has the rule of the hierarchy (up only as far as needed, across, down), `Outliers` the distrust of next
hops that fail in a row. Both are pure. How to choose among the members that lead to a target is the router's matter.
"""

from collections.abc import Container, Iterable

from msgspec import Struct

from mpreg_core.contracts.members import Member
from mpreg_core.contracts.router import Local, Refuse, Target, View
from mpreg_core.ids import NodeId, Region
from mpreg_core.registry.selection import great_circle_km
from mpreg_core.units import NS_PER_MS

RTT_NS_PER_KM = 10_007
"""There and back at two thirds of the speed of light, as in fibre: a lower bound of the round trip."""

RTT_NS_UNKNOWN = 100 * NS_PER_MS
"""Taken for the round trip when it was neither measured nor can be estimated."""


class Ways(Struct, frozen=True):
    """The members that lead to a target.

    Any of `exits` (by id) serves; when none of them can be reached, try `last_resort`, best first. `reason` tells
    people why these.
    """

    exits: tuple[NodeId, ...]
    last_resort: tuple[NodeId, ...]
    reason: str


class Destinations:
    """Target -> the members of one pool that lead to it. `update` on each view, then ask `ways`.

    Loop freedom: a request goes up only to a hub that leads the pool, and such a hub never goes up within it; across
    only to a hub of the target's own region; down only to a hub that claims the target. So a request comes back to a
    hub only while claims contradict each other, and there `avoid` and core's path check end it.
    """

    def __init__(self) -> None:
        self._view: View | None = None
        self._me: Member | None = None
        self._up: tuple[NodeId, ...] = ()
        self._claims: dict[NodeId, frozenset[str]] = {}
        self._owners: dict[str, tuple[NodeId, ...]] = {}
        self.hubs: tuple[NodeId, ...] = ()
        """The other hubs of the pool, by id."""
        self.regions: dict[Region, tuple[NodeId, ...]] = {}
        """Region -> its other regional hubs, by id. In the global pool alone."""

    def update(self, view: View) -> None:
        """Take over a new view. Cost: one look at each member, and set arithmetic on the claims that changed."""
        self._view = view
        self._me = view.members.get(view.me)
        others = sorted((m for m in view.members.values() if m.tier != "cluster" and m.id != view.me), key=_by_id)
        self.hubs = tuple(member.id for member in others)
        regions: dict[Region, list[NodeId]] = {}
        for member in others:
            if view.tier == "global" and member.tier == "regional":
                regions.setdefault(member.region, []).append(member.id)
        self.regions = {region: tuple(ids) for region, ids in regions.items()}
        self._up = self._ways_up(view, others)
        # What lies below a leader is this pool itself: its claims would only add a hop.
        present = {m.id: view.below[m.id] for m in others if m.tier != view.tier and m.id in view.below}
        for hub in sorted(present.keys() | self._claims.keys()):
            self._claim(hub, self._claims.get(hub, frozenset()), present.get(hub, frozenset()))
        self._claims = present

    def ways(self, target: Target) -> Ways | Local | Refuse:
        """The members that lead to `target`, or `Local`, or why this pool has none. Needs `update` first."""
        view = self._view
        if view is None:
            return Refuse("this router has not seen its pool yet")
        node, hub = target.node, target.hub
        if node == view.me or (node is None and hub == view.me):
            return Local()
        if node is not None:
            if node in view.members:
                return self._through((node,), f"{node} is a member of the pool")
            if owners := self._owners.get(node):
                return self._through(owners, f"{node} is below {', '.join(owners)}")
        if hub == view.me:
            return Refuse(f"{node} is not below {hub}, its hub as the request has it")
        if hub is not None:
            if hub in view.members:
                return self._through((hub,), f"{hub}, the target's hub, is a member of the pool")
            if owners := self._owners.get(hub):
                return self._through(owners, f"{hub}, the target's hub, is below {', '.join(owners)}")
        return self._by_region(view, target)

    def _by_region(self, view: View, target: Target) -> Ways | Refuse:
        name = target.node or target.hub or target.region
        if name is None:
            return Refuse("the target names neither a node nor a hub nor a region")
        region = target.region
        if region is not None and (exits := self.regions.get(region)):
            return self._through(exits, f"{', '.join(exits)} {'lead' if exits[1:] else 'leads'} region {region}")
        sought = f"{name} is neither a member of the {view.tier} pool nor below one"
        if view.tier == "global" and region is not None:
            sought += f", and no other regional hub of {region} is a member"
            if self._me is not None and self._me.tier == "regional" and self._me.region == region:
                return Refuse(sought)
        if not self._up:
            return Refuse(f"{sought}, and there is no hub above")
        return Ways(self._up[:1], self._up[1:], f"up to {self._up[0]}: {sought}")

    def _through(self, exits: tuple[NodeId, ...], reason: str) -> Ways:
        return Ways(exits, tuple(hub for hub in self._up if hub not in exits), reason)

    def _ways_up(self, view: View, others: Iterable[Member]) -> tuple[NodeId, ...]:
        """The hub above, then the pool's other leaders. A leader has none: the next pool is its way up."""
        if self._me is not None and self._me.leads(view.tier):
            return ()
        leaders = [member.id for member in others if member.leads(view.tier) and member.id != view.hub]
        named = [view.hub] if view.hub is not None and view.hub != view.me and view.hub in view.members else []
        return tuple(named + leaders)

    def _claim(self, hub: NodeId, before: frozenset[str], now: frozenset[str]) -> None:
        """Order does not matter here: the owners of each id are kept sorted."""
        if before == now:
            return
        for gone in before - now:
            rest = tuple(owner for owner in self._owners[gone] if owner != hub)
            if rest:
                self._owners[gone] = rest
            else:
                del self._owners[gone]
        alone = (hub,)
        for new in now - before:
            owners = self._owners.get(new)
            self._owners[new] = tuple(sorted((*owners, hub))) if owners else alone


class Outliers:
    """Next hops that failed several times in a row: distrusted for a time that grows with each relapse.

    `after` failures in a row eject; the n-th ejection in a row lasts n times `time_ns`, at most `time_max_ns`. After
    it a single failure ejects again, one success clears. As outlier detection in Envoy, by consecutive failures alone.
    A router puts an ejected hop last and never leaves it out: the only way stays a way.
    """

    def __init__(self, after: int, time_ns: int, time_max_ns: int) -> None:
        self._after = after
        self._time_ns = time_ns
        self._time_max_ns = time_max_ns
        self._failures: dict[NodeId, int] = {}  # in a row, up to `after`
        self._ejections: dict[NodeId, int] = {}  # in a row
        self._until: dict[NodeId, int] = {}  # ejected -> end, ns
        self._next: int | None = None

    def __contains__(self, peer: object) -> bool:
        return peer in self._until

    def ejected(self) -> tuple[NodeId, ...]:
        """Who is ejected now, by id."""
        return tuple(sorted(self._until))

    def record(self, now_ns: int, peer: NodeId, ok: bool) -> bool:
        """A request handed to `peer` ended so. True when it was ejected or cleared by that."""
        if ok:
            self._failures.pop(peer, None)
            self._ejections.pop(peer, None)
            return self._readmit([peer])
        failures = self._failures[peer] = min(self._failures.get(peer, 0) + 1, self._after)
        if failures < self._after or peer in self._until:
            return False
        times = self._ejections[peer] = self._ejections.get(peer, 0) + 1
        self._until[peer] = now_ns + min(times * self._time_ns, self._time_max_ns)
        self._next = min(self._until.values())
        return True

    def expire(self, now_ns: int) -> bool:
        """Readmit those whose time is over. True when there were any."""
        return self._readmit([peer for peer, until in self._until.items() if until <= now_ns])

    def keep(self, members: Container[NodeId]) -> None:
        """Forget everybody else: no more entries than members."""
        self._readmit([peer for peer in self._until if peer not in members])
        for peer in [peer for peer in self._failures if peer not in members]:
            del self._failures[peer]
            self._ejections.pop(peer, None)

    def next_deadline(self) -> int | None:
        """When the next ejection ends, ns."""
        return self._next

    def _readmit(self, peers: list[NodeId]) -> bool:
        ended = [peer for peer in peers if self._until.pop(peer, None) is not None]
        if ended:
            self._next = min(self._until.values(), default=None)
        return bool(ended)


def distance_km(a: Member | None, b: Member | None) -> float | None:
    """The shortest way on the globe between two members, km; None when a place is not known."""
    if a is None or b is None or a.coordinates is None or b.coordinates is None:
        return None
    return great_circle_km(a.coordinates, b.coordinates)


def round_trip_ns(view: View, peer: NodeId) -> int:
    """The round trip to a member: as measured, else by network coordinates or distance, else `RTT_NS_UNKNOWN`."""
    measured = view.rtts_ns.get(peer)
    if measured is not None:
        return measured
    me, member = view.members.get(view.me), view.members.get(peer)
    if me is not None and member is not None and me.network is not None and member.network is not None:
        return me.network.round_trip_ns(member.network)
    km = distance_km(me, member)
    return RTT_NS_UNKNOWN if km is None else round(km * RTT_NS_PER_KM)


def standing(member: Member | None) -> int:
    """How fit a member is to pass requests on: 0 alive, 1 suspect, 2 draining, 3 both, 4 unknown. Less is better."""
    if member is None:
        return 4
    return (member.status != "alive") + 2 * member.draining


def _by_id(member: Member) -> NodeId:
    return member.id
