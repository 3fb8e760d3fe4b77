"""Time and causality: the hybrid logical clock that stamps writes, and version vectors over those stamps."""

from typing import Annotated, TypeAlias

from msgspec import Meta

STAMP_MAX = (1 << 63) - 1
Stamp: TypeAlias = Annotated[int, Meta(ge=0, le=STAMP_MAX)]
"""48 bits of wall-clock milliseconds, then 16 bits that count within one. 0 is before every write."""

COUNTER_BITS = 16
OFFSET_MS_MAX = 500
"""A remote stamp further ahead of the own wall clock than this does not move the own clock."""

Actor: TypeAlias = str
"""Who wrote: a node in one of its lives. A node that forgot its writes must not pass for one that removed them."""

VersionVector: TypeAlias = dict[Actor, Stamp]
"""actor -> stamp of the last write seen of it; that covers all its earlier ones. Absent: none seen."""

Dots: TypeAlias = dict[Actor, Stamp]
"""The writes that hold something in place: actor -> the stamp of its write."""


def stamp_ms(stamp: int) -> int:
    """The wall-clock milliseconds in a stamp."""
    return stamp >> COUNTER_BITS


class HybridClock:
    """A clock that follows wall time, never goes back and stays ahead of all it saw.

    Kulkarni et al. 2014, "Logical Physical Clocks", figure 5. A counter that runs over carries into the milliseconds.
    `refused` counts the remote stamps that were too far ahead to be followed.
    """

    def __init__(self, last: int = 0) -> None:
        self.last = last
        self.refused = 0

    def now(self, wall_ms: int, after: int = 0) -> int:
        """A new stamp: above every earlier one and above `after`, which by itself does not move the clock."""
        self.last = max(self.last + 1, wall_ms << COUNTER_BITS)
        return max(self.last, after + 1)

    def observe(self, remote: int, wall_ms: int) -> bool:
        """Follow a remote stamp. False, and counted, when it is over `OFFSET_MS_MAX` ahead: one bad clock stays one."""
        if stamp_ms(remote) > wall_ms + OFFSET_MS_MAX:
            self.refused += 1
            return False
        self.last = max(self.last, remote)
        return True


def join(a: VersionVector, b: VersionVector) -> VersionVector:
    """What has been seen by either."""
    joined = dict(a)
    for actor, stamp in b.items():
        if stamp > joined.get(actor, 0):
            joined[actor] = stamp
    return joined


def covers(seen: VersionVector, dots: Dots) -> bool:
    """True if all the writes have been seen."""
    return all(stamp <= seen.get(actor, 0) for actor, stamp in dots.items())


def surviving(a: Dots, seen_by_a: VersionVector, b: Dots, seen_by_b: VersionVector) -> Dots:
    """The dots that stand after a merge: those both sides have, and those the other side never saw.

    A dot that the other side saw and no longer has was removed there. Almeida, Shoker, Baquero 2018, "Delta State
    Replicated Data Types", section 7 (causal data types).
    """
    kept = {actor: s for actor, s in a.items() if b.get(actor) == s or s > seen_by_b.get(actor, 0)}
    for actor, s in b.items():
        if s > seen_by_a.get(actor, 0):
            kept[actor] = max(s, kept.get(actor, 0))
    return kept
