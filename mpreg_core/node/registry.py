"""What is served where, as this node knows it: its own services, its hub's clusters, its pool's, and the summaries."""

from collections import Counter
from collections.abc import Callable, Iterable

from msgspec import structs

from mpreg_core.contracts.api import Cluster
from mpreg_core.contracts.events import ClusterMisplaced
from mpreg_core.contracts.router import Target
from mpreg_core.errors import InvalidInputError, UnavailableError
from mpreg_core.ids import LOWER_POOL, ZONE, NodeId
from mpreg_core.limits import SERVICES_PER_CLUSTER_MAX
from mpreg_core.membership.federation import HubSummary
from mpreg_core.node import topics
from mpreg_core.node.checks import HealthChecks
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.node.state import NodeState
from mpreg_core.registry.clusters import ClusterRegistry
from mpreg_core.registry.selection import great_circle_km
from mpreg_core.registry.summary import ServiceSummary, aggregate, summarize
from mpreg_core.registry.validation import check_cluster
from mpreg_core.units import ns

UNBOUNDED = 1_000_000
SIBLINGS_NAMED = 3
NEARER_KM = 500.0
"""A hub that is nearer to a cluster by more than this, and at less than half the way, is the better one for it."""


INTERNAL = "mpreg."
"""Services whose names begin so are core's own: every node serves them."""

SERVICE_CHARACTERS_MAX = 128


class NodeRegistry:
    """Clusters of a hub by registration, clusters of members by their announcements."""

    def __init__(self, state: NodeState) -> None:
        settings = state.settings
        self._state = state
        self._sequence = 0
        self.served: Counter[str] = Counter()  # by how many here
        self._registered = ClusterRegistry(settings.id, settings.region, settings.capacity or UNBOUNDED)
        self.checks = HealthChecks(state, self._registered)

    # this node's own services

    def serve(self, service: str) -> None:
        """This node serves a service from now on, until `unserve` as often as this. Raises `InvalidInputError`."""
        if not service or service.startswith(INTERNAL) or len(service) > SERVICE_CHARACTERS_MAX:
            expected = f"a service of 1 to {SERVICE_CHARACTERS_MAX} letters, not {INTERNAL}*"
            raise InvalidInputError(f"expected {expected}, got {service!r:.80}", where=self._state.id)
        if service not in self.served and len(self.served) >= SERVICES_PER_CLUSTER_MAX:
            raise InvalidInputError(f"a node serves at most {SERVICES_PER_CLUSTER_MAX} services", where=self._state.id)
        self.served[service] += 1
        self._state.review_by(self._state.now_ns)
        upper = self._state.upper_stack()
        if upper is not None:
            self.publish(upper)

    def unserve(self, service: str) -> None:
        """One who served it here does so no longer."""
        self.served[service] -= 1
        if self.served[service]:
            return
        del self.served[service]
        self._state.review_by(self._state.now_ns)
        upper = self._state.upper_stack()
        if upper is not None:
            self.publish(upper)

    def split_target(self, target: str | None) -> tuple[NodeId | None, str | None]:
        """A target is a cluster where one of that name is known that is no member, else a node: node, cluster."""
        if target is None:
            return None, None
        if any(each.id == target and not each.node for each in self.clusters()):
            return None, target
        for stack in self._state.stacks.values():
            for hub in stack.hubs.values():
                if target in hub.ids or hub.hub == target:
                    return target, None
                if hub.services is not None and target in hub.services.ids:
                    return None, target
        return target, None

    def zone_test(self) -> Callable[[Cluster], bool] | None:
        """What tells if a cluster is in this node's zone, by its own tag, its node's or its hub's; None without one."""
        zone = self._state.settings.tags.get(ZONE)
        if zone is None:
            return None

        def in_zone(cluster: Cluster) -> bool:
            return zone == (cluster.tags.get(ZONE) or self._zone_of(cluster.node) or self._zone_of(cluster.hub))

        return in_zone

    def _zone_of(self, node: NodeId) -> str | None:
        member = self._state.member(node) if node else None
        return member.tags.get(ZONE) if member is not None else None

    def own_cluster(self) -> Cluster | None:
        """What this node serves, as a cluster of its own name."""
        settings = self._state.settings
        if not self.served:
            return None
        return Cluster(
            id=settings.id,
            services=tuple(sorted(self.served)),
            coordinates=settings.coordinates,
            hub=self._state.parent or settings.id,
            region=settings.region,
            node=settings.id,
        )

    def publish(self, stack: PoolStack) -> None:
        """Tell the pool of the hub what this node serves; a hub's own services go into its summary instead."""
        cluster = self.own_cluster()
        if self._state.settings.tier != "cluster" or (cluster is None and not self._sequence):
            return
        self._sequence += 1
        record = topics.ClusterRecord(self._state.id, self._state.incarnation, self._sequence, cluster)
        stack.publish(topics.cluster_item(record, self._state.wall_ms))

    # clusters registered with this hub

    def register(self, cluster: Cluster) -> Cluster:
        """Register with this hub. Raises as `ClusterRegistry.register`; `InvalidInputError` at no local hub."""
        if LOWER_POOL[self._state.settings.tier] != "local":
            raise InvalidInputError(
                f"clusters register with a local hub, this node is of tier {self._state.settings.tier}",
                where=self._state.id,
            )
        check_cluster(cluster)
        if cluster.check.startswith("command:") and not self._state.settings.check_commands:
            message = "this hub runs no commands for others; set hubs.check_commands in its configuration to allow it"
            raise InvalidInputError(f"check: {message}", where=f"cluster {cluster.id}")
        ttl_ns = ns(cluster.ttl) if cluster.ttl is not None else None
        try:
            kept, change = self._registered.register(cluster, self._state.now_ns, ttl_ns)
        except UnavailableError as error:
            others = [hub.hub for hub in self._hubs_with_room() if hub.tier == self._state.settings.tier]
            if others:
                error.message += f", as {' or '.join(others[:SIBLINGS_NAMED])}"
            raise
        self._state.emit(None, change)
        self._look_for_nearer(kept)
        self.checks.watch(kept)
        return kept

    def _hubs_with_room(self) -> list[HubSummary]:
        """The other hubs of this one's tier, and those of other regions, that are known here; the emptiest first."""
        settings = self._state.settings
        known = {hub.hub: hub for stack in self._state.stacks.values() for hub in stack.hubs.values()}
        usable = [
            hub
            for hub in known.values()
            if (hub.tier == settings.tier or hub.region != settings.region)
            and hub.status == "alive"
            and not hub.draining
            and hub.load < 1.0
        ]
        return sorted((hub for hub in usable if hub.hub != settings.id), key=lambda hub: (hub.load, hub.hub))

    def _look_for_nearer(self, cluster: Cluster) -> None:
        here, there = self._state.settings.coordinates, cluster.coordinates
        if here is None or there is None:
            return
        km = great_circle_km(here, there)
        others = [(hub.coordinates, hub.hub) for hub in self._hubs_with_room()]
        ranked = sorted((great_circle_km(place, there), hub) for place, hub in others if place is not None)
        if ranked and ranked[0][0] < km / 2 and km - ranked[0][0] > NEARER_KM:
            nearest_km, hub = ranked[0]
            self._state.emit(None, ClusterMisplaced(cluster.id, round(km, 1), hub, round(nearest_km, 1)))

    def deregister(self, cluster: str) -> None:
        """Raises `NotFoundError`."""
        self._state.emit(None, self._registered.deregister(cluster))
        self.checks.forget(cluster)

    def heartbeat(self, cluster: str, load: float | None, status: str | None) -> Cluster:
        """Raises `NotFoundError`, `InvalidInputError`."""
        kept, change = self._registered.heartbeat(cluster, self._state.now_ns, load, status)
        if change is not None:
            self._state.emit(None, change)
        return kept

    def next_deadline(self) -> int | None:
        """When the next registered cluster may expire, or is checked."""
        expires_ns, checked_ns = self._registered.next_deadline(), self.checks.next_deadline()
        if expires_ns is None or checked_ns is None:
            return checked_ns if expires_ns is None else expires_ns
        return min(expires_ns, checked_ns)

    def on_deadline(self) -> None:
        """Expire clusters without heartbeat, check those that are due."""
        self.checks.on_deadline()
        for change in self._registered.on_deadline(self._state.now_ns):
            self._state.emit(None, change)

    # what is known

    def clusters(self) -> list[Cluster]:
        """The clusters this node knows in full, by id: registered here, announced in its pools, its own."""
        known = {cluster.id: cluster for cluster in self._announced()}
        known.update((cluster.id, cluster) for cluster in self._registered.clusters())
        own = self.own_cluster()
        if own is not None:
            known[own.id] = own
        return [known[name] for name in sorted(known)]

    def _announced(self) -> Iterable[Cluster]:
        """Clusters of members that live; a member's failure makes its cluster unhealthy, not unknown."""
        for stack in self._state.lowest_first():
            for node, cluster in sorted(stack.clusters.items()):
                member = stack.table.member(node)
                if member is None or member.status == "left":
                    continue
                if member.status == "failed":
                    yield structs.replace(cluster, status="unhealthy")
                else:
                    yield structs.replace(cluster, status="degraded") if member.draining else cluster

    def offers(self, service: str) -> list[Cluster]:
        """The clusters known in full that serve a service and are not unhealthy, this node's own among them."""
        return [each for each in self.clusters() if service in each.services and each.status != "unhealthy"]

    def summary(self, lower: PoolStack, summaries: Iterable[HubSummary]) -> ServiceSummary:
        """What this hub tells of the services below it; the version is the enclosing summary's."""
        settings = self._state.settings
        own = summarize(self.clusters(), hub=settings.id, region=settings.region, incarnation=0, counter=0)
        parts = [hub.services for hub in summaries if hub.services is not None]
        if not parts:
            return own
        return aggregate((own, *parts), hub=settings.id, region=settings.region, incarnation=0, counter=0)

    def locate(self, name: str) -> list[Target]:
        """Where a cluster or a service of this name is, best known first."""
        found: list[Target] = []
        for cluster in self.clusters():
            if cluster.id == name or name in cluster.services:
                found.append(Target(node=cluster.node) if cluster.node else Target(node=self._state.id))
        for stack in self._state.lowest_first():
            for hub in stack.hubs.values():
                services = hub.services
                if hub.status == "alive" and services and (name in services.services or name in services.ids):
                    found.append(Target(hub=hub.hub, region=hub.region))
        return found
