"""The local-pause guard: a node that was away must not blame others for its own silence (learnt by Cassandra)."""

from mpreg_core import NS_PER_S


class PauseGuard:
    """When work comes much later than it was due (a stopped process, a suspended machine), old silence proves nothing.

    Every wait starts anew at `resumed_ns`, and nobody is accused until a heartbeat sent since was answered, or for one
    interval.
    """

    def __init__(self, interval_ns: int, now_ns: int) -> None:
        self._interval_ns = interval_ns
        self._late_ns = max(NS_PER_S, 2 * interval_ns)
        self._seen_ns = now_ns
        self.quiet_until_ns = now_ns
        self.resumed_ns = now_ns

    def pause_ended(self, now_ns: int, due_ns: int | None) -> bool:
        """True if this step comes after a pause: something was due long ago and no step came since."""
        paused = due_ns is not None and now_ns - max(due_ns, self._seen_ns) > self._late_ns
        self._seen_ns = now_ns
        if paused:
            self.resumed_ns = now_ns
            self.quiet_until_ns = now_ns + self._interval_ns
        return paused

    def answered(self, sent_ns: int) -> None:
        """A heartbeat sent at `sent_ns` was answered."""
        if sent_ns >= self.resumed_ns:
            self.quiet_until_ns = self.resumed_ns
