"""The SWIM machine: one probe each interval, help before doubt, suspicion before conviction.

    tick          ping the next member of the round
    + timeout     no ack: ask `indirect_checks` helpers to ping it, and ping it by stream (datagrams may be blocked)
    + timeout     still none: suspect it, tell it so on every message, ask others for a second opinion
    suspicion     it refutes with a higher incarnation, or it is convicted

Das, Gupta, Motivala: SWIM (DSN 2002); Dadgar, Phillips, Currey: Lifeguard (arXiv 1707.00788). Beyond both: what the
kernel knows (a refused port is proof that a process died; `witness` keeps the connections that tell it), and slow
probes of failed members, so that partitions heal.

In a pool of n whose messages arrive, a crash is known to the first member after 1.6 intervals on average, and is
convicted at the latest after (2n - 3) * probe_interval + 2 * probe_timeout + suspicion_timeout. A node in trouble
(`awareness_max`) takes up to that many times longer.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from mpreg_core import NOTHING, Effect, Effects, Evidence, Lane, Member, NodeId, Send, StrategyContext, ns
from mpreg_core.detecting import PauseGuard
from mpreg_detector_swim.awareness import Awareness
from mpreg_detector_swim.messages import (
    ALIVE,
    FAILED,
    SUSPECT,
    Ack,
    Nack,
    News,
    NotMe,
    Ping,
    PingRequest,
    SwimMessage,
    Update,
)
from mpreg_detector_swim.opinions import Opinions, Peer
from mpreg_detector_swim.options import SwimOptions
from mpreg_detector_swim.prober import HEAL_INTERVALS, SWEEP_FROM, Prober
from mpreg_detector_swim.probes import RELAYS_MAX, Counts, Relay
from mpreg_detector_swim.timers import Timers
from mpreg_detector_swim.witness import Witness

NACK_AT = 0.8
"""A helper sends its nack after this part of the time-out, so that it arrives before the asker gives up."""

ACCUSERS_TOLD_MAX = 32
"""Members that are told at once of a refutation; the others learn it from the pool's gossip."""


class SwimSnapshot(Struct, frozen=True):
    """The machine at a glance. `awareness` is 0 for a healthy node, `quiet` after a pause."""

    present: int
    suspects: int
    failed: int
    awareness: int
    quiet: bool
    probes_open: int
    relays_open: int
    timers: int
    updates_queued: int
    suspicions: int
    withdrawn: int
    convictions: int
    stale: int
    counts: dict[str, int]


class Swim:
    """The failure detector `swim`: its inputs, its answers to others and its probes in others' stead."""

    def __init__(self, context: StrategyContext, options: SwimOptions) -> None:
        rng, now_ns = context.rng, context.now_ns
        interval_ns = ns(options.probe_interval)
        self._me = context.me.id
        self._nack_after_ns = max(1, round(NACK_AT * ns(options.probe_timeout)))
        self._now_ns = now_ns
        self._out: list[Effect] = []
        self._timers = Timers()
        self._guard = PauseGuard(interval_ns, now_ns)
        self._awareness = Awareness(options.awareness_max)
        self._counts = Counts()
        self._opinions = Opinions(context.me, options, self._timers, rng, self._guard, self._out)
        self._prober = Prober(
            options,
            self._opinions,
            self._timers,
            self._guard,
            self._awareness,
            self._counts,
            self._next_seq,
            self._out,
        )
        self._witness = Witness(self._me, self._timers, self._out)
        self._relays: dict[int, Relay] = {}
        self._seq = rng.getrandbits(32)  # an ack to an earlier life of this node matches nothing
        self._accusers: list[NodeId] = []  # to be told of the refutation
        self._accused_at = -1  # highest incarnation at which this node was accused
        # Nodes that start together do not probe together.
        self._timers.set(("tick", 0), now_ns + 1 + rng.randrange(interval_ns))
        self._timers.set(("heal", 0), now_ns + 1 + rng.randrange(HEAL_INTERVALS * interval_ns))
        self._act: dict[str, Callable[[int, int], None]] = {
            "tick": lambda now_ns, _: self._prober.on_tick(now_ns),
            "heal": lambda now_ns, _: self._prober.on_heal_tick(now_ns),
            "ask": self._prober.on_ask,
            "probe": self._prober.on_over,
            "confirm": self._prober.on_confirm_again,
            "relay": self._on_relay_over,
            "witness": lambda now_ns, _: self._witness.on_due(now_ns, self._opinions.present),
        }

    # inputs

    def on_message(self, now_ns: int, sender: NodeId, message: SwimMessage) -> Effects:
        """Answer pings, match acks, take in updates. Senders that the table does not know are dropped and counted."""
        self._begin(now_ns)
        peer = self._opinions.peers.get(sender)
        if peer is None:
            self._counts.strangers += 1
        elif isinstance(message, Ping):
            self._on_ping(peer, message)
        elif isinstance(message, Ack):
            self._on_ack(peer, message)
        elif isinstance(message, PingRequest):
            self._on_ping_request(peer, message)
        elif isinstance(message, Nack):
            self._prober.on_nack(sender, message.seq)
        elif isinstance(message, NotMe):
            self._prober.on_not_me(now_ns, sender, message.seq)
        else:
            self._on_news(peer, message)
        return self._end()

    def on_deadline(self, now_ns: int) -> Effects:
        """Whatever is due: the next probe, escalations, nacks, suspicions."""
        self._begin(now_ns)
        while (key := self._timers.pop(now_ns)) is not None:
            kind, of = key
            if isinstance(of, int):
                self._act[kind](now_ns, of)
            else:
                self._opinions.suspicion_is_due(now_ns, self._opinions.peers[of])
        return self._end()

    def next_deadline(self) -> int | None:
        """The earliest timer, ns."""
        return self._timers.next()

    def on_members(self, now_ns: int, members: Sequence[Member]) -> Effects:
        """Take over the table's records; tell those who accused this node that it refuted."""
        self._begin(now_ns)
        for member in members:
            if member.id != self._me:
                self._opinions.adopt(now_ns, member)
            elif self._opinions.adopt_own(member) and self._accusers:
                self._out.append(Send(tuple(self._accusers), News((self._opinions.own_update(),))))
                self._accusers.clear()
        self._witness.on_change(now_ns)
        return self._end()

    def on_evidence(self, now_ns: int, peer: NodeId, evidence: Evidence) -> Effects:
        """Confirm at once what the network said.

        `refused` and `reset` start a probe on both lanes; a refusal while it is open convicts: the host lives and says
        that the process does not. `unreachable` starts an ordinary probe. `heard` changes nothing: a frame in a socket
        buffer may be older than the death it seems to deny, and a suspicion ends by refutation alone.
        """
        self._begin(now_ns)
        known = self._opinions.peers.get(peer)
        if known is not None and known.status != FAILED:
            if evidence == "unreachable":
                self._prober.unreachable(now_ns, known)
            elif evidence != "heard":
                self._prober.refused(now_ns, known, certain=evidence == "refused")
        return self._end()

    def on_leave(self, now_ns: int) -> Effects:
        """Core announces the departure. This machine judges nobody any more, and answers as long as it is asked."""
        self._prober.void()
        self._relays.clear()
        self._timers.clear()
        return NOTHING

    def snapshot(self) -> SwimSnapshot:
        """Counters and queue lengths."""
        opinions = self._opinions
        return SwimSnapshot(
            present=len(opinions.present),
            suspects=opinions.suspects,
            failed=len(opinions.failed),
            awareness=self._awareness.score,
            quiet=self._guard.quiet(self._now_ns),
            probes_open=len(self._prober),
            relays_open=len(self._relays),
            timers=len(self._timers),
            updates_queued=len(opinions.updates),
            suspicions=opinions.suspicions,
            withdrawn=opinions.withdrawn,
            convictions=opinions.convictions,
            stale=opinions.stale,
            counts={name: getattr(self._counts, name) for name in Counts.__struct_fields__},
        )

    # messages

    def _on_ping(self, peer: Peer, ping: Ping) -> None:
        lane: Lane = "stream" if ping.stream else "datagram"
        if ping.target != self._me:
            self._counts.misdirected += 1
            self._out.append(Send((peer.id,), NotMe(ping.seq), lane))
            return
        if ping.incarnation > self._opinions.incarnation:
            # The pool remembers an earlier life that had come further: this one has to get above it to be heard.
            self._on_accusation(peer, Update(self._me, SUSPECT, ping.incarnation, peer.id))
        self._hear(peer, ping.updates)
        ack = Ack(ping.seq, self._opinions.incarnation, ping.stream, self._opinions.piggyback(peer))
        self._out.append(Send((peer.id,), ack, lane))

    def _on_ack(self, peer: Peer, ack: Ack) -> None:
        self._hear(peer, ack.updates)
        relay = self._relays.get(ack.seq)
        if relay is None:
            self._prober.on_ack(self._now_ns, peer.id, ack)
        elif relay.target == peer.id:
            del self._relays[ack.seq]
            self._timers.cancel(("relay", ack.seq))
            self._out.append(Send((relay.asker,), Ack(relay.asker_seq, ack.incarnation)))

    def _on_ping_request(self, peer: Peer, request: PingRequest) -> None:
        self._hear(peer, request.updates)
        target = self._opinions.peers.get(request.target)
        if target is None or len(self._relays) >= RELAYS_MAX:
            self._counts.relays_refused += 1
            self._out.append(Send((peer.id,), Nack(request.seq)))
            return
        seq = self._next_seq()
        self._relays[seq] = Relay(peer.id, request.seq, target.id)
        self._timers.set(("relay", seq), self._now_ns + self._nack_after_ns)
        ping = Ping(seq, target.id, request.incarnation, updates=self._opinions.piggyback(target))
        self._out.append(Send((target.id,), ping))

    def _on_relay_over(self, now_ns: int, seq: int) -> None:
        relay = self._relays.pop(seq)
        self._out.append(Send((relay.asker,), Nack(relay.asker_seq)))

    def _on_news(self, peer: Peer, news: News) -> None:
        self._hear(peer, news.updates)
        for update in news.updates:
            if update.status == SUSPECT and update.by == peer.id:
                self._prober.second_opinion(self._now_ns, update.peer, peer.id)

    def _hear(self, peer: Peer, updates: tuple[Update, ...]) -> None:
        for update in updates:
            if update.peer != self._me:
                self._opinions.hear(self._now_ns, update)
            elif update.status != ALIVE:
                self._on_accusation(peer, update)

    def _on_accusation(self, peer: Peer, update: Update) -> None:
        """Core's table refutes, and `on_members` brings the new incarnation."""
        if not self._opinions.accused(update):
            self._opinions.updates.put(self._opinions.own_update())  # refuted before, and missed
            return
        self._counts.accusations += 1
        if update.incarnation > self._accused_at:
            self._accused_at = update.incarnation
            self._awareness.worse()
        if peer.id not in self._accusers and len(self._accusers) < ACCUSERS_TOLD_MAX:
            self._accusers.append(peer.id)

    # steps

    def _begin(self, now_ns: int) -> None:
        self._now_ns = now_ns
        if self._guard.pause_ended(now_ns, self._timers.next()):
            self._counts.pauses += 1
            self._prober.void()
            for seq in self._relays:
                self._timers.cancel(("relay", seq))
            self._relays.clear()

    def _end(self) -> Effects:
        if self._opinions.suspects >= SWEEP_FROM:
            self._prober.sweep_if_many(self._now_ns)
        if not self._out:
            return NOTHING
        effects = tuple(self._out)
        self._out.clear()
        return effects

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq
