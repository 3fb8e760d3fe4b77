"""The phi accrual machine: ask each member watched once an interval, suspect it when its silence is too unlikely.

    tick             heartbeat to all that are watched (the next `watchers` on a ring), by datagram, one message
    + probe_timeout  whoever has not answered is asked again by stream (datagrams may be blocked)
    phi > threshold  suspect it, tell it so with every heartbeat, tell its other watchers
    suspicion        it refutes with a higher incarnation, or it is failed: after `suspicion_timeout` without an answer,
                     after one interval once a second watcher finds it silent too, at once if its port refuses

`arrivals` has the theory. In a calm network a crash is suspected within `probe_interval + acceptable_pause +
deviations * min_deviation` (5.6 deviations at threshold 8), and failed one interval later, or after `suspicion_timeout`
if there is only one watcher. In a bad network mean and deviation grow, up to what is still recorded as an interval:
`acceptable_pause + 2 * probe_interval`. A member that dies with all its watchers gets new ones as those are failed.
"""

from collections.abc import Sequence

from mpreg_core import (
    NOTHING,
    NS_PER_S,
    Effect,
    Effects,
    Emit,
    Evidence,
    Lane,
    Member,
    NodeId,
    RoundTrip,
    Send,
    StrategyContext,
    Verdict,
    ns,
)
from mpreg_core.detecting import ANSWER_TURNS, PauseGuard
from mpreg_detector_phi.arrivals import Arrivals, Model
from mpreg_detector_phi.messages import NOT_ACCUSED, Answer, Doubt, Heartbeat, PhiMessage
from mpreg_detector_phi.options import PhiOptions
from mpreg_detector_phi.peers import Peer, Peers
from mpreg_detector_phi.snapshot import Counts, PhiSnapshot
from mpreg_detector_phi.timers import Timers

HEAL_INTERVALS = 5
"""A failed member is asked once in this many intervals, one after the other."""

CONFIRM_AGAIN_NS = 1_100_000_000
"""The transport reports at most one piece of evidence a second for a peer: a question to confirm repeats after that."""

CONFIRM_NS = 3 * NS_PER_S
"""How long a refusal or reset is waited to be confirmed by a refusal."""

SENT_MAX = 64
"""Heartbeats whose time of sending is remembered; an answer to an older one gives no round trip."""

ACCUSERS_TOLD_MAX = 32
"""Members that are told at once of a refutation; the others learn it from the pool's gossip."""


class Phi:
    """The failure detector `phi`. See the module for the algorithm, `Peers` for who is thought what of."""

    def __init__(self, context: StrategyContext, options: PhiOptions) -> None:
        self._me = context.me.id
        self._incarnation = context.me.incarnation
        self._rng = context.rng
        self._watchers = options.watchers
        self._interval_ns = ns(options.probe_interval)
        self._timeout_ns = ns(options.probe_timeout)
        self._model = Model(options)
        self._now_ns = context.now_ns
        self._out: list[Effect] = []
        self._timers = Timers()
        self._guard = PauseGuard(self._interval_ns, context.now_ns)
        self._peers = Peers(context.me, options, self._timers, self._guard, self._out)
        self._watched: tuple[Peer, ...] = ()
        self._seq = 0
        self._sent_ns: dict[int, int] = {}  # seq -> when, the last SENT_MAX
        self._ticks = 0
        self._accusers: list[NodeId] = []  # to be told of the refutation
        self._counts = Counts()
        # Nodes that start together do not ask together.
        self._timers.set(("tick", ""), context.now_ns + 1 + self._rng.randrange(self._interval_ns))

    # inputs

    def on_message(self, now_ns: int, sender: NodeId, message: PhiMessage) -> Effects:
        """Answer heartbeats, record answers, hear other watchers. Unknown senders are dropped and counted."""
        self._begin(now_ns)
        peer = self._peers.by_id.get(sender)
        if peer is None:
            self._counts.strangers += 1
        elif isinstance(message, Heartbeat):
            self._on_heartbeat(peer, message)
        elif isinstance(message, Answer):
            self._on_answer(peer, message)
        else:
            self._on_doubt(peer, message)
        return self._end()

    def on_deadline(self, now_ns: int) -> Effects:
        """Whatever is due: heartbeats, their repetition, doubts, suspicions."""
        self._begin(now_ns)
        while (key := self._timers.pop(now_ns)) is not None:
            kind, of = key
            if kind == "tick":
                self._on_tick()
            elif isinstance(of, int):
                self._on_no_answer(of)
            elif kind == "phi":
                self._on_silence(self._peers.by_id[of])
            elif kind == "confirm":
                self._on_confirm_again(self._peers.by_id[of])
            else:
                self._peers.suspicion_is_due(now_ns, self._peers.by_id[of])
        return self._end()

    def next_deadline(self) -> int | None:
        """The earliest timer, ns."""
        return self._timers.next()

    def on_members(self, now_ns: int, members: Sequence[Member]) -> Effects:
        """Take over the table's records; ask those who were accused elsewhere; refute to one's own accusers."""
        self._begin(now_ns)
        for member in members:
            if member.id != self._me:
                suspect = self._peers.adopt(now_ns, member)
                if suspect is not None:
                    self._second_opinion(suspect)
            elif member.incarnation > self._incarnation:
                self._incarnation = member.incarnation
                if self._accusers:
                    self._out.append(Send(tuple(self._accusers), Answer(0, self._incarnation)))
                    self._accusers.clear()
        return self._end()

    def on_evidence(self, now_ns: int, peer: NodeId, evidence: Evidence) -> Effects:
        """Confirm at once what the network said.

        `refused` and `reset` ask by both lanes; a refusal before an answer convicts: the host lives and says that the
        process does not. `unreachable` asks by stream. `heard` changes nothing: only answers are counted, as only
        those come once an interval.
        """
        self._begin(now_ns)
        known = self._peers.by_id.get(peer)
        if known is not None and known.status != "failed":
            if evidence == "unreachable":
                self._ask(known, "stream")
            elif evidence != "heard":
                self._on_refusal(known, certain=evidence == "refused")
        return self._end()

    def on_leave(self, now_ns: int) -> Effects:
        """Core announces the departure. This machine judges nobody any more, and answers as long as it is asked."""
        for peer in self._watched:
            peer.arrivals = None
        self._watched = ()
        self._timers.clear()
        return NOTHING

    def snapshot(self) -> PhiSnapshot:
        """Counters, and the level of the most suspicious."""
        peers = self._peers
        levels = [p.arrivals.phi(self._now_ns - self._since_ns(p)) for p in self._watched if p.arrivals is not None]
        return PhiSnapshot(
            present=len(peers.present) - 1,
            watched=len(self._watched),
            suspects=peers.suspects,
            failed=len(peers.failed),
            phi_max=min(max(levels, default=0.0), 1000.0),
            quiet=self._now_ns < self._guard.quiet_until_ns,
            timers=len(self._timers),
            suspicions=peers.suspicions,
            withdrawn=peers.withdrawn,
            convictions=peers.convictions,
            stale=peers.stale,
            counts={name: getattr(self._counts, name) for name in Counts.__struct_fields__},
        )

    # asking

    def _on_tick(self) -> None:
        self._timers.set(("tick", ""), self._now_ns + self._interval_ns)
        self._ticks += 1
        quiet_ones = tuple(peer.id for peer in self._watched if not peer.accused())
        seq = self._next_seq()
        if quiet_ones:
            self._counts.heartbeats += len(quiet_ones)
            self._out.append(Send(quiet_ones, Heartbeat(seq)))
            self._timers.set(("repeat", seq), self._now_ns + self._timeout_ns)
        for peer in self._watched:
            if peer.accused():
                self._ask(peer, "stream" if self._ticks % 2 else "datagram")
        if self._ticks % HEAL_INTERVALS == 0 and self._peers.failed:
            failed = next(iter(self._peers.failed))
            self._peers.failed.move_to_end(failed)
            self._ask(self._peers.by_id[failed], "datagram")

    def _on_no_answer(self, seq: int) -> None:
        """Those who have answered neither this heartbeat nor a later one are asked by stream."""
        silent = tuple(peer.id for peer in self._watched if peer.answered_seq < seq and not peer.accused())
        if silent:
            self._counts.heartbeats += len(silent)
            self._out.append(Send(silent, Heartbeat(seq, stream=True), "stream"))

    def _ask(self, peer: Peer, lane: Lane) -> None:
        """A heartbeat out of turn; the receiver learns what it is accused of."""
        self._counts.heartbeats += 1
        heartbeat = Heartbeat(self._next_seq(), lane == "stream", _accusation(peer))
        self._out.append(Send((peer.id,), heartbeat, lane))

    def _second_opinion(self, peer: Peer) -> None:
        """Others suspect a member. A few of the pool ask it at once: it learns of it and can refute."""
        if peer.arrivals is not None or self._rng.random() * len(self._peers.present) < 2 * self._watchers:
            self._ask(peer, "datagram")

    # answering

    def _on_heartbeat(self, peer: Peer, heartbeat: Heartbeat) -> None:
        self._hear_accusation(peer, heartbeat.accused)
        answer = Answer(heartbeat.seq, self._incarnation, heartbeat.stream, _accusation(peer))
        self._out.append(Send((peer.id,), answer, "stream" if heartbeat.stream else "datagram"))

    def _hear_accusation(self, peer: Peer, accused: int) -> None:
        """Core's table refutes, and `on_members` brings the new incarnation."""
        if accused < self._incarnation:
            return
        self._counts.accusations += 1
        self._out.append(Emit(Verdict(self._me, "suspect", accused, "phi", peer.id)))
        if peer.id not in self._accusers and len(self._accusers) < ACCUSERS_TOLD_MAX:
            self._accusers.append(peer.id)

    # judging

    def _on_answer(self, peer: Peer, answer: Answer) -> None:
        self._hear_accusation(peer, answer.accused)
        if not peer.answered_seq < answer.seq <= self._seq:
            # Late, doubled, or a refutation that nobody asked for: no interval, and alive no later than known.
            self._counts.answers_late += 1
            if answer.incarnation > peer.incarnation:
                self._peers.answers(self._now_ns, peer, answer.incarnation)
            return
        self._counts.answers += 1
        self._counts.answers_by_stream += answer.stream
        peer.answered_seq = answer.seq
        sent_ns = self._sent_ns.get(answer.seq)
        if sent_ns is not None:
            self._guard.answered(sent_ns)
            if not answer.stream:
                self._out.append(Emit(RoundTrip(peer.id, max(1, self._now_ns - sent_ns))))
        if peer.arrivals is not None and peer.heard_ns >= peer.grace_ns:
            peer.arrivals.add(self._now_ns - peer.heard_ns)
        self._peers.answers(self._now_ns, peer, answer.incarnation)
        self._timers.cancel(("confirm", peer.id))
        self._await(peer)

    def _on_silence(self, peer: Peer) -> None:
        """Phi may have reached the threshold; after a pause of this node it starts from there."""
        due_ns = self._due_ns(peer)
        if due_ns > self._now_ns:
            self._timers.set(("phi", peer.id), due_ns)
            return
        self._peers.doubt(self._now_ns, peer, self._me)
        others = tuple(w for w in self._peers.present.predecessors(peer.id, self._watchers) if w != self._me)
        if others:
            self._counts.doubts += 1
            self._out.append(Send(others, Doubt(peer.id, peer.incarnation)))
        self._ask(peer, "stream")
        # As long as it is silent and watched: the message to the others may be lost, a refutation may be its last word.
        self._timers.set(("phi", peer.id), self._now_ns + self._interval_ns)

    def _on_doubt(self, sender: Peer, doubt: Doubt) -> None:
        peer = self._peers.by_id.get(doubt.peer)
        if peer is None or peer is sender or peer.incarnation != doubt.incarnation or peer.status == "failed":
            self._peers.stale += 1
            return
        was_alive = peer.status == "alive"
        self._peers.doubt(self._now_ns, peer, sender.id)
        if was_alive:
            self._second_opinion(peer)

    def _on_refusal(self, peer: Peer, *, certain: bool) -> None:
        """A process that was convicted by refusals and refuted is behind a filter: its refusals prove nothing."""
        self._counts.refusals += 1
        if peer.refusing_process == peer.started_ms:
            self._ask(peer, "stream")
        elif self._now_ns >= peer.confirm_until_ns:
            peer.confirm_until_ns = self._now_ns + CONFIRM_NS
            self._on_confirm_again(peer)
        elif certain and self._now_ns >= self._guard.quiet_until_ns:
            peer.refusing_process, peer.confirm_until_ns = peer.started_ms, 0
            self._timers.cancel(("confirm", peer.id))
            self._peers.convict(self._now_ns, peer, "refused")

    def _on_confirm_again(self, peer: Peer) -> None:
        """Provoke an answer or a second refusal."""
        if self._now_ns < peer.confirm_until_ns and peer.status != "failed":
            self._ask(peer, "datagram")
            self._ask(peer, "stream")
            self._timers.set(("confirm", peer.id), self._now_ns + CONFIRM_AGAIN_NS)

    # watching

    def _rewatch(self) -> None:
        """The ring changed: watch its next members, forget what was measured of the others."""
        watched = tuple(self._peers.by_id[p] for p in self._peers.present.successors(self._me, self._watchers))
        chosen = {peer.id for peer in watched}
        for peer in self._watched:
            if peer.id not in chosen:
                peer.arrivals = None
                self._timers.cancel(("phi", peer.id))
        self._watched = watched
        for peer in watched:
            if peer.arrivals is None:
                peer.arrivals = Arrivals(self._model)
                peer.grace_ns = self._now_ns
                self._await(peer)

    def _await(self, peer: Peer) -> None:
        if peer.arrivals is not None:
            self._timers.set(("phi", peer.id), self._due_ns(peer))

    def _due_ns(self, peer: Peer) -> int:
        """When phi of a watched member reaches the threshold, not before this node may accuse."""
        assert peer.arrivals is not None
        patience_ns = peer.arrivals.patience_ns() + ANSWER_TURNS * self._guard.late_ns
        return max(self._since_ns(peer) + patience_ns, self._guard.quiet_until_ns)

    def _since_ns(self, peer: Peer) -> int:
        return max(peer.heard_ns, peer.grace_ns, self._guard.resumed_ns)

    # steps

    def _begin(self, now_ns: int) -> None:
        self._now_ns = now_ns
        if self._guard.pause_ended(now_ns, self._timers.next()):
            self._counts.pauses += 1

    def _end(self) -> Effects:
        if self._peers.changed:
            self._peers.changed = False
            self._rewatch()
        if not self._out:
            return NOTHING
        effects = tuple(self._out)
        self._out.clear()
        return effects

    def _next_seq(self) -> int:
        self._seq += 1
        self._sent_ns[self._seq] = self._now_ns
        if len(self._sent_ns) > SENT_MAX:
            del self._sent_ns[self._seq - SENT_MAX]
        return self._seq


def _accusation(peer: Peer) -> int:
    return peer.incarnation if peer.accused() else NOT_ACCUSED
