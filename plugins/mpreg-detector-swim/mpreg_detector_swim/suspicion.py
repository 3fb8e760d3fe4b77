"""How long a suspect may defend itself (Lifeguard: Dadgar et al., arXiv 1707.00788, section IV-B)."""

from math import log, log10

from mpreg_core import NodeId, ns
from mpreg_detector_swim.options import SwimOptions

SHRINKS_TO = 1 / 3
"""The shortest suspicion, as a part of the longest."""


class SuspicionTime:
    """The longest time, the shortest, and how many confirmations lie between, in ns; fixed by options and pool."""

    def __init__(self, options: SwimOptions, members: int) -> None:
        longest = options.suspicion_timeout
        if longest is None:
            longest = options.suspicion_mult * max(1.0, log10(max(1, members))) * options.probe_interval
        self.longest_ns = ns(longest)
        # Neither this node nor the suspect can confirm. Where nobody can, silence proves least: no shortening.
        self.confirmations = max(0, min(options.suspicion_mult - 2, members - 2))

    def after(self, confirmations: int) -> int:
        """The time from the start, ns, once that many members but the first have confirmed."""
        if self.confirmations == 0:
            return self.longest_ns
        share = min(1.0, log(confirmations + 1) / log(self.confirmations + 1))
        return round(self.longest_ns * (1 - (1 - SHRINKS_TO) * share))


class Suspicion:
    """A running suspicion: since when, by whom. `accusers` is bounded: only those that still shorten it count."""

    def __init__(self, now_ns: int, time: SuspicionTime, by: NodeId) -> None:
        self.started_ns = now_ns
        self.time = time
        self.accusers: list[NodeId] = [by] if by else []

    def confirm(self, by: NodeId) -> bool:
        """Another member suspects too. True if it is news and shortens the suspicion.

        A suspicion that came by the pool's table names nobody: the first name that follows may be that very accuser,
        so it opens the list and does not count.
        """
        if by in self.accusers or len(self.accusers) > self.time.confirmations:
            return False
        self.accusers.append(by)
        return len(self.accusers) > 1

    def length_ns(self) -> int:
        """From its start, or the last sign of life since, to the conviction."""
        return self.time.after(max(0, len(self.accusers) - 1))
