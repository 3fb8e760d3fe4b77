"""What this node thinks of each member: SWIM's alive, suspect and failed, by incarnation (section 4.2).

    alive --accuse--> suspect --time is up, or convict--> failed
      ^                  |                                  |
      +--- a higher incarnation: only the member itself has one

An opinion formed here goes out as a `Verdict` and as an update on this node's messages. The pool's table is the truth:
`adopt` takes over whatever it says, whether it confirms, overrules or forgets what was thought here.
"""

from math import ceil, log10
from random import Random
from typing import Literal

from msgspec import Struct

from mpreg_core import Effect, Emit, Member, NodeId, Verdict
from mpreg_core.detecting import REFUTATION_TURNS, PauseGuard
from mpreg_core.limits import INCARNATION_STEP_MAX, MEMBERS_PER_POOL_MAX
from mpreg_detector_swim.messages import ALIVE, FAILED, SUSPECT, Opinion, Update
from mpreg_detector_swim.options import SwimOptions
from mpreg_detector_swim.ring import Ring
from mpreg_detector_swim.suspicion import Suspicion, SuspicionTime
from mpreg_detector_swim.timers import Timers
from mpreg_detector_swim.updates import UpdateQueue

_OPINION: dict[str, Opinion] = {"alive": ALIVE, "suspect": SUSPECT, "failed": FAILED}
_STATUS: dict[Opinion, Literal["alive", "suspect", "failed"]] = {ALIVE: "alive", SUSPECT: "suspect", FAILED: "failed"}


class Peer(Struct):
    """A member other than this node."""

    id: NodeId
    incarnation: int
    started_ms: int
    status: Opinion = ALIVE
    suspicion: Suspicion | None = None
    probe: int | None = None  # seq of the probe that is open
    answered_ns: int = -1  # last direct ack
    refusing_process: int = -1  # started_ms of the process that was convicted by refusal


class Opinions:
    """The members, what is thought of them, the suspicions that run, and the updates to spread.

    Facts are appended to `out`, which the machine drains after each step.
    """

    def __init__(
        self,
        me: Member,
        options: SwimOptions,
        timers: Timers,
        rng: Random,
        guard: PauseGuard,
        out: list[Effect],
    ) -> None:
        self.me = me.id
        self.incarnation = me.incarnation
        self.peers: dict[NodeId, Peer] = {}
        self.present = Ring(rng)  # alive and suspect
        self.failed = Ring(rng)
        self.updates = UpdateQueue()
        self.suspects = self.suspicions = self.withdrawn = self.convictions = self.stale = 0
        self._options = options
        self._timers = timers
        self._guard = guard
        self._out = out

    # what the table says

    def adopt(self, now_ns: int, member: Member) -> None:
        """The table's record of a member is what counts from now on."""
        peer = self.peers.get(member.id)
        if member.status == "left":
            if peer is not None:
                self._forget(peer)
            return
        status = _OPINION[member.status]
        if peer is None:
            if len(self.peers) >= MEMBERS_PER_POOL_MAX:
                return
            peer = self.peers[member.id] = Peer(member.id, member.incarnation, member.started_ms)
            self.present.add(peer.id)
        elif status != peer.status or (member.incarnation > peer.incarnation and status != ALIVE):
            self.updates.put(Update(member.id, status, member.incarnation, ""))
        peer.started_ms = member.started_ms
        self._think(now_ns, peer, status, member.incarnation)

    def adopt_own(self, member: Member) -> bool:
        """This node's own record changed. True if it refuted: the others are to learn its new incarnation."""
        if member.incarnation <= self.incarnation:
            return False
        self.incarnation = member.incarnation
        self.updates.put(self.own_update())
        return True

    # what other members say

    def hear(self, now_ns: int, update: Update) -> None:
        """Another member's opinion of a third one. What is stale, unknown or beyond belief changes nothing."""
        peer = self.peers.get(update.peer)
        if peer is None or not peer.incarnation <= update.incarnation <= peer.incarnation + INCARNATION_STEP_MAX:
            self.stale += 1
            return
        # A name that nobody here bears is not passed on: it costs nothing to make up, whatever its length.
        by = update.by if update.by in self.peers else ""
        newer = update.incarnation > peer.incarnation
        if newer or update.status > peer.status:
            self._conclude(now_ns, peer, update.status, update.incarnation, "gossip", by)
        elif update.status == SUSPECT and peer.suspicion is not None and by:
            self._confirm(peer, peer.suspicion, by)

    def accused(self, update: Update) -> bool:
        """Another member suspects or convicts this node. The table refutes it; True unless that is done already."""
        if update.incarnation < self.incarnation:
            self.stale += 1
            return False
        self._out.append(Emit(Verdict(self.me, _STATUS[update.status], update.incarnation, "gossip", update.by)))
        return True

    # what this node finds out

    def answers(self, now_ns: int, peer: Peer, incarnation: int) -> None:
        """A member answered, or a helper says so. A suspicion stays until the member refutes it, as it was told to."""
        if incarnation > peer.incarnation + INCARNATION_STEP_MAX:
            self.stale += 1
        elif incarnation > peer.incarnation or peer.status == FAILED:
            self._conclude(now_ns, peer, ALIVE, incarnation, "probe", self.me)

    def accuse(self, now_ns: int, peer: Peer) -> None:
        """This node's probe of a member failed: suspect it, or confirm that others do."""
        if peer.status == ALIVE:
            self._conclude(now_ns, peer, SUSPECT, peer.incarnation, "probe", self.me)
        elif peer.suspicion is not None:
            self._confirm(peer, peer.suspicion, self.me)

    def convict(self, now_ns: int, peer: Peer, cause: str) -> None:
        """A member is taken for dead."""
        if peer.status != FAILED:
            self.convictions += 1
            self._conclude(now_ns, peer, FAILED, peer.incarnation, cause, self.me)

    def suspicion_is_due(self, now_ns: int, peer: Peer) -> None:
        """The time of a suspect is up, unless it answered since, or this node was away meanwhile: then it runs anew."""
        suspicion = peer.suspicion
        if suspicion is None:
            return
        due_ns = self._due_ns(peer, suspicion)
        if due_ns > now_ns:
            self._timers.set(("suspicion", peer.id), due_ns)
        else:
            self.convict(now_ns, peer, "probe")

    # what goes on messages

    def own_update(self) -> Update:
        """This node lives at its incarnation."""
        return Update(self.me, ALIVE, self.incarnation, self.me)

    def piggyback(self, to: Peer | None) -> tuple[Update, ...]:
        """Updates for a message: first what the receiver is accused of (Lifeguard's buddy notification)."""
        first = None
        if to is not None and to.status != ALIVE:
            by = to.suspicion.accusers[0] if to.suspicion is not None and to.suspicion.accusers else self.me
            first = Update(to.id, to.status, to.incarnation, by)
        elif not self.updates:
            return ()
        return self.updates.take(self._options.retransmit_mult * ceil(log10(len(self.present) + 2)), first)

    # the one place where an opinion changes

    def _conclude(self, now_ns: int, peer: Peer, status: Opinion, incarnation: int, cause: str, by: NodeId) -> None:
        self._out.append(Emit(Verdict(peer.id, _STATUS[status], incarnation, cause, by)))
        if peer.status == FAILED and status == ALIVE:
            return  # only the table brings back the dead; until it does, they are told what they have to refute
        self.updates.put(Update(peer.id, status, incarnation, by))
        self._think(now_ns, peer, status, incarnation, by)

    def _think(self, now_ns: int, peer: Peer, status: Opinion, incarnation: int, by: NodeId = "") -> None:
        unchanged = status == peer.status and incarnation == peer.incarnation
        if unchanged:
            return
        self._end_suspicion(peer, withdrawn=status == ALIVE)
        if status == FAILED:
            self.present.discard(peer.id)
            self.failed.add(peer.id)
        else:
            self.failed.discard(peer.id)
            self.present.add(peer.id)
        peer.status, peer.incarnation = status, incarnation
        if status == SUSPECT:
            self.suspects += 1
            self.suspicions += 1
            peer.suspicion = Suspicion(now_ns, SuspicionTime(self._options, len(self.present) + 1), by)
            self._timers.set(("suspicion", peer.id), self._due_ns(peer, peer.suspicion))

    def _confirm(self, peer: Peer, suspicion: Suspicion, by: NodeId) -> None:
        """One more accuser; not the suspect itself."""
        if by != peer.id and suspicion.confirm(by):
            self.updates.put(Update(peer.id, SUSPECT, peer.incarnation, by))
            self._timers.set(("suspicion", peer.id), self._due_ns(peer, suspicion))

    def _due_ns(self, peer: Peer, suspicion: Suspicion) -> int:
        since_ns = max(suspicion.started_ns, peer.answered_ns, self._guard.resumed_ns)
        return since_ns + suspicion.length_ns() + REFUTATION_TURNS * self._guard.late_ns

    def _end_suspicion(self, peer: Peer, *, withdrawn: bool) -> None:
        if peer.suspicion is not None:
            peer.suspicion = None
            self.suspects -= 1
            self.withdrawn += withdrawn
            self._timers.cancel(("suspicion", peer.id))

    def _forget(self, peer: Peer) -> None:
        self._end_suspicion(peer, withdrawn=False)
        self.present.discard(peer.id)
        self.failed.discard(peer.id)
        self.updates.drop(peer.id)
        del self.peers[peer.id]
