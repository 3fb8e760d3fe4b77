"""When a member may found the first list of voters: when it is the first of them by name, and no other knows of one."""

from mpreg_consensus_quorum.desk import Desk
from mpreg_consensus_quorum.messages import NO_STAMP, Seats, Stamp
from mpreg_core import NS_PER_MS, NS_PER_S, NodeId

ASK_NS = 500 * NS_PER_MS
"""Between two questions of a node that knows no voters; the first comes so long after the members are known."""

PATIENCE_NS = 4 * NS_PER_S
"""How long all members are waited for; then it does when most have answered."""


class Founding:
    """Asks around while this node knows no voters."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._begun_ns: int | None = None
        self._empty: set[NodeId] = set()

    def begin(self, now_ns: int) -> None:
        """The members are known, or others."""
        self._begun_ns = now_ns if self._begun_ns is None else self._begun_ns
        if not self._desk.timers.is_set(("found", "")):
            self._desk.timers.set(("found", ""), now_ns + ASK_NS)

    def on_seats(self, sender: NodeId, stamp: Stamp) -> None:
        """Whether another member knows of voters."""
        if stamp == NO_STAMP and self._desk.electorate.stamp == NO_STAMP:
            self._empty.add(sender)
        else:
            self._empty.discard(sender)

    def is_due(self, now_ns: int, wanted: tuple[NodeId, ...], present: list[NodeId]) -> bool:
        """True if this node is to found now; else all who are present are asked once more."""
        desk = self._desk
        if desk.electorate.stamp != NO_STAMP or self._begun_ns is None:
            return False
        missing = [node for node in present if node != desk.me and node not in self._empty]
        is_late = now_ns - self._begun_ns >= PATIENCE_NS
        is_enough = not missing or (is_late and 2 * (len(present) - len(missing)) > len(wanted))
        if present[:1] == [desk.me] and is_enough:
            return True
        desk.timers.set(("found", ""), now_ns + ASK_NS)
        desk.out.send(present, Seats(NO_STAMP, desk.boot, asks=True))
        return False
