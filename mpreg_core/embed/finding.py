"""Where services are, as one node knows."""

from collections import Counter
from collections.abc import Sequence

from mpreg_core.contracts.api import Candidate, Cluster, Json
from mpreg_core.contracts.members import Coordinates
from mpreg_core.ids import LOWER_POOL, NodeId
from mpreg_core.node.core import NodeCore
from mpreg_core.registry.selection import rank

HUBS_ASKED_MAX = 8


def discover_here(core: NodeCore, service: str, near: Coordinates | None, limit: int) -> Sequence[Candidate]:
    """What this node knows of a service: clusters known in full, and the best one of each hub that sums up others."""
    known: dict[str, Cluster] = {each.id: each for each in core.registry.clusters() if service in each.services}
    for stack in core.state.lowest_first():
        for hub in stack.hubs.values():
            offer = hub.offer(service) if hub.status == "alive" else None
            if offer is not None and offer.id not in known:
                known[offer.id] = offer
    here = core.state.settings.coordinates
    rtts = {
        entry.member.id: entry.rtt_ns
        for stack in core.state.stacks.values()
        for entry in stack.table
        if entry.rtt_ns is not None
    }
    in_zone = core.registry.zone_test()
    if near is not None:
        rtts, in_zone = {}, None
    return rank(service, known.values(), near=near or here, rtts_ns=rtts, in_zone=in_zone, limit=limit)


def may_know(core: NodeCore, service: str, *, below: bool) -> list[NodeId]:
    """Hubs to ask for a service that is not known here: their summary was cut. Only those below this node if wanted."""
    lower = LOWER_POOL[core.state.settings.tier]
    stacks = [stack for stack in core.state.lowest_first() if not below or stack.tier == lower]
    found = {
        hub.hub: None
        for stack in stacks
        for hub in stack.hubs.values()
        if hub.services is not None and hub.status == "alive" and hub.services.may_have(service)
    }
    return [hub for hub in sorted(found) if hub != core.state.id][:HUBS_ASKED_MAX]


def registry_status(core: NodeCore) -> Json:
    """Counts of clusters, services and hubs by region."""
    clusters = core.registry.clusters()
    services = {service for cluster in clusters for service in cluster.services}
    regions: Counter[str] = Counter(cluster.region for cluster in clusters)
    hubs: dict[str, Json] = {}
    for stack in core.state.lowest_first():
        for hub in stack.hubs.values():
            summary = hub.services
            services |= set(summary.services) if summary is not None else set()
            hubs[hub.hub] = {
                "tier": hub.tier,
                "region": hub.region,
                "status": hub.status,
                "draining": hub.draining,
                "children": hub.children,
                "clusters": summary.clusters if summary is not None else 0,
            }
    return {
        "hub": core.state.parent or core.state.id,
        "clusters": len(clusters),
        "services": list[Json](sorted(services)),
        "regions": dict(sorted(regions.items())),
        "hubs": dict(sorted(hubs.items())),
    }
