"""This node's own probes: direct, then with help and by stream, then a verdict.

A probe goes to one member. No member has two open at once: when its turn comes again before the time-out (the
interval may be shorter) the open probe pings again, which is one more chance for an answer.
"""

from collections.abc import Callable

from mpreg_core import NS_PER_S, Effect, Emit, Lane, NodeId, RoundTrip, Send, ns
from mpreg_core.detecting import ANSWER_TURNS, PauseGuard
from mpreg_detector_swim.awareness import Awareness
from mpreg_detector_swim.messages import ALIVE, FAILED, SUSPECT, Ack, News, Ping, PingRequest, Update
from mpreg_detector_swim.opinions import Opinions, Peer
from mpreg_detector_swim.options import SwimOptions
from mpreg_detector_swim.probes import PROBES_MAX, Counts, Probe
from mpreg_detector_swim.timers import Timers

HEAL_INTERVALS = 5
"""A failed member is probed once in this many probe intervals, one after the other."""

CONFIRM_AGAIN_NS = 1_100_000_000
"""The transport reports at most one piece of evidence a second for a peer: a confirming probe repeats after that."""

CONFIRM_NS = 3 * NS_PER_S
"""How long a refusal or reset is waited to be confirmed by a refusal."""


SWEEP_FROM = 3
"""So many suspects at once are more likely a cut than single deaths: nobody waits for their turn to be found."""

SWEEP_MAX = 32
SWEEP_INTERVALS = 10
"""A sweep probes so many members at most, and the next one comes after so many probe intervals."""


class Prober:
    """Open probes by seq. Effects are appended to `out`."""

    def __init__(
        self,
        options: SwimOptions,
        opinions: Opinions,
        timers: Timers,
        guard: PauseGuard,
        awareness: Awareness,
        counts: Counts,
        next_seq: Callable[[], int],
        out: list[Effect],
    ) -> None:
        self._helpers = options.indirect_checks
        self._interval_ns = ns(options.probe_interval)
        self._timeout_ns = ns(options.probe_timeout)
        self._opinions = opinions
        self._timers = timers
        self._guard = guard
        self._awareness = awareness
        self._counts = counts
        self._next_seq = next_seq
        self._out = out
        self._open: dict[int, Probe] = {}
        self._sweep_ns = 0

    def __len__(self) -> int:
        return len(self._open)

    # what starts a probe

    def on_tick(self, now_ns: int) -> None:
        """The next member of the round."""
        self._timers.set(("tick", 0), now_ns + self._awareness.scale(self._interval_ns))
        target = self._opinions.present.draw()
        if target is not None:
            self.probe(now_ns, self._opinions.peers[target])

    def on_heal_tick(self, now_ns: int) -> None:
        """A failed member that answers is alive, or it is again: this is how a partition heals."""
        self._timers.set(("heal", 0), now_ns + HEAL_INTERVALS * self._interval_ns)
        target = self._opinions.failed.draw()
        if target is not None:
            self.probe(now_ns, self._opinions.peers[target], heals=True)

    def sweep_if_many(self, now_ns: int) -> None:
        """Where several members are suspected, probe the others that were not heard of for an interval, all at once."""
        opinions = self._opinions
        if now_ns < self._sweep_ns or self._guard.quiet(now_ns):
            return
        self._sweep_ns = now_ns + SWEEP_INTERVALS * self._interval_ns
        self._counts.sweeps += 1
        for name in opinions.present.sample(SWEEP_MAX, ()):
            peer = opinions.peers[name]
            if peer.status == ALIVE and peer.probe is None and now_ns - peer.answered_ns > self._interval_ns:
                self.probe(now_ns, peer)

    def second_opinion(self, now_ns: int, target: NodeId, asker: NodeId) -> None:
        """`asker` suspects `target`: probe it out of turn and tell the asker if that fails too."""
        peer = self._opinions.peers.get(target)
        if peer is None or peer.status == FAILED:
            return
        if peer.suspicion is not None and self._opinions.me in peer.suspicion.accusers:
            return
        probe = self._open.get(peer.probe) if peer.probe is not None else self.probe(now_ns, peer)
        if probe is not None and not probe.asker:
            probe.asker = asker

    def unreachable(self, now_ns: int, peer: Peer) -> None:
        """The network cannot reach a member, at least from here."""
        if peer.probe is None:
            self.probe(now_ns, peer)

    def refused(self, now_ns: int, peer: Peer, *, certain: bool) -> None:
        """A member's port refused (`certain`) or a connection to it broke: confirm by both lanes, or convict.

        A process that was convicted this way and refuted lives behind a filter which refuses this node alone. Its
        refusals prove nothing any more; the helpers see it.
        """
        self._counts.refusals += 1
        probe = self._open.get(peer.probe) if peer.probe is not None else None
        if peer.refusing_process == peer.started_ms:
            self.unreachable(now_ns, peer)
        elif probe is None or not probe.confirm_until_ns:
            probe = self.probe(now_ns, peer)
            if probe is not None:
                probe.confirm_until_ns = now_ns + CONFIRM_NS
                self._ping(peer, probe, "stream")
                self._timers.set(("confirm", probe.seq), now_ns + CONFIRM_AGAIN_NS)
        elif certain and not self._guard.quiet(now_ns):
            self._close(probe)
            peer.refusing_process = peer.started_ms
            self._opinions.convict(now_ns, peer, "refused")

    def probe(self, now_ns: int, peer: Peer, *, heals: bool = False) -> Probe | None:
        """Ping a member under a new probe or its open one. None if too many are open."""
        if peer.probe is not None:
            probe = self._open[peer.probe]
        elif len(self._open) >= PROBES_MAX:
            return None
        else:
            probe = Probe(self._next_seq(), peer.id, now_ns, heals=heals)
            peer.probe = probe.seq
            self._open[probe.seq] = probe
            self._counts.probes += 1
            if heals:
                self._timers.set(("probe", probe.seq), now_ns + 2 * self._timeout_ns)
            else:
                self._timers.set(("ask", probe.seq), now_ns + self._patience_ns())
        self._ping(peer, probe, "datagram")
        return probe

    # what moves it on

    def on_ask(self, now_ns: int, seq: int) -> None:
        """No ack in time: the datagram, the way or the member may be lost. Helpers and the stream tell which."""
        probe = self._open[seq]
        self._timers.set(("probe", seq), now_ns + self._patience_ns())
        peer = self._opinions.peers.get(probe.target)
        if peer is None:
            return
        sample = self._opinions.present.sample(self._helpers, (peer.id,))
        helpers = tuple(helper for helper in sample if self._opinions.peers[helper].status == ALIVE)
        if helpers:
            probe.helpers = dict.fromkeys(helpers, False)
            request = PingRequest(seq, peer.id, peer.incarnation, self._opinions.piggyback(None))
            self._out.append(Send(helpers, request))
        self._ping(peer, probe, "stream")

    def on_confirm_again(self, now_ns: int, seq: int) -> None:
        """No second refusal was reported yet: provoke one that is."""
        probe = self._open[seq]
        peer = self._opinions.peers.get(probe.target)
        if peer is not None and now_ns < probe.confirm_until_ns:
            self._ping(peer, probe, "datagram")
            self._ping(peer, probe, "stream")
            self._timers.set(("confirm", seq), now_ns + CONFIRM_AGAIN_NS)

    def on_nack(self, helper: NodeId, seq: int) -> None:
        """A helper is there, and saw no ack either."""
        probe = self._open.get(seq)
        if probe is not None and helper in probe.helpers:
            probe.helpers[helper] = True
            self._counts.nacks += 1

    def on_not_me(self, now_ns: int, sender: NodeId, seq: int) -> None:
        """Another process answered from the member's address: as good as a refusal."""
        probe = self._open.get(seq)
        peer = self._opinions.peers.get(probe.target) if probe is not None else None
        if peer is not None and peer.id != sender and peer.status != FAILED:
            self.refused(now_ns, peer, certain=True)

    # what ends it

    def on_ack(self, now_ns: int, sender: NodeId, ack: Ack) -> None:
        """The member answered, or a helper says that it did."""
        probe = self._open.get(ack.seq)
        if probe is None or (sender != probe.target and sender not in probe.helpers):
            self._counts.acks_unexpected += 1
            return
        self._close(probe)
        peer = self._opinions.peers.get(probe.target)
        if peer is None:
            return
        if sender == probe.target:
            self._counts.acks += 1
            self._counts.acks_by_stream += ack.stream
            self._guard.answered(probe.sent_ns)
            peer.answered_ns = now_ns
            if probe.pings == 1:  # else it is not known which ping was answered (Karn's rule)
                self._out.append(Emit(RoundTrip(peer.id, now_ns - probe.sent_ns)))
        else:
            self._counts.acks_indirect += 1
        if not probe.heals:
            self._awareness.better()
        self._opinions.answers(now_ns, peer, ack.incarnation)

    def on_over(self, now_ns: int, seq: int) -> None:
        """Neither the member nor a helper answered in time."""
        probe = self._open[seq]
        if now_ns < probe.confirm_until_ns:
            self._timers.set(("probe", seq), probe.confirm_until_ns)
            return
        self._close(probe)
        peer = self._opinions.peers.get(probe.target)
        if peer is None or probe.heals:
            return
        self._counts.probes_failed += 1
        self._awareness.worse(sum(not nacked for nacked in probe.helpers.values()) if probe.helpers else 1)
        if not self._guard.quiet(now_ns):
            self._accuse(now_ns, peer, probe)

    def void(self) -> None:
        """This node was away: what is open proves nothing."""
        for probe in list(self._open.values()):
            self._close(probe)

    def _patience_ns(self) -> int:
        return self._awareness.scale(self._timeout_ns) + ANSWER_TURNS * self._guard.late_ns

    def _accuse(self, now_ns: int, peer: Peer, probe: Probe) -> None:
        first = peer.status == ALIVE
        self._opinions.accuse(now_ns, peer)
        if peer.suspicion is None or self._opinions.me not in peer.suspicion.accusers:
            return
        news = News((Update(peer.id, SUSPECT, peer.incarnation, self._opinions.me),))
        if probe.asker:
            self._out.append(Send((probe.asker,), news))
        elif first and (others := self._opinions.present.sample(self._helpers, (peer.id,))):
            # Not by piggyback: confirmations that trickle in over many probe intervals would shorten nothing.
            self._out.append(Send(others, news))

    def _ping(self, peer: Peer, probe: Probe, lane: Lane) -> None:
        probe.pings += 1
        updates = self._opinions.piggyback(peer)
        self._out.append(Send((peer.id,), Ping(probe.seq, peer.id, peer.incarnation, lane == "stream", updates), lane))

    def _close(self, probe: Probe) -> None:
        del self._open[probe.seq]
        for kind in ("ask", "probe", "confirm"):
            self._timers.cancel((kind, probe.seq))
        peer = self._opinions.peers.get(probe.target)
        if peer is not None and peer.probe == probe.seq:
            peer.probe = None
