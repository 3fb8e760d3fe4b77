"""Where a request can be served, as far as this node knows: candidate places, best first.

What is known in full comes first, then what the summaries of hubs tell (those below this node, then its siblings and
the other regions), then the way up. A place known only by summary narrows the request to that hub, which knows more.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from msgspec import Struct, structs

from mpreg_core.contracts.api import Cluster
from mpreg_core.contracts.router import Target
from mpreg_core.ids import NodeId, Region
from mpreg_core.membership.federation import HubSummary
from mpreg_core.node.admission import children_of
from mpreg_core.node.joining import Joining
from mpreg_core.node.registry import INTERNAL, NodeRegistry
from mpreg_core.node.state import NodeState
from mpreg_core.registry.failover import Failover
from mpreg_core.registry.selection import rank
from mpreg_core.routing import Outliers
from mpreg_core.units import NS_PER_MS, NS_PER_S
from mpreg_core.wire.request import RequestFrame


class Place(Struct, frozen=True):
    """A place to try. `target` None means here: by this node's handler, or at the `endpoint` of `cluster`.

    `frame` is the request as it goes there, narrowed to what is known: nothing, where it only goes up to ask further.
    """

    frame: RequestFrame
    target: Target | None = None
    cluster: str = ""
    endpoint: str = ""
    is_known: bool = True


Ranked: TypeAlias = tuple[tuple[Cluster, ...], tuple[HubSummary, ...]]

EJECT_AFTER, EJECT_NS, EJECT_NS_MAX = 3, 10 * NS_PER_S, 60 * NS_PER_S
"""A cluster whose endpoint failed so often in a row comes last for so long, longer each time."""

KNOWN_NS = 100 * NS_PER_MS
KNOWN_MAX = 1_024


class Locating:
    """Answers from the registry, the pools' tables and the summaries."""

    def __init__(
        self, state: NodeState, registry: NodeRegistry, joining: Joining, policy_of: Callable[[str], Failover | None]
    ) -> None:
        self._state = state
        self._policy_of = policy_of
        self._policies: dict[str, tuple[int, Failover | None]] = {}
        self._joining = joining
        self._registry = registry
        self._outliers = Outliers(EJECT_AFTER, EJECT_NS, EJECT_NS_MAX)
        self._known: dict[tuple[str, str | None], tuple[int, Ranked]] = {}

    def places(self, frame: RequestFrame, avoid: frozenset[NodeId]) -> Iterator[Place]:
        """Candidates, best first; none that `avoid` names."""
        me = self._state.id
        if frame.climb is not None:
            yield from self._climb(frame)
        elif frame.node is not None:
            yield from self._to_node(frame, frame.node)
        elif frame.hub not in (None, me):
            yield Place(frame, Target(hub=frame.hub, region=frame.region))
        elif self._served_here(frame.service) and frame.cluster in (None, me):
            yield Place(frame)
        else:
            yield from self._to_service(frame, avoid)

    def _served_here(self, service: str) -> bool:
        return service in self._registry.served or service.startswith(INTERNAL)

    def note(self, cluster: str, *, ok: bool) -> None:
        """A request was posted to a registered cluster: one that fails again and again comes last for a while."""
        if self._outliers.record(self._state.now_ns, cluster, ok):
            self._outliers.keep({each.id for each in self._registry.clusters()})
            self.forget()

    def why_not(self, frame: RequestFrame) -> str:
        """Why there was no place."""
        if frame.node is not None:
            return f"no way to node {frame.node} is known here"
        if frame.cluster is not None:
            return f"no way to cluster {frame.cluster} is known here"
        if frame.climb is not None:
            return f"this node has no hub towards the {frame.climb} pool"
        return f"no live cluster that serves {frame.service!r} is known here"

    def _climb(self, frame: RequestFrame) -> Iterator[Place]:
        assert frame.climb is not None
        if self._state.stack_of(frame.climb) is not None:
            yield Place(frame)
        elif self._state.parent is not None:
            yield Place(frame, Target(node=self._state.parent))

    def _to_node(self, frame: RequestFrame, node: NodeId) -> Iterator[Place]:
        if node == self._state.id:
            yield Place(frame)
            return
        for hub in self._hubs():
            if node in hub.ids and hub.hub != self._state.id:
                yield Place(frame, Target(node=node, hub=hub.hub, region=hub.region))
            elif hub.hub == node:
                yield Place(frame, Target(node=node, hub=node, region=hub.region))
        yield Place(frame, Target(node=node))

    def _to_service(self, frame: RequestFrame, avoid: frozenset[NodeId]) -> Iterator[Place]:
        policy = self._failover(frame)
        if policy is None:
            yield from self._nearest(frame, avoid)
        elif self._state.upper == "global" or self._state.parent is None:
            places = list(self._nearest(frame, avoid))
            known = [place for place in places if place.is_known]
            alive = {self._region(place) for place in known}
            for region in policy.order(alive, self._state.settings.region, self._state.rng.random):
                yield from (place for place in known if self._region(place) == region)
        elif self._joining.attached():  # a hub that knows all regions decides
            yield Place(frame, Target(node=self._state.parent), is_known=False)
        else:  # better anywhere than nowhere
            yield from self._nearest(frame, avoid)

    def _failover(self, frame: RequestFrame) -> Failover | None:
        """The policy of the service, for a request that is not sent anywhere in particular yet."""
        if frame.cluster is not None or frame.hub is not None:
            return None
        now_ns = self._state.now_ns
        known = self._policies.get(frame.service)
        if known is None or known[0] <= now_ns:
            if len(self._policies) >= KNOWN_MAX:
                self._policies.clear()
            known = self._policies[frame.service] = (now_ns + KNOWN_NS, self._policy_of(frame.service))
        return known[1]

    def _region(self, place: Place) -> Region:
        target = place.target
        return (target.region if target is not None else None) or self._state.settings.region

    def _nearest(self, frame: RequestFrame, avoid: frozenset[NodeId]) -> Iterator[Place]:
        clusters, hubs = self._ranked(frame.service, frame.cluster)
        for cluster in clusters:
            if cluster.node in avoid or cluster.id in avoid:
                continue
            if cluster.node:
                yield Place(structs.replace(frame, node=cluster.node), Target(node=cluster.node, hub=cluster.hub))
            elif cluster.endpoints and cluster.hub == self._state.id:
                yield Place(frame, None, cluster.id, cluster.endpoints[0])
        own_only = frame.hub == self._state.id
        below = self._below() if own_only else None
        for hub in hubs:
            if hub.hub not in avoid and (below is None or hub.hub in below):
                narrowed = structs.replace(frame, hub=hub.hub, region=hub.region)
                yield Place(narrowed, Target(hub=hub.hub, region=hub.region))
        if not own_only and self._state.parent is not None:
            yield Place(frame, Target(node=self._state.parent), is_known=False)

    def _ranked(self, service: str, cluster: str | None) -> Ranked:
        """The clusters known here that serve it, and the hubs that lead to more, best first.

        What is known changes rarely and is asked for all the time: the answer holds for a moment, unless `forget`.
        """
        key, now_ns = (service, cluster), self._state.now_ns
        known = self._known.get(key)
        if known is None or known[0] <= now_ns:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            ranked = self._rank(service, cluster)
            if not any(ranked):
                return ranked  # it may be known any moment
            known = self._known[key] = (now_ns + KNOWN_NS, ranked)
        return known[1]

    def forget(self) -> None:
        """A member, a hub or a cluster changed."""
        self._known.clear()

    def _rank(self, service: str, cluster: str | None) -> Ranked:
        near, rtts_ns = self._state.settings.coordinates, self._rtts()
        if cluster is None:
            offers = self._registry.offers(service)
        else:
            offers = [each for each in self._registry.clusters() if each.id == cluster]
        clusters = {each.id: each for each in offers}
        hubs = {hub.hub: hub for hub in self._hubs() if self._may_serve(hub, service, cluster)}
        leading = [each for hub in hubs.values() if (each := self._offer(hub, service)) is not None]
        order = partial(rank, service, near=near, rtts_ns=rtts_ns, in_zone=self._registry.zone_test())
        self._outliers.expire(self._state.now_ns)
        best = sorted(order(offers), key=lambda each: each.cluster in self._outliers)  # stable
        return (
            tuple(clusters[each.cluster] for each in best),
            tuple(hubs[each.cluster] for each in order(leading)),
        )

    def _may_serve(self, hub: HubSummary, service: str, cluster: str | None) -> bool:
        services = hub.services
        if services is None or hub.status != "alive" or hub.hub == self._state.id:
            return False
        if cluster is not None:
            return cluster in services.ids
        return services.may_have(service)

    def _offer(self, hub: HubSummary, service: str) -> Cluster | None:
        """The hub as one cluster, named after the hub, to rank it among others."""
        offer = hub.offer(service)
        if offer is None:  # by a cluster's name, or by a service's that may be there: after those that surely are
            return Cluster(id=hub.hub, services=(service,), hub=hub.hub, region=hub.region, status="degraded")
        return structs.replace(offer, id=hub.hub, hub=hub.hub) if offer.status != "unhealthy" else None

    def _hubs(self) -> list[HubSummary]:
        """The newest summary of each hub, those of the lowest pool first."""
        known: dict[NodeId, HubSummary] = {}
        for stack in self._state.lowest_first():
            for name, hub in sorted(stack.hubs.items()):
                member = stack.table.member(name)
                if member is not None and member.status == "left":  # it tells its news elsewhere now
                    continue
                if name not in known or (hub.ids and not known[name].ids):
                    known[name] = hub
        return list(known.values())

    def _below(self) -> set[NodeId]:
        tier = self._state.lower
        lower = self._state.stack_of(tier) if tier is not None else None
        if lower is None:
            return set()
        return {member.id for member in children_of(lower)}

    def _rtts(self) -> dict[NodeId, int]:
        return {
            entry.member.id: entry.rtt_ns
            for stack in self._state.stacks.values()
            for entry in stack.table
            if entry.rtt_ns is not None
        }
