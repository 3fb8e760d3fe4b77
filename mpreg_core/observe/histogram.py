"""A histogram for Prometheus that is fed by events and read at a scrape."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily

SERIES_MAX = 64
"""Label values that one histogram keeps apart; all further ones are counted together as `other`."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
HOPS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)


class Histogram:
    """Counts by bucket, one series for each value of `label` (or a single one where there is no label).

    The library's own writes a `_created` series beside each, and only a switch for the whole process stops it.
    """

    def __init__(self, name: str, help_text: str, bounds: Sequence[float], label: str = "") -> None:
        self._name = name
        self._help = help_text
        self._bounds = tuple(bounds)
        self._label = label
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        if not label:
            self._series("")

    def observe(self, value: float, label: str = "") -> None:
        """Count one value, in the metric's unit."""
        if label not in self._counts and len(self._counts) >= SERIES_MAX:
            label = "other"
        self._series(label)[bisect_left(self._bounds, value)] += 1
        self._sums[label] += value

    def family(self) -> HistogramMetricFamily:
        """What the exposition prints: cumulative buckets and the sum of each series."""
        edges = [*(repr(bound) for bound in self._bounds), "+Inf"]
        family = HistogramMetricFamily(self._name, self._help, labels=[self._label] if self._label else [])
        for label, counts in sorted(self._counts.items()):
            buckets = list(zip(edges, map(float, accumulate(counts)), strict=True))
            family.add_metric([label] if self._label else [], buckets, self._sums[label])
        return family

    def _series(self, label: str) -> list[int]:
        if label not in self._counts:
            self._counts[label] = [0] * (len(self._bounds) + 1)
            self._sums[label] = 0.0
        return self._counts[label]
