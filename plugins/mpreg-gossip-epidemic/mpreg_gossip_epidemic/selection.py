"""Whom to tell: the four target selections.

Every push goes to the two neighbours on a ring and to some chosen members: the ring alone reaches all when nothing is
lost, the choice makes it fast and finds a way around losses (Voulgaris and van Steen, "Hybrid Dissemination",
Middleware 2007). The selections differ in the ring, in the choice, and in who sends to other regions:

    random          ring of the whole pool; choice uniform
    proximity       ring of the whole pool, region by region; choice nearest of some tries, at times uniform
    topology_aware  ring and choice within the region; whoever begins an item there sends it to each other region
    hybrid          as topology_aware, but the choice is the nearest of some tries, and at times uniform
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random

from mpreg_core import NodeId
from mpreg_gossip_epidemic.peers import Peers, Ranked

UNIFORM_SHARE = 0.25
"""Of proximity's choices, and of all choices for anti-entropy: what keeps far parts of the pool in touch."""

HYBRID_UNIFORM_SHARE = 0.125

_TRIES = 4


Excluded = Collection[NodeId]


@dataclass(frozen=True, slots=True)
class Selection:
    """One way of choosing.

    `beside` gives the next (1) and the last (-1) on the ring, or this node itself. `pick` gives a live member if there
    is one; it may be an excluded one, or None, for its tries are few. `crosses`: see `must_cross`. `ranks`: which of
    the pool's ranks `pick` draws from, so that the others need not be kept.
    """

    beside: Callable[[Peers, int], NodeId | None]
    pick: Callable[[Peers, Random, Excluded], NodeId | None]
    crosses: bool
    ranks: Ranked = ()


def _uniform(peers: Peers, rng: Random, excluded: Excluded = ()) -> NodeId:
    return peers.live[int(rng.random() * len(peers.live))]


def _in_region(peers: Peers, rng: Random, excluded: Excluded = ()) -> NodeId:
    ring = peers.in_region(peers.region)
    if len(ring) < 2:
        return _uniform(peers, rng)
    index = int(rng.random() * len(ring))
    if ring[index][1] == peers.me:
        index = index + 1 if index + 1 < len(ring) else 0
    return ring[index][1]


def _near(peers: Peers, rng: Random, excluded: Excluded) -> NodeId | None:
    if rng.random() < UNIFORM_SHARE:
        return _uniform(peers, rng)
    return peers.near.draw(rng, excluded)


def _near_in_region(peers: Peers, rng: Random, excluded: Excluded) -> NodeId | None:
    if rng.random() < HYBRID_UNIFORM_SHARE:
        return _uniform(peers, rng)
    near = peers.near_in_region
    return near.draw(rng, excluded) if near else _uniform(peers, rng)


def _beside_in_pool(peers: Peers, step: int) -> NodeId | None:
    return peers.beside(peers.me, step)


def _beside_in_region(peers: Peers, step: int) -> NodeId | None:
    return peers.beside(peers.me, step, peers.region)


RANDOM = Selection(beside=_beside_in_pool, crosses=False, pick=_uniform)
PROXIMITY = Selection(beside=Peers.beside_me, crosses=False, pick=_near, ranks=("pool",))
TOPOLOGY_AWARE = Selection(beside=_beside_in_region, crosses=True, pick=_in_region)
HYBRID = Selection(beside=_beside_in_region, crosses=True, pick=_near_in_region, ranks=("region",))


def push_targets(
    selection: Selection, peers: Peers, rng: Random, fanout: int, avoid: Collection[NodeId]
) -> tuple[NodeId, ...]:
    """At most `fanout` live members, none of `avoid`: the ring's neighbours, then by choice."""
    chosen: dict[NodeId, None] = {}
    for step in (1, -1):
        neighbour = selection.beside(peers, step)
        if neighbour is not None and neighbour != peers.me and neighbour not in avoid:
            chosen[neighbour] = None
    excluded = {*avoid, *chosen}
    tries = _TRIES * fanout if peers.live else 0
    while len(chosen) < fanout and tries > 0:
        tries -= 1
        peer = selection.pick(peers, rng, excluded)
        if peer is not None and peer not in excluded:
            chosen[peer] = None
            excluded.add(peer)
    return tuple(chosen)[:fanout]


def ring_target(selection: Selection, peers: Peers) -> NodeId | None:
    """The next member on the ring: as everyone asks the next, everyone is asked."""
    neighbour = selection.beside(peers, 1)
    return neighbour if neighbour != peers.me else None


def exchange_target(selection: Selection, peers: Peers, rng: Random) -> NodeId | None:
    """A live member to compare with, by choice or uniform; None when there is none."""
    if not peers.live:
        return None
    return _uniform(peers, rng) if rng.random() < UNIFORM_SHARE else selection.pick(peers, rng, ())


def must_cross(selection: Selection, peers: Peers, fanout: int, sender: NodeId, hops: int) -> bool:
    """True if a node that got an item by push from `sender` has to send it on to other regions.

    The node that begins an item in a region and its next neighbour there both do, so a lost packet does not keep the
    item from a region. The one that got it from another region does if there are too many regions for the first to
    reach all.
    """
    if not selection.crosses or len(peers.regions) < 2:
        return False
    region = peers.region_of(sender)
    if region == peers.region:
        return hops == 1 and peers.beside(sender, 1, region) == peers.me
    return region is not None and len(peers.regions) - 1 > fanout


def crossing_targets(peers: Peers, rng: Random, fanout: int) -> tuple[NodeId, ...]:
    """A live member in each other region; with more than `fanout` of them, in the two beside and in some others."""
    others = [region for region in peers.regions if region != peers.region]
    if len(others) > fanout:
        beside = dict.fromkeys((peers.region_beside(1), peers.region_beside(-1)))
        rest = [region for region in others if region not in beside]
        others = [*beside, *rng.sample(rest, len(rest))][:fanout]
    chosen = []
    for region in others:
        ring = peers.in_region(region)
        chosen.append(ring[int(rng.random() * len(ring))][1])
    return tuple(chosen)
