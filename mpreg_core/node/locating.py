"""Where a request can be served, as far as this node knows: candidate places, best first.

What is known in full comes first, then what the summaries of hubs tell (those below this node, then its siblings and
the other regions), then the way up. A place known only by summary narrows the request to that hub, which knows more.
"""

from collections.abc import Iterator

from msgspec import Struct, structs

from mpreg_core.contracts.api import Cluster
from mpreg_core.contracts.router import Target
from mpreg_core.ids import LOWER_POOL, NodeId
from mpreg_core.membership.federation import HubSummary
from mpreg_core.node.registry import NodeRegistry
from mpreg_core.node.state import NodeState
from mpreg_core.registry.selection import rank
from mpreg_core.wire.request import RequestFrame

INTERNAL = "mpreg."
"""Services whose names begin so are core's own: every node serves them."""


class Place(Struct, frozen=True):
    """A place to try. `target` None means here: by this node's handler, or at the `endpoint` of `cluster`.

    `frame` is the request as it goes there, narrowed to what is known.
    """

    frame: RequestFrame
    target: Target | None = None
    cluster: str = ""
    endpoint: str = ""


class Locating:
    """Answers from the registry, the pools' tables and the summaries; holds nothing of its own."""

    def __init__(self, state: NodeState, registry: NodeRegistry) -> None:
        self._state = state
        self._registry = registry

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
        if frame.cluster is None:
            offers = self._registry.offers(frame.service)
        else:
            offers = [each for each in self._registry.clusters() if each.id == frame.cluster]
        yield from self._ranked(frame, [each for each in offers if each.node not in avoid and each.id not in avoid])
        own_only = frame.hub == self._state.id
        hubs = [hub for hub in self._hubs() if hub.hub not in avoid and self._may_serve(hub, frame)]
        if own_only:
            below = self._below()
            hubs = [hub for hub in hubs if hub.hub in below]
        known = {hub.hub: hub for hub in hubs}
        best = [each for hub in hubs if (each := self._offer(hub, frame)) is not None]
        for candidate in rank(frame.service, best, near=self._state.settings.coordinates, rtts_ns=self._rtts()):
            hub = known[candidate.cluster]
            narrowed = structs.replace(frame, hub=hub.hub, region=hub.region)
            yield Place(narrowed, Target(hub=hub.hub, region=hub.region))
        if not own_only and self._state.parent is not None:
            yield Place(frame, Target(node=self._state.parent))

    def _ranked(self, frame: RequestFrame, offers: list[Cluster]) -> Iterator[Place]:
        by_id = {cluster.id: cluster for cluster in offers}
        near = self._state.settings.coordinates
        for candidate in rank(frame.service, offers, near=near, rtts_ns=self._rtts()):
            cluster = by_id[candidate.cluster]
            if cluster.node:
                yield Place(structs.replace(frame, node=cluster.node), Target(node=cluster.node, hub=cluster.hub))
            elif cluster.endpoints and cluster.hub == self._state.id:
                yield Place(frame, None, cluster.id, cluster.endpoints[0])

    def _may_serve(self, hub: HubSummary, frame: RequestFrame) -> bool:
        services = hub.services
        if services is None or hub.status != "alive" or hub.hub == self._state.id:
            return False
        if frame.cluster is not None:
            return frame.cluster in services.ids
        return frame.service in services.services

    def _offer(self, hub: HubSummary, frame: RequestFrame) -> Cluster | None:
        """The hub as one cluster, named after the hub, to rank it among others."""
        assert hub.services is not None
        offer = hub.services.offer(frame.service)
        if offer is None:
            return Cluster(id=hub.hub, services=(frame.service,), hub=hub.hub, region=hub.region)
        return structs.replace(offer, id=hub.hub, hub=hub.hub) if offer.status != "unhealthy" else None

    def _hubs(self) -> list[HubSummary]:
        """The newest summary of each hub, those of the lowest pool first."""
        known: dict[NodeId, HubSummary] = {}
        for stack in self._state.lowest_first():
            for name, hub in sorted(stack.hubs.items()):
                if name not in known or (hub.ids and not known[name].ids):
                    known[name] = hub
        return list(known.values())

    def _below(self) -> set[NodeId]:
        tier = LOWER_POOL[self._state.settings.tier]
        lower = self._state.stack_of(tier) if tier is not None else None
        if lower is None:
            return set()
        return {member.id for member in lower.table.present() if member.tier != self._state.settings.tier}

    def _rtts(self) -> dict[NodeId, int]:
        return {
            entry.member.id: entry.rtt_ns
            for stack in self._state.stacks.values()
            for entry in stack.table
            if entry.rtt_ns is not None
        }
