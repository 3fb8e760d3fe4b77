"""What failure detectors share: a node must not blame others for what it missed itself."""

from mpreg_core.units import NS_PER_S

LATE_DECAY = 4
"""A node that is in time again forgets a lateness in so many times its length."""

ANSWER_TURNS = 2
"""How many turns of a late node's event loop an answer may take beyond its time: to be sent, and to be read."""

REFUTATION_TURNS = 4
"""The same for a refutation: the accusation takes as many as the answer to it."""


class PauseGuard:
    """A node that was away (stopped process, suspended machine, jumped clock) must not blame others for it.

    Cassandra's local-pause guard: when work comes much later than it was due, what was pending then proves nothing.
    Every wait starts anew at `resumed_ns`, and the node accuses nobody before `quiet_until_ns`: until something that it
    sent since was answered, or for one interval.

    Short of that, a node whose own timers come late has more to do than it can, and so, often, has its whole machine:
    `late_ns` is by how much they came late of late, and every wait for somebody else is longer by turns of that length.
    """

    def __init__(self, interval_ns: int, now_ns: int) -> None:
        self._interval_ns = interval_ns
        self._late_ns = max(NS_PER_S, 2 * interval_ns)
        self._seen_ns = now_ns
        self.quiet_until_ns = now_ns
        self.resumed_ns = now_ns
        self.late_ns = 0

    def pause_ended(self, now_ns: int, due_ns: int | None) -> bool:
        """True if this step comes after a pause: something was due long ago and no step came since."""
        paused = due_ns is not None and now_ns - max(due_ns, self._seen_ns) > self._late_ns
        late_ns = 0 if due_ns is None else min(now_ns - due_ns, self._late_ns)
        self.late_ns = max(0, late_ns, self.late_ns - (now_ns - self._seen_ns) // LATE_DECAY)
        self._seen_ns = now_ns
        if paused:
            self.late_ns = 0
            self.resumed_ns = now_ns
            self.quiet_until_ns = now_ns + self._interval_ns
        return paused

    def answered(self, sent_ns: int) -> None:
        """What was sent at `sent_ns` was answered directly."""
        if sent_ns >= self.resumed_ns:
            self.quiet_until_ns = self.resumed_ns

    def quiet(self, now_ns: int) -> bool:
        """True while this node accuses nobody."""
        return now_ns < self.quiet_until_ns
