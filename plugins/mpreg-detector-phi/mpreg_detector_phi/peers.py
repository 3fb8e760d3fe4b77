"""What this node thinks of each member: alive, suspect or failed, by incarnation as in the pool's table.

    alive --doubt--> suspect --time is up, or a refused port--> failed
      ^                 |                                         |
      +--- a higher incarnation: only the member itself has one

The table is the truth: `adopt` takes over whatever it says.
"""

from collections import OrderedDict
from typing import Literal

from msgspec import Struct

from mpreg_core import Effect, Emit, Member, NodeId, Verdict, ns
from mpreg_core.detecting import REFUTATION_TURNS, PauseGuard
from mpreg_core.limits import INCARNATION_STEP_MAX, MEMBERS_PER_POOL_MAX
from mpreg_detector_phi.arrivals import Arrivals
from mpreg_detector_phi.circle import Circle
from mpreg_detector_phi.options import PhiOptions
from mpreg_detector_phi.timers import Timers

Status = Literal["alive", "suspect", "failed"]

_SUSPICION_INTERVALS = 4


class Peer(Struct):
    """A member other than this node. Times are ns.

    `heard_ns` is its last answer; silence counts from there, or from `grace_ns` (watched since, or refuted) if later.
    `arrivals` is there while this node watches it. `doubted` tells that this node's own phi crossed the threshold,
    `doubted_by` another watcher who said so. A refusal until `confirm_until_ns` convicts.
    """

    id: NodeId
    incarnation: int
    started_ms: int
    heard_ns: int = 0
    grace_ns: int = 0
    status: Status = "alive"
    suspected_ns: int = 0
    arrivals: Arrivals | None = None
    answered_seq: int = 0
    doubted: bool = False
    doubted_by: NodeId = ""
    forgetful: bool = False  # it answered with an incarnation below the one known
    confirm_until_ns: int = 0
    refusing_process: int = -1  # started_ms of the process that was convicted by refusal

    def accused(self) -> bool:
        """True if the member has something to refute."""
        return self.status != "alive" or self.forgetful


class Peers:
    """The members and the suspicions that run. Facts are appended to `out`, which the machine drains each step."""

    def __init__(self, me: Member, options: PhiOptions, timers: Timers, guard: PauseGuard, out: list[Effect]) -> None:
        self.me = me.id
        self.by_id: dict[NodeId, Peer] = {}
        self.present = Circle()  # alive and suspect, and this node
        self.present.add(me.id)
        self.failed: OrderedDict[NodeId, None] = OrderedDict()
        self.changed = False  # the ring changed since the machine last looked
        self.suspects = self.suspicions = self.withdrawn = self.convictions = self.stale = 0
        self._interval_ns = ns(options.probe_interval)
        self._suspicion_ns = ns(options.suspicion_timeout or _SUSPICION_INTERVALS * options.probe_interval)
        self._timers = timers
        self._guard = guard
        self._out = out

    def adopt(self, now_ns: int, member: Member) -> Peer | None:
        """Take over the table's record. Gives the member if it became suspect by it: it may need to be asked."""
        peer = self.by_id.get(member.id)
        if member.status == "left":
            if peer is not None:
                self._forget(peer)
            return None
        if peer is None:
            if len(self.by_id) >= MEMBERS_PER_POOL_MAX:
                return None
            peer = self.by_id[member.id] = Peer(member.id, member.incarnation, member.started_ms)
            self.changed |= self.present.add(peer.id)
        peer.started_ms = member.started_ms
        news = (member.status, member.incarnation) != (peer.status, peer.incarnation)
        self._think(now_ns, peer, member.status, member.incarnation)
        return peer if news and member.status == "suspect" else None

    def answers(self, now_ns: int, peer: Peer, incarnation: int) -> None:
        """A member answered. A suspicion stays until it refutes, as it was told to, but its time runs anew."""
        peer.heard_ns = now_ns
        peer.doubted, peer.doubted_by = False, ""
        peer.confirm_until_ns = 0
        peer.forgetful = incarnation < peer.incarnation
        if incarnation > peer.incarnation + INCARNATION_STEP_MAX:
            self.stale += 1
        elif incarnation > peer.incarnation or peer.status == "failed":
            self._conclude(now_ns, peer, "alive", incarnation, "heartbeat", self.me)

    def doubt(self, now_ns: int, peer: Peer, by: NodeId) -> None:
        """A watcher, this node or another, finds a member silent. Two of them shorten its time."""
        if peer.status == "alive":
            self._conclude(now_ns, peer, "suspect", peer.incarnation, "phi", by)
        if by == self.me:
            peer.doubted = True
        else:
            peer.doubted_by = by
        if peer.status == "suspect":
            self._timers.set(("suspicion", peer.id), self._due_ns(peer))

    def convict(self, now_ns: int, peer: Peer, cause: str) -> None:
        """A member is taken for dead."""
        if peer.status != "failed":
            self.convictions += 1
            self._conclude(now_ns, peer, "failed", peer.incarnation, cause, self.me)

    def suspicion_is_due(self, now_ns: int, peer: Peer) -> None:
        """The time of a suspect is up, unless it answered since or this node was away meanwhile."""
        due_ns = self._due_ns(peer)
        if due_ns > now_ns:
            self._timers.set(("suspicion", peer.id), due_ns)
        else:
            self.convict(now_ns, peer, "phi")

    def _conclude(self, now_ns: int, peer: Peer, status: Status, incarnation: int, cause: str, by: NodeId) -> None:
        self._out.append(Emit(Verdict(peer.id, status, incarnation, cause, by)))
        if peer.status == "failed" and status == "alive":
            return  # only the table brings back the dead; until it does, they are told what they have to refute
        self._think(now_ns, peer, status, incarnation)

    def _think(self, now_ns: int, peer: Peer, status: Status, incarnation: int) -> None:
        if (status, incarnation) == (peer.status, peer.incarnation):
            return
        self._end_suspicion(peer, withdrawn=status == "alive")
        if status == "failed":
            self.failed[peer.id] = None
            self.changed |= self.present.discard(peer.id)
        else:
            self.failed.pop(peer.id, None)
            self.changed |= self.present.add(peer.id)
        peer.status, peer.incarnation, peer.forgetful = status, incarnation, False
        if status == "alive":
            peer.grace_ns = now_ns
        if status == "suspect":
            self.suspects += 1
            self.suspicions += 1
            peer.suspected_ns = now_ns
            self._timers.set(("suspicion", peer.id), self._due_ns(peer))

    def _due_ns(self, peer: Peer) -> int:
        since_ns = max(peer.suspected_ns, peer.heard_ns, self._guard.resumed_ns)
        since_ns += REFUTATION_TURNS * self._guard.late_ns
        confirmed = peer.doubted and peer.doubted_by
        return since_ns + (min(self._interval_ns, self._suspicion_ns) if confirmed else self._suspicion_ns)

    def _end_suspicion(self, peer: Peer, *, withdrawn: bool) -> None:
        peer.doubted, peer.doubted_by = False, ""
        if peer.status == "suspect":
            self.suspects -= 1
            self.withdrawn += withdrawn
            self._timers.cancel(("suspicion", peer.id))

    def _forget(self, peer: Peer) -> None:
        self._end_suspicion(peer, withdrawn=False)
        self.changed |= self.present.discard(peer.id)
        self.failed.pop(peer.id, None)
        for kind in ("phi", "confirm"):
            self._timers.cancel((kind, peer.id))
        del self.by_id[peer.id]
