"""This node's own links: what they cost, and which of them the others are told of."""

from collections.abc import Container

from mpreg_core import NodeId, View
from mpreg_core.limits import DATAGRAM_BYTES_MAX
from mpreg_core.routing import round_trip_ns
from mpreg_routing_graph.messages import COST_US_MAX

HOP_COST_US = 500
"""The work of passing a request on, on top of the round trip. It also keeps short links from looking different."""

NOISE_US = 1_000  # a link that moved by less has not changed, whatever the share
LINKS_BYTES_MAX = DATAGRAM_BYTES_MAX - 64 - 96  # less the envelope, and the message's other fields
LINK_BYTES = 8  # beside the neighbour's id: two headers and the cost


def cost_us(view: View, peer: NodeId) -> int:
    """The cost of the straight link to a member by what is known now, measured or estimated."""
    return min(max(round_trip_ns(view, peer) // 1_000, 0) + HOP_COST_US, COST_US_MAX)


class OwnLinks:
    """neighbour -> cost, µs, of the alive members that were measured. A cost stays until it clearly moved."""

    def __init__(self, hysteresis: float, links_max: int) -> None:
        self._hysteresis = hysteresis
        self._links_max = links_max
        self.costs: dict[NodeId, int] = {}

    def measure(self, view: View, ejected: Container[NodeId]) -> bool:
        """Take over the view's round trips. True when a link came, went or changed its cost."""
        costs: dict[NodeId, int] = {}
        for peer in view.rtts_ns:
            member = view.members.get(peer)
            if member is None or member.status != "alive" or peer == view.me or peer in ejected:
                continue
            now, before = cost_us(view, peer), self.costs.get(peer)
            still = before is not None and abs(now - before) <= max(self._hysteresis * before, NOISE_US)
            costs[peer] = before if still and before is not None else now
        changed = costs != self.costs
        self.costs = costs
        return changed

    def to_tell(self, view: View) -> tuple[tuple[NodeId, int], ...]:
        """The links to tell: to the pool's leaders, the nearest, and of the others an even sample by cost.

        The sample is for the long ways round: of the nearest alone nobody could learn who reaches a far member well.
        """
        ranked = sorted(self.costs, key=lambda peer: (view.members[peer].tier != view.tier, self.costs[peer], peer))
        leaders = sum(view.members[peer].tier == view.tier for peer in ranked)
        near = min(len(ranked), leaders + max(0, self._links_max - leaders) // 2)
        room = self._links_max - near
        step = max(1, -(-(len(ranked) - near) // room)) if room > 0 else len(ranked) + 1
        told: list[tuple[NodeId, int]] = []
        size = 0
        for peer in (ranked[:near] + ranked[near::step])[: self._links_max]:
            size += len(peer) + LINK_BYTES
            if size > LINKS_BYTES_MAX:
                break
            told.append((peer, self.costs[peer]))
        return tuple(told)
