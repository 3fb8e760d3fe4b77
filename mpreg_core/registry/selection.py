"""Which cluster first: by health, then zone, then load, then round trip, then distance on the globe.

A zone is a named part of a region: nodes and clusters of one have the same tag `zone`. A full cluster of the own zone
comes after those of others that have room.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import nsmallest
from math import asin, cos, inf, radians, sin, sqrt
from typing import TypeAlias

from mpreg_core.contracts.api import Candidate, Cluster
from mpreg_core.contracts.members import Coordinates
from mpreg_core.ids import NodeId
from mpreg_core.registry.validation import STATUSES
from mpreg_core.units import NS_PER_MS

EARTH_RADIUS_KM = 6371.0088
"""The mean radius, (2a + b) / 3 of WGS 84."""

LOAD_STEPS = 10
RTT_STEP_NS = 2 * NS_PER_MS
"""Differences within a step are noise: they leave the choice to the next measure."""

Coarse: TypeAlias = tuple[int, bool, bool, int, float]
"""Health, full, in another zone, load, round trip."""

HEALTH_ORDER = {status: order for order, status in enumerate(STATUSES)}


def great_circle_km(a: Coordinates, b: Coordinates) -> float:
    """The shortest way on the globe, in km, by the haversine formula (Sinnott 1984); within 0.6 % of the ellipsoid."""
    lat_a, lat_b = radians(a.latitude), radians(b.latitude)
    half_lat, half_lon = (lat_b - lat_a) / 2, radians(b.longitude - a.longitude) / 2
    h = sin(half_lat) ** 2 + cos(lat_a) * cos(lat_b) * sin(half_lon) ** 2
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(h)))


def rank(
    service: str,
    clusters: Iterable[Cluster],
    *,
    near: Coordinates | None = None,
    rtts_ns: Mapping[NodeId, int] | None = None,
    in_zone: Callable[[Cluster], bool] | None = None,
    limit: int = 10,
) -> Sequence[Candidate]:
    """The best `limit` of the clusters that serve a service, best first; equal ones by id, then hub.

    `rtts_ns` are round trips measured from here, to a cluster's node or its hub; a cluster without one comes after
    those of its health and load that have one. `in_zone` tells which are in the zone of whoever asks. Leave both out
    where `near` is another place than here. The unhealthy come last rather than not at all: the caller decides.
    """
    rtts = rtts_ns or {}
    coarse = [(_coarse(cluster, rtts, in_zone), cluster) for cluster in clusters]
    if len(coarse) > limit > 0:
        # Most are out already; the distance, which costs most, is only for those that are not.
        last = nsmallest(limit, (order for order, _ in coarse))[-1]
        coarse = [each for each in coarse if each[0] <= last]

    def fine(each: tuple[Coarse, Cluster]) -> tuple[Coarse, float, str, NodeId]:
        order, cluster = each
        return (order, _km(near, cluster), cluster.id, cluster.hub)

    return [_candidate(service, cluster, near, rtts, in_zone) for _, cluster in nsmallest(limit, coarse, key=fine)]


def _coarse(cluster: Cluster, rtts_ns: Mapping[NodeId, int], in_zone: Callable[[Cluster], bool] | None) -> Coarse:
    rtt_ns = _rtt_ns(cluster, rtts_ns)
    steps = inf if rtt_ns is None else rtt_ns // RTT_STEP_NS
    is_away = in_zone is not None and not in_zone(cluster)
    return (HEALTH_ORDER[cluster.status], cluster.load >= 1, is_away, int(cluster.load * LOAD_STEPS), steps)


def _km(near: Coordinates | None, cluster: Cluster) -> float:
    """Infinite when either place is not known."""
    return inf if near is None or cluster.coordinates is None else great_circle_km(near, cluster.coordinates)


def _rtt_ns(cluster: Cluster, rtts_ns: Mapping[NodeId, int]) -> int | None:
    rtt_ns = rtts_ns.get(cluster.node) if cluster.node else None
    return rtts_ns.get(cluster.hub) if rtt_ns is None else rtt_ns


def _candidate(
    service: str,
    cluster: Cluster,
    near: Coordinates | None,
    rtts_ns: Mapping[NodeId, int],
    in_zone: Callable[[Cluster], bool] | None,
) -> Candidate:
    km = _km(near, cluster)
    rtt_ns = _rtt_ns(cluster, rtts_ns)
    rtt_ms = None if rtt_ns is None else rtt_ns / NS_PER_MS
    why = [cluster.status, f"load {cluster.load:.2f}"]
    if in_zone is not None:
        why.append("in this zone" if in_zone(cluster) else "not in this zone")
    why.append("round trip unknown" if rtt_ms is None else f"round trip {rtt_ms:.1f} ms")
    why.append("distance unknown" if km == inf else f"{km:.0f} km away")
    return Candidate(
        service=service,
        cluster=cluster.id,
        hub=cluster.hub,
        region=cluster.region,
        node=cluster.node,
        status=cluster.status,
        load=cluster.load,
        distance_km=None if km == inf else km,
        rtt_ms=rtt_ms,
        endpoints=cluster.endpoints,
        why=", ".join(why),
    )
