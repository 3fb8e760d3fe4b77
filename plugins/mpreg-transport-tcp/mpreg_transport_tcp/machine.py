"""What the transport decides, apart from what it does: whom to let in, when to try again, what to report and close.

Pure: time comes in as seconds of any steady clock, chance as a generator.
"""

from random import Random
from typing import Literal, NamedTuple

from mpreg_core import Endpoint, Evidence

BACKOFF_MIN_S = 0.05
BACKOFF_MAX_S = 5.0
ENDPOINTS_MAX = 4096  # endpoints that a table below remembers; the oldest entry goes first
EVIDENCE_PERIOD_S = 1.0


class Admission:
    """Counts inbound connections and lets in while there is room.

    Until half of the places are taken, anyone may come. From then on a host gets no more than its share: one host can
    take half of the table and no more, and every other one still finds its share of places.
    """

    def __init__(self, places: int, share: int) -> None:
        self._places = places
        self._share = share
        self._by_host: dict[str, int] = {}
        self._taken = 0

    def enter(self, host: str) -> bool:
        """True if a connection from `host` may stay; it counts until `leave`."""
        of_host = self._by_host.get(host, 0)
        if self._taken >= self._places or (self._taken >= self._places // 2 and of_host >= self._share):
            return False
        self._by_host[host] = of_host + 1
        self._taken += 1
        return True

    def leave(self, host: str) -> None:
        """A connection that was let in is gone."""
        self._taken -= 1
        self._by_host[host] -= 1
        if not self._by_host[host]:
            del self._by_host[host]


class _Failures(NamedTuple):
    attempts: int
    retry_at: float


class Backoff:
    """When a dead endpoint may be tried again: doubling from 50 ms to 5 s, each wait cut by up to half by chance.

    The chance keeps the many peers of a node that restarts from knocking all at once.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._failures: dict[Endpoint, _Failures] = {}

    def wait_s(self, to: Endpoint, now: float) -> float:
        """How long `to` is to be left alone from now on; 0 or less: not at all."""
        failures = self._failures.get(to)
        return failures.retry_at - now if failures else 0.0

    def failed(self, to: Endpoint, now: float) -> None:
        """An attempt failed."""
        failures = self._failures.pop(to, None)
        attempts = failures.attempts if failures else 0
        if len(self._failures) >= ENDPOINTS_MAX:
            del self._failures[next(iter(self._failures))]
        wait = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** min(attempts, 16)) * self._rng.uniform(0.5, 1.0)
        self._failures[to] = _Failures(attempts + 1, now + wait)

    def succeeded(self, to: Endpoint) -> None:
        """An attempt succeeded: the next failure begins anew."""
        self._failures.pop(to, None)


class EvidenceLimiter:
    """Lets each kind of evidence of an endpoint pass once a second.

    The kinds count apart: a `reset` must not hide the `refused` that follows it and says more.
    """

    def __init__(self) -> None:
        self._passed_at: dict[tuple[Endpoint, Evidence], float] = {}  # oldest first

    def passes(self, peer: Endpoint, evidence: Evidence, now: float) -> bool:
        """True if it is to be reported. With the table full of younger entries it is not."""
        key = (peer, evidence)
        passed_at = self._passed_at.get(key)
        if passed_at is not None and now - passed_at < EVIDENCE_PERIOD_S:
            return False
        self._passed_at.pop(key, None)
        if len(self._passed_at) >= ENDPOINTS_MAX:
            oldest = next(iter(self._passed_at))
            if now - self._passed_at[oldest] < EVIDENCE_PERIOD_S:
                return False
            del self._passed_at[oldest]
        self._passed_at[key] = now
        return True


class Watch:
    """Judges one connection, looked at from time to time; so reading and writing need no clock.

    `late`: a frame was begun and is not complete `timeout_s` after a look noticed it, or the first one of an inbound
    connection did not come in that time. `idle`: nothing came or went for `idle_s`.
    """

    __slots__ = ("_frames_in", "_idle_s", "_inbound", "_partial_since", "_timeout_s", "_writes", "active_at")

    def __init__(self, now: float, *, timeout_s: float, idle_s: float, inbound: bool) -> None:
        self.active_at = now
        self._timeout_s = timeout_s
        self._idle_s = idle_s
        self._inbound = inbound
        self._frames_in = 0
        self._writes = 0
        self._partial_since: float | None = None

    def look(self, now: float, frames_in: int, writes: int, *, partial: bool) -> Literal["", "late", "idle"]:
        """What is wrong, given how many frames came in and writes went out so far, and if a frame is half there."""
        if not partial:
            self._partial_since = None
        elif self._partial_since is None or frames_in != self._frames_in:
            self._partial_since = now
        if frames_in != self._frames_in or writes != self._writes:
            self.active_at, self._frames_in, self._writes = now, frames_in, writes
        if self._partial_since is not None and now - self._partial_since >= self._timeout_s:
            return "late"
        if self._inbound and not frames_in and now - self.active_at >= self._timeout_s:
            return "late"
        return "idle" if now - self.active_at >= self._idle_s else ""
