"""The suspicion level phi (Hayashibara, Defago, Yared, Katayama: The phi accrual failure detector, SRDS 2004).

    phi(t) = -log10 P(the next answer comes later than t)

where the intervals between answers are taken as normal, with the mean and deviation of a sliding window (section
IV-B). What practice added: a least deviation and an acceptable pause on top of the mean (Akka), and no record of
silences so long that they are outages, not intervals (Cassandra): one would blind the detector for a whole window.
"""

from array import array
from math import erfc, inf, log10, sqrt
from statistics import NormalDist

from mpreg_core import ns
from mpreg_detector_phi.options import PhiOptions

_NS_PER_US = 1000


class Model:
    """The options in nanoseconds, and what follows from them alone: shared by all windows of a machine."""

    def __init__(self, options: PhiOptions) -> None:
        interval = options.probe_interval
        pause = 2 * interval if options.acceptable_pause is None else options.acceptable_pause
        self.window = options.window
        self.pause_ns = ns(pause)
        self.deviation_min_ns = ns(options.min_deviation or interval / 10)
        self.first_ns = ns(options.first_estimate or interval)
        self.recorded_max_ns = ns(pause + 2 * interval)
        # phi(t) = threshold exactly at so many deviations above the mean, so it need not be polled.
        self.deviations = -NormalDist().inv_cdf(10.0**-options.threshold)


class Arrivals:
    """The intervals of one member: a ring of at most `window`, in µs, with exact running sums. 4 bytes an interval."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._intervals_us: array[int] = array("I")
        self._oldest = 0
        self._sum = 0
        self._sum_of_squares = 0
        # Akka's start: two samples around the estimate, wide enough for a network of which nothing is known.
        spread_ns = model.first_ns // 4
        self.add(model.first_ns - spread_ns)
        self.add(model.first_ns + spread_ns)

    def __len__(self) -> int:
        return len(self._intervals_us)

    def add(self, interval_ns: int) -> None:
        """Record an interval between two answers, unless it was an outage."""
        if interval_ns > self._model.recorded_max_ns:
            return
        interval_us = min(interval_ns // _NS_PER_US, 2**32 - 1)
        if len(self._intervals_us) < self._model.window:
            self._intervals_us.append(interval_us)
        else:
            oldest_us = self._intervals_us[self._oldest]
            self._sum -= oldest_us
            self._sum_of_squares -= oldest_us * oldest_us
            self._intervals_us[self._oldest] = interval_us
            self._oldest = (self._oldest + 1) % self._model.window
        self._sum += interval_us
        self._sum_of_squares += interval_us * interval_us

    def mean_ns(self) -> float:
        """The expected silence: the mean interval and the acceptable pause."""
        return self._sum / len(self._intervals_us) * _NS_PER_US + self._model.pause_ns

    def deviation_ns(self) -> float:
        """The standard deviation, not below the least one."""
        count = len(self._intervals_us)
        variance = (count * self._sum_of_squares - self._sum * self._sum) / (count * count)
        return max(sqrt(variance) * _NS_PER_US, self._model.deviation_min_ns)

    def phi(self, silence_ns: int) -> float:
        """The level after so long a silence: 0 and more, infinite where a float ends."""
        later = erfc((silence_ns - self.mean_ns()) / self.deviation_ns() / sqrt(2)) / 2
        return abs(log10(later)) if later > 0 else inf

    def patience_ns(self) -> int:
        """The silence at which phi reaches the threshold."""
        return max(1, round(self.mean_ns() + self._model.deviations * self.deviation_ns()))
