"""What a node logs of its own life: the facts an operator asks for first, one calm line each."""

import logging
from collections.abc import Callable
from typing import Any

from mpreg_core.contracts.events import (
    ChannelRefused,
    ClusterMisplaced,
    FrameDropped,
    JoinRefused,
    LeaderChanged,
    MemberChanged,
    NameConflict,
    NodeStateChanged,
    Occurrence,
    ParentChanged,
    PoolJoined,
    PoolLeft,
    RegionContested,
    RegionDoubted,
    SuccessionChanged,
)
from mpreg_core.units import NS_PER_S

_log = logging.getLogger("mpreg.node")

DROPS_EVERY_NS = 60 * NS_PER_S
"""Dropped frames of one plane and reason are told at most this often; the counters have them all."""

Line = tuple[int, str]


class Narrator:
    """Logs the occurrences of one node that people want to read."""

    def __init__(self) -> None:
        self._drops_told_ns: dict[tuple[str, str], int] = {}

    def tell(self, occurrence: Occurrence) -> None:
        """From the driver: every event; most are passed over."""
        if isinstance(occurrence.event, FrameDropped) and not self._is_due(occurrence.at_ns, occurrence.event):
            return
        words = _WORDS.get(type(occurrence.event))
        line = words(occurrence.pool, occurrence.event) if words is not None else None
        if line is not None:
            _log.log(*line)

    def _is_due(self, at_ns: int, event: FrameDropped) -> bool:
        last_ns = self._drops_told_ns.get((event.plane, event.reason))
        if last_ns is not None and at_ns - last_ns < DROPS_EVERY_NS:
            return False
        self._drops_told_ns[event.plane, event.reason] = at_ns
        return True


def _state(pool: str, event: NodeStateChanged) -> Line:
    reason = f": {event.reason}" if event.reason else ""
    return logging.INFO, f"the node is {event.state}{reason}"


def _joined(pool: str, event: PoolJoined) -> Line:
    return logging.INFO, f"joined {pool} through {event.via}" if event.via else f"leads {pool}"


def _left(pool: str, event: PoolLeft) -> Line:
    return logging.INFO, f"left {pool}: {event.reason}"


def _parent(pool: str, event: ParentChanged) -> Line:
    if event.parent is None:
        return logging.WARNING, f"lost the hub {event.previous}: {event.reason}"
    return logging.INFO, f"attached to the hub {event.parent}"


def _lead(pool: str, event: SuccessionChanged) -> Line:
    return logging.WARNING, f"{'leads' if event.leads else 'stands by in'} {pool} from now on: {event.reason}"


def _contested(pool: str, event: RegionContested) -> Line:
    what = f"{event.hub} leads region {event.region}, too"
    return logging.WARNING, f"{what}: give one of the two another node.region, or have it stand by: node.stands_by_for"


def _misplaced(pool: str, event: ClusterMisplaced) -> Line:
    where = f"cluster {event.cluster} is {event.distance_km:,.0f} km away"
    return logging.WARNING, f"{where}: register it with {event.hub} or below, {event.hub_distance_km:,.0f} km from it"


def _doubted(pool: str, event: RegionDoubted) -> Line:
    where = f"the hub {event.hub} of region {event.region} is {event.distance_km:,.0f} km away"
    return logging.WARNING, f"{where}: check node.region and node.coordinates of both"


def _refused(pool: str, event: JoinRefused) -> Line:
    hint = f"; {event.hint}" if event.hint else ""
    return logging.WARNING, f"cannot join by {event.by}: {event.reason}{hint}"


def _conflict(pool: str, event: NameConflict) -> Line:
    return logging.ERROR, f"two nodes have the id {event.id}: the one at {event.kept} stays, {event.refused} must stop"


def _channel(pool: str, event: ChannelRefused) -> Line:
    text = f"{event.peer} speaks {event.theirs} for {event.family} in {pool}, this node {event.ours}: they do not talk"
    return logging.WARNING, text


def _dropped(pool: str, event: FrameDropped) -> Line:
    return (
        logging.DEBUG if event.reason == "unknown_channel" else logging.WARNING,  # usual while a node joins or leaves
        f"dropped {event.count} frames on the {event.plane} port from {event.source}: {event.reason}",
    )


def _member(pool: str, event: MemberChanged) -> Line | None:
    if event.change == "updated":
        return None
    level = logging.WARNING if event.change == "failed" else logging.INFO
    by = f" by {event.by}" if event.by else ""
    return level, f"{event.member.id} in {pool}: {event.change} ({event.cause}{by})"


def _leader(pool: str, event: LeaderChanged) -> Line:
    return logging.INFO, f"{pool} follows {event.leader or 'no leader'} in term {event.term}"


_WORDS: dict[type, Callable[[str, Any], Line | None]] = {
    NodeStateChanged: _state,
    PoolJoined: _joined,
    PoolLeft: _left,
    ParentChanged: _parent,
    SuccessionChanged: _lead,
    RegionContested: _contested,
    ClusterMisplaced: _misplaced,
    RegionDoubted: _doubted,
    JoinRefused: _refused,
    NameConflict: _conflict,
    ChannelRefused: _channel,
    FrameDropped: _dropped,
    MemberChanged: _member,
    LeaderChanged: _leader,
}
