"""The pool as a gossip strategy needs it: who can be told, their order on the ring, and how far each is.

All of it is kept up to date change by change, so that neither a change nor a choice costs time that grows with the
pool (but for the shift of a list).
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from math import asin, cos, radians, sin, sqrt
from typing import Literal
from zlib import crc32

from mpreg_core import NS_PER_MS, Coordinates, Member, NodeId, Region
from mpreg_core.limits import MEMBERS_PER_POOL_MAX
from mpreg_gossip_epidemic.ranks import Ranks

EARTH_KM = 6371.0
KM_PER_MS = 100.0
"""Of round trip time: light in fibre makes 200 km in a millisecond, and has to come back."""

SAME_REGION_NS = 5 * NS_PER_MS
OTHER_REGION_NS = 100 * NS_PER_MS
"""What a round trip is taken for when it was never measured and one of the two has no coordinates."""

_SORT_ABOVE = 32
Ranked = tuple[Literal["pool", "region"], ...]
"""Whom to keep by distance: all live members, those of the own region."""

_Ring = list[tuple[int, NodeId]]


class Peers:
    """The members of one pool, seen from `me`.

    `live` are the others that are alive or suspect, sorted; `failed` those taken for dead, sorted. `regions` are those
    of the live ones and of `me`, sorted. `near` and `near_in_region` are the live ones by distance, as far as `ranked`
    asks for them.
    """

    def __init__(self, me: Member, ranked: Ranked = ("pool", "region")) -> None:
        self.me = me.id
        self.region: Region = me.region
        self.live: list[NodeId] = []
        self.failed: list[NodeId] = []
        self.regions: list[Region] = [me.region]
        self._coordinates = me.coordinates
        self._network = me.network
        self._members: dict[NodeId, Member] = {}
        self._rings: dict[Region, _Ring] = {me.region: [_place(me.id)]}
        self._ring: _Ring = [_place(me.id)]
        self._rtts_ns: dict[NodeId, int] = {}
        self._ranked = ranked
        self.near = Ranks(me.id)
        self.near_in_region = Ranks(me.id)

    def update(self, members: Sequence[Member]) -> int:
        """Take new and changed records; gives how many members are live now that were not before."""
        many = len(members) > _SORT_ABOVE
        joined = 0
        for member in members:
            if member.id == self.me:
                self._update_me(member)
            elif member.id in self._members or len(self._members) < MEMBERS_PER_POOL_MAX:
                joined += self._update(member, many)
        if many:
            self._sort()
        return joined

    def _update(self, member: Member, many: bool) -> bool:
        held = self._members.get(member.id)
        was_live, is_live = held is not None and _is_live(held), _is_live(member)
        if held is not None:
            if was_live and (not is_live or held.region != member.region):
                self._remove(held)
            elif held.status == "failed" and member.status != "failed":
                self.failed.remove(member.id)
        if member.status == "left":
            self._members.pop(member.id, None)
            self._rtts_ns.pop(member.id, None)
            return False
        self._members[member.id] = member
        if is_live:
            if held is None or not was_live or held.region != member.region:
                self._add(member, many)
            self._rank(member)
        elif member.status == "failed" and (held is None or held.status != "failed"):
            insort(self.failed, member.id)
        return is_live and not was_live

    def region_of(self, peer: NodeId) -> Region | None:
        """A live or failed member's region; None for one that is not known."""
        member = self._members.get(peer)
        return None if member is None else member.region

    def in_region(self, region: Region) -> Sequence[tuple[int, NodeId]]:
        """The ring of a region: (place, id) of its live members, `me` among them where it belongs."""
        return self._rings.get(region, ())

    def beside(self, peer: NodeId, step: int, region: Region | None = None) -> NodeId | None:
        """The member `step` places on from `peer`, on the region's ring or the pool's; None when it is not on it."""
        ring = self._ring if region is None else self._rings.get(region, [])
        place = _place(peer)
        index = bisect_left(ring, place)
        if index == len(ring) or ring[index] != place:
            return None
        return ring[(index + step) % len(ring)][1]

    def beside_me(self, step: int) -> NodeId:
        """The member `step` (1 or -1) places on from this node on the ring of all regions' rings in a row."""
        ring = self._rings[self.region]
        index = bisect_left(ring, _place(self.me)) + step
        if 0 <= index < len(ring):
            return ring[index][1]
        return self._rings[self.region_beside(step)][0 if step > 0 else -1][1]

    def region_beside(self, step: int) -> Region:
        """The region `step` places on from this node's own, in the order of names."""
        return self.regions[(bisect_left(self.regions, self.region) + step) % len(self.regions)]

    def measured(self, peer: NodeId, rtt_ns: int) -> None:
        """A round trip was measured: smoothed as in TCP (RFC 6298, section 2)."""
        if self._ranked and peer in self._members and rtt_ns > 0:
            held = self._rtts_ns.get(peer)
            self._rtts_ns[peer] = rtt_ns if held is None else held + (rtt_ns - held) // 8
            member = self._members[peer]
            if _is_live(member):
                self._rank(member)

    def _rank(self, member: Member) -> None:
        """Put a live member where the measured round trip has it, or where distance or region suggest."""
        if not self._ranked:
            return
        cost_ns = self._rtts_ns.get(member.id) or self._guess_ns(member)
        if "pool" in self._ranked:
            self.near.put(member.id, cost_ns)
        if "region" in self._ranked and member.region == self.region:
            self.near_in_region.put(member.id, cost_ns)

    def _guess_ns(self, member: Member) -> int:
        if self._network is not None and member.network is not None:
            return self._network.round_trip_ns(member.network)
        if self._coordinates is not None and member.coordinates is not None:
            return round((1.0 + distance_km(self._coordinates, member.coordinates) / KM_PER_MS) * NS_PER_MS)
        return SAME_REGION_NS if member.region == self.region else OTHER_REGION_NS

    def _update_me(self, me: Member) -> None:
        moved = (me.region, me.coordinates, me.network) != (self.region, self._coordinates, self._network)
        if me.region != self.region:
            self._leave_ring(self.me, self.region)
            self.region = me.region
            insort(self._ring_of(me.region), _place(me.id))
            insort(self._ring, _place(me.id))
        self._coordinates = me.coordinates
        self._network = me.network
        if moved:
            self.near_in_region = Ranks(self.me)
            for peer in self.live:
                self._rank(self._members[peer])

    def _add(self, member: Member, many: bool) -> None:
        place = _place(member.id)
        if many:  # sorted once, at the end
            self.live.append(member.id)
            self._ring.append(place)
            self._ring_of(member.region).append(place)
        else:
            insort(self.live, member.id)
            insort(self._ring, place)
            insort(self._ring_of(member.region), place)

    def _remove(self, held: Member) -> None:
        self.live.remove(held.id)
        self.near.discard(held.id)
        self.near_in_region.discard(held.id)
        self._leave_ring(held.id, held.region)

    def _leave_ring(self, peer: NodeId, region: Region) -> None:
        ring = self._rings[region]
        ring.remove(_place(peer))
        self._ring.remove(_place(peer))
        if not ring:
            del self._rings[region]
            self.regions.remove(region)

    def _ring_of(self, region: Region) -> _Ring:
        if region not in self._rings:
            insort(self.regions, region)
            self._rings[region] = []
        return self._rings[region]

    def _sort(self) -> None:
        self.live.sort()
        self._ring.sort()
        for ring in self._rings.values():
            ring.sort()


def _is_live(member: Member) -> bool:
    return member.status in ("alive", "suspect")


def _place(peer: NodeId) -> tuple[int, NodeId]:
    # Hashed: neighbours on the ring have nothing else in common, and every node computes the same ring.
    return crc32(peer.encode()), peer


def distance_km(a: Coordinates, b: Coordinates) -> float:
    """The way along a great circle (haversine formula)."""
    latitude_a, latitude_b = radians(a.latitude), radians(b.latitude)
    half_latitude = sin((latitude_b - latitude_a) / 2)
    half_longitude = sin(radians(b.longitude - a.longitude) / 2)
    h = half_latitude**2 + cos(latitude_a) * cos(latitude_b) * half_longitude**2
    return 2 * EARTH_KM * asin(min(1.0, sqrt(h)))
