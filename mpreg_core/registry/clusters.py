"""The registry of one hub: the clusters that registered with it, indexed by service, expiring without heartbeats."""

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush

from msgspec.structs import replace

from mpreg_core.contracts.api import Cluster
from mpreg_core.contracts.events import ClusterChanged
from mpreg_core.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from mpreg_core.ids import ClusterId, NodeId, Region
from mpreg_core.registry.validation import check_cluster


class ClusterRegistry:
    """At most `max_clusters` clusters. Those that registered with a time to live expire unless they are heard of.

    Ids are unique: a second place that claims a registered id is refused until the first is deregistered or expired.
    """

    def __init__(self, hub: NodeId, region: Region, max_clusters: int) -> None:
        self._hub = hub
        self._region = region
        self._max_clusters = max_clusters
        self._clusters: dict[ClusterId, Cluster] = {}
        self._serving: dict[str, dict[ClusterId, None]] = {}
        self._ttl_ns: dict[ClusterId, int] = {}
        self._expires_ns: dict[ClusterId, int] = {}
        # Deadlines as they were when pushed: heartbeats only move `_expires_ns`, so an entry may be early, never late.
        self._deadlines: list[tuple[int, ClusterId]] = []

    def __len__(self) -> int:
        return len(self._clusters)

    def __contains__(self, cluster: ClusterId) -> bool:
        return cluster in self._clusters

    def register(self, cluster: Cluster, now_ns: int, ttl_ns: int | None = None) -> tuple[Cluster, ClusterChanged]:
        """Take a cluster in, or a new description of one from the same place; gives it as the hub knows it.

        The place is the member that serves it or, without one, its endpoints. `ttl_ns` is how long it lives without a
        heartbeat, None for until it is deregistered. Raises `InvalidInputError`, `ConflictError`, `UnavailableError`.
        """
        check_cluster(cluster)
        if ttl_ns is not None and ttl_ns <= 0:
            raise InvalidInputError(f"expected a time to live above 0 ns, got {ttl_ns}", where=f"cluster {cluster.id}")
        held = self._clusters.get(cluster.id)
        if held is not None and place(held) != place(cluster):
            message = (
                f"cluster id {cluster.id!r} is taken by {place(held)}, got it from {place(cluster)}; "
                "choose another id, or deregister the other first"
            )
            raise ConflictError(message, where=f"hub {self._hub}")
        if held is None and len(self._clusters) >= self._max_clusters:
            message = f"expected at most {self._max_clusters} clusters (hubs.max_clusters); register with another hub"
            raise UnavailableError(message, where=f"hub {self._hub}")
        self._expires_ns.pop(cluster.id, None)
        self._ttl_ns.pop(cluster.id, None)
        if ttl_ns is not None:
            self._ttl_ns[cluster.id] = ttl_ns
            self._expires_ns[cluster.id] = now_ns + ttl_ns
            self._push(now_ns + ttl_ns, cluster.id)
        kept = self._put(cluster)
        return kept, ClusterChanged(kept.id, "registered" if held is None else "updated")

    def update(self, cluster: Cluster) -> tuple[Cluster, ClusterChanged]:
        """Replace the description of a registered cluster, its place included. Raises `NotFoundError` and others."""
        self.get(cluster.id)
        check_cluster(cluster)
        return self._put(cluster), ClusterChanged(cluster.id, "updated")

    def deregister(self, cluster: ClusterId) -> ClusterChanged:
        """Forget a cluster. Raises `NotFoundError`."""
        self.get(cluster)
        self._drop(cluster)
        return ClusterChanged(cluster, "deregistered")

    def heartbeat(
        self, cluster: ClusterId, now_ns: int, load: float | None = None, status: str | None = None
    ) -> tuple[Cluster, ClusterChanged | None]:
        """It lives: begin its time to live anew; a change only if load or status differ from what was known.

        Raises `NotFoundError`, `InvalidInputError`.
        """
        held = self.get(cluster)
        beating = replace(held, load=held.load if load is None else load, status=status or held.status)
        check_cluster(beating)
        if cluster in self._ttl_ns:
            self._expires_ns[cluster] = now_ns + self._ttl_ns[cluster]
        self._clusters[cluster] = beating
        return beating, None if beating == held else ClusterChanged(cluster, "updated")

    def judge(self, cluster: Cluster) -> ClusterChanged | None:
        """What a check found of a registered cluster, by its `status` and `check_error`; a change if either differs."""
        held = self._clusters[cluster.id]
        self._clusters[cluster.id] = cluster
        return None if cluster == held else ClusterChanged(cluster.id, "updated")

    def get(self, cluster: ClusterId) -> Cluster:
        """Raises `NotFoundError`."""
        held = self._clusters.get(cluster)
        if held is None:
            raise NotFoundError(f"there is no cluster {cluster!r:.80}", where=f"hub {self._hub}")
        return held

    def clusters(self) -> Sequence[Cluster]:
        """All of them, by id."""
        return [self._clusters[cluster] for cluster in sorted(self._clusters)]

    def serving(self, service: str) -> Sequence[Cluster]:
        """The clusters that offer a service, in no particular but a repeatable order."""
        return [self._clusters[cluster] for cluster in self._serving.get(service, ())]

    def services(self) -> Sequence[str]:
        """The services offered here, sorted."""
        return sorted(self._serving)

    def on_deadline(self, now_ns: int) -> Sequence[ClusterChanged]:
        """Drop the clusters whose time is over, the longest overdue first."""
        changes = []
        while self._deadlines and self._deadlines[0][0] <= now_ns:
            _, cluster = heappop(self._deadlines)
            expires_ns = self._expires_ns.get(cluster)
            if expires_ns is None:
                continue
            if expires_ns > now_ns:
                self._push(expires_ns, cluster)
            else:
                self._drop(cluster)
                changes.append(ClusterChanged(cluster, "expired"))
        return changes

    def next_deadline(self) -> int | None:
        """When to call `on_deadline`; may be early, is never late."""
        return self._deadlines[0][0] if self._deadlines else None

    def _push(self, at_ns: int, cluster: ClusterId) -> None:
        heappush(self._deadlines, (at_ns, cluster))
        if len(self._deadlines) > 2 * self._max_clusters:
            # Clusters that come and go leave entries behind; one for each that lives is enough.
            self._deadlines = [(expires_ns, cluster) for cluster, expires_ns in self._expires_ns.items()]
            heapify(self._deadlines)

    def _put(self, cluster: Cluster) -> Cluster:
        services = tuple(sorted(set(cluster.services)))
        kept = replace(cluster, services=services, hub=self._hub, region=self._region, tags=dict(cluster.tags))
        held = self._clusters.get(cluster.id)
        if held is not None and held.services != services:
            self._unindex(held.id, held.services)
        self._clusters[cluster.id] = kept
        for service in services:
            self._serving.setdefault(service, {})[cluster.id] = None
        return kept

    def _drop(self, cluster: ClusterId) -> None:
        self._unindex(cluster, self._clusters.pop(cluster).services)
        self._ttl_ns.pop(cluster, None)
        self._expires_ns.pop(cluster, None)

    def _unindex(self, cluster: ClusterId, services: Iterable[str]) -> None:
        for service in services:
            serving = self._serving[service]
            del serving[cluster]
            if not serving:
                del self._serving[service]


def place(cluster: Cluster) -> str:
    """Where a cluster is, for people: what must be the same for two registrations to be one cluster's."""
    return f"node {cluster.node}" if cluster.node else f"endpoints {', '.join(cluster.endpoints) or 'none'}"
