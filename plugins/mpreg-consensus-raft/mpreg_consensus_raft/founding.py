"""Where a log comes from: the first member of a new pool founds it, once it knows that no other member has one.

All others take over the log that they are sent. Two logs that were founded apart, by members that did not know each
other, do not mix: the younger gives way, with all that was decided in it (docs/explanation/raft.md).
"""

from mpreg_consensus_raft.desk import Desk
from mpreg_consensus_raft.messages import Cluster, Config, Entry, Here, WhoIsThere
from mpreg_core import NS_PER_MS, NS_PER_S, NodeId

ASK_NS = 500 * NS_PER_MS
"""Between two questions; the first comes this long after the voters are known, so that a pool has time to form."""

PATIENCE_NS = 4 * NS_PER_S
"""How long all are waited for; then it does when most have answered."""


class Founding:
    """Asks around, and founds."""

    def __init__(self, desk: Desk, created_ns: int) -> None:
        self._desk = desk
        self._created_ns = created_ns
        self._begun_ns: int | None = None
        self._empty: set[NodeId] = set()

    def on_voters(self, now_ns: int) -> None:
        """The voters are known, or others."""
        if self._desk.cluster is None:
            self._begun_ns = now_ns if self._begun_ns is None else self._begun_ns
            self._desk.timers.setdefault("found", now_ns + ASK_NS)

    def on_here(self, sender: NodeId, here: Here) -> None:
        """What another member has."""
        if here.cluster is None:
            self._empty.add(sender)
        else:
            self._empty.discard(sender)

    def on_timer(self, now_ns: int) -> bool:
        """Ask, or found: True if this node did."""
        desk = self._desk
        desk.timers.pop("found", None)
        if desk.cluster is not None or self._begun_ns is None:
            return False
        desk.wait("found", now_ns + ASK_NS)
        voters = [node for node in desk.desired if node not in desk.gone]
        if not voters or min(voters) != desk.me:
            return False
        others = [node for node in voters if node != desk.me]
        missing = [node for node in others if node not in self._empty]
        is_late = now_ns - self._begun_ns >= PATIENCE_NS
        if missing and not (is_late and 2 * (len(others) - len(missing) + 1) > len(desk.desired)):
            for node in others:
                desk.send(node, WhoIsThere())
            return False
        desk.timers.pop("found", None)
        desk.set_cluster(Cluster(desk.boot + (now_ns - self._created_ns) // NS_PER_MS, desk.me))
        desk.set_term(1)
        desk.append((Entry(1, config=Config(self._first_voters())),))
        return True

    def _first_voters(self) -> tuple[NodeId, ...]:
        desk = self._desk
        others = sorted(node for node in desk.desired if node != desk.me)
        others.sort(key=lambda node: node in desk.gone)
        return tuple(sorted([desk.me, *others[: desk.options.voters_max - 1]]))
