"""Summaries: what a hub tells the federation of its clusters, in bounded size, and how a region's hubs become one."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, takewhile
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

from mpreg_core import limits
from mpreg_core.contracts.api import Cluster
from mpreg_core.contracts.members import Coordinates
from mpreg_core.ids import ClusterId, NodeId, Region
from mpreg_core.registry.bloom import Bloom
from mpreg_core.registry.selection import HEALTH_ORDER
from mpreg_core.registry.validation import CAPACITY_MAX, LOAD_MAX, Status

SUMMARY_BYTES_MAX = limits.ITEM_BYTES_MAX // 2
"""It travels inside a hub's own summary, whose ids need the other half of an item."""

NAMES_BYTES = 16_384
"""Of the names of all services: with 10,000 of them one in two hundred others seems to be there."""

NUMBERS_BYTES = 128
"""What the numbers, framing and fixed words of one line take on the wire at most, beside its names."""

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Load: TypeAlias = Annotated[float, Meta(ge=0, le=LOAD_MAX)]


class ServiceLine(Struct, frozen=True, array_like=True):
    """One service below a hub.

    `healthy` of `clusters` are healthy; `capacity` is the sum of those that take requests (healthy or degraded),
    `load` their mean weighted by capacity. `best` is the cluster to try first, with its own status, load and place;
    `hub` the one it is registered with.
    """

    clusters: Count
    healthy: Count
    capacity: Annotated[float, Meta(ge=0, le=CAPACITY_MAX * limits.SUMMARY_IDS_MAX**2)]
    load: Load
    best: ClusterId
    hub: NodeId
    status: Status
    best_load: Load
    place: Coordinates | None = None


class ServiceSummary(Struct, frozen=True, array_like=True):
    """All that a hub tells of what is below it. Fields are only ever appended, with defaults.

    `services` are the lines by name and `ids` the clusters' ids, sorted; both are cut to their limits and then `cut`
    is true: what is missing must be asked for further up or down. `clusters` counts all. With services cut, `names`
    is a `Bloom` of all of them, so that those without a line are asked for at the right hub.
    """

    hub: NodeId
    region: Region
    incarnation: Count
    counter: Count
    clusters: Count
    services: Annotated[dict[str, ServiceLine], Meta(max_length=limits.SUMMARY_SERVICES_MAX)]
    ids: Annotated[tuple[ClusterId, ...], Meta(max_length=limits.SUMMARY_IDS_MAX)] = ()
    cut: bool = False
    names: bytes = b""

    def may_have(self, service: str) -> bool:
        """True if the service may be below this hub: surely with a line, else by its name."""
        return service in self.services or (bool(self.names) and service in Bloom(NAMES_BYTES, self.names))

    def order(self) -> tuple[int, int]:
        """Of two summaries of one hub the higher is the newer: a restart raises the first, a change the second."""
        return (self.incarnation, self.counter)

    def offer(self, service: str) -> Cluster | None:
        """The best cluster for a service below this hub, as far as the summary tells; None if it has no such one."""
        line = self.services.get(service)
        if line is None:
            return None
        return Cluster(
            id=line.best,
            services=(service,),
            coordinates=line.place,
            capacity=line.capacity,
            load=line.best_load,
            hub=line.hub,
            region=self.region,
            status=line.status,
        )


def newer(held: ServiceSummary | None, came: ServiceSummary) -> bool:
    """True if the summary that came replaces the one held of its hub."""
    return held is None or came.order() > held.order()


def summarize(
    clusters: Iterable[Cluster], *, hub: NodeId, region: Region, incarnation: int, counter: int
) -> ServiceSummary:
    """The summary of a local hub's own clusters."""
    known = sorted(clusters, key=lambda cluster: cluster.id)
    lines: dict[str, list[ServiceLine]] = {}
    for cluster in known:
        line = _line(cluster, hub)
        for service in cluster.services:
            lines.setdefault(service, []).append(line)
    ids = tuple(cluster.id for cluster in known)
    return _bounded(ServiceSummary(hub, region, incarnation, counter, len(known), _added(lines), ids), ())


def aggregate(
    summaries: Iterable[ServiceSummary], *, hub: NodeId, region: Region, incarnation: int, counter: int
) -> ServiceSummary:
    """The summary that a hub gives of the hubs below it; of two of one hub the newer counts."""
    newest: dict[NodeId, ServiceSummary] = {}
    for summary in summaries:
        if newer(newest.get(summary.hub), summary):
            newest[summary.hub] = summary
    lines: dict[str, list[ServiceLine]] = {}
    for _, summary in sorted(newest.items()):
        for service, line in summary.services.items():
            lines.setdefault(service, []).append(line)
    ids = tuple(sorted({cluster for summary in newest.values() for cluster in summary.ids}))
    clusters = sum(summary.clusters for summary in newest.values())
    cut = any(summary.cut for summary in newest.values())
    names = [summary.names for summary in newest.values() if summary.names]
    return _bounded(ServiceSummary(hub, region, incarnation, counter, clusters, _added(lines), ids, cut), names)


def _line(cluster: Cluster, hub: NodeId) -> ServiceLine:
    takes = cluster.status != "unhealthy"
    return ServiceLine(
        clusters=1,
        healthy=int(cluster.status == "healthy"),
        capacity=cluster.capacity if takes else 0.0,
        load=cluster.load if takes else 0.0,
        best=cluster.id,
        hub=hub,
        status=cluster.status,
        best_load=cluster.load,
        place=cluster.coordinates,
    )


def _added(lines: Mapping[str, list[ServiceLine]]) -> dict[str, ServiceLine]:
    """One line for each service: sums, the mean load by capacity, and the best of the best."""
    added = {}
    for service, parts in lines.items():
        capacity = sum(part.capacity for part in parts)
        weighed = sum(part.load * part.capacity for part in parts)
        best = min(parts, key=lambda part: (HEALTH_ORDER[part.status], part.best_load, part.hub, part.best))
        added[service] = msgspec.structs.replace(
            best,
            clusters=sum(part.clusters for part in parts),
            healthy=sum(part.healthy for part in parts),
            capacity=capacity,
            load=weighed / capacity if capacity else 0.0,
        )
    return added


def _bounded(summary: ServiceSummary, names: Sequence[bytes]) -> ServiceSummary:
    """Cut to the limits: services from those with the fewest healthy clusters, ids from the end; services go first.

    `names` are those of summaries that were cut before.
    """
    room = SUMMARY_BYTES_MAX - NAMES_BYTES - NUMBERS_BYTES - len(summary.hub) - len(summary.region)
    kept: dict[str, ServiceLine] = {}
    for service in sorted(summary.services, key=lambda name: (-summary.services[name].healthy, name)):
        line = summary.services[service]
        room -= NUMBERS_BYTES + len(service) + len(line.best) + len(line.hub)
        if room < 0 or len(kept) == limits.SUMMARY_SERVICES_MAX:
            break
        kept[service] = line
    fitting = takewhile(lambda filled: filled <= room, accumulate(len(each) + 3 for each in summary.ids))
    ids = summary.ids[: min(limits.SUMMARY_IDS_MAX, sum(1 for _ in fitting))]
    cut = summary.cut or len(ids) < len(summary.ids) or len(kept) < len(summary.services)
    all_names = b""
    if names or len(kept) < len(summary.services):
        bloom = Bloom(NAMES_BYTES)
        for name in summary.services:
            bloom.add(name)
        for other in names:
            bloom.merge(other)
        all_names = bloom.content()
    return msgspec.structs.replace(summary, services=kept, ids=ids, cut=cut, names=all_names)
