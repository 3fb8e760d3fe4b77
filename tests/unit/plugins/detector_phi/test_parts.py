"""The parts of `phi`, each alone: the suspicion level, the ring of watchers, the options."""

from math import erfc, inf, log10, sqrt
from random import Random
from statistics import fmean, pstdev
from typing import Any

import msgspec
import pytest

from mpreg_core import ns
from mpreg_detector_phi.arrivals import Arrivals, Model
from mpreg_detector_phi.circle import Circle
from mpreg_detector_phi.options import PhiOptions


def test_phi_is_the_formula_of_the_paper_over_the_window() -> None:
    rng = Random(3)
    arrivals = Arrivals(Model(PhiOptions(window=50, min_deviation=0.01, acceptable_pause=0)))
    intervals_s = [round(rng.gauss(1.0, 0.1), 6) for _ in range(170)]
    for interval_s in intervals_s:
        arrivals.add(ns(interval_s))
    mean, deviation = fmean(intervals_s[-50:]), pstdev(intervals_s[-50:])
    assert len(arrivals) == 50
    assert arrivals.mean_ns() == pytest.approx(mean * 1e9, rel=1e-5)
    assert arrivals.deviation_ns() == pytest.approx(deviation * 1e9, rel=1e-3)
    for silence_s in (0.5, 1.0, 1.2, 1.5):
        expected = -log10(erfc((silence_s - mean) / deviation / sqrt(2)) / 2)
        assert arrivals.phi(ns(silence_s)) == pytest.approx(expected, rel=1e-2, abs=1e-9)


@pytest.mark.parametrize("threshold", [0.5, 1.0, 8.0, 12.0, 100.0])
def test_patience_ends_where_phi_reaches_the_threshold(threshold: float) -> None:
    arrivals = Arrivals(Model(PhiOptions(threshold=threshold)))
    patience_ns = arrivals.patience_ns()
    assert arrivals.phi(patience_ns) == pytest.approx(threshold, rel=1e-4)
    assert arrivals.phi(patience_ns - ns(0.01)) < threshold < arrivals.phi(patience_ns + ns(0.01))


def test_phi_grows_with_silence_and_ends_at_infinity() -> None:
    arrivals = Arrivals(Model(PhiOptions()))
    levels = [arrivals.phi(ns(s)) for s in range(100)]
    assert levels == sorted(levels)
    assert levels[0] == 0.0
    assert levels[-1] == inf


def test_a_steady_network_does_not_make_the_detector_nervous() -> None:
    arrivals = Arrivals(Model(PhiOptions(min_deviation=0.2, acceptable_pause=1.0)))
    for _ in range(300):
        arrivals.add(ns(1.0))
    assert arrivals.patience_ns() == pytest.approx(ns(1 + 1 + 5.612 * 0.2), rel=1e-3)


def test_an_outage_is_no_interval() -> None:
    arrivals = Arrivals(Model(PhiOptions()))
    before_ns = arrivals.patience_ns()
    arrivals.add(ns(4.001))
    arrivals.add(ns(3600))
    assert arrivals.patience_ns() == before_ns
    arrivals.add(ns(4.0))
    assert arrivals.patience_ns() > before_ns


def test_a_jittery_network_makes_the_detector_patient() -> None:
    rng = Random(1)
    calm, jittery = (Arrivals(Model(PhiOptions())) for _ in range(2))
    for _ in range(200):
        calm.add(ns(1.0))
        jittery.add(ns(rng.uniform(0.2, 1.8)))
    assert jittery.patience_ns() > calm.patience_ns() + ns(1.0)


def circle_of(*names: str) -> Circle:
    circle = Circle()
    for name in names:
        assert circle.add(name)
    return circle


def test_everyone_is_watched_by_exactly_so_many_others() -> None:
    names = [f"n{i}" for i in range(40)]
    circle = circle_of(*names)
    watches = {name: circle.successors(name, 5) for name in names}
    for name in names:
        watchers = {by for by, watched in watches.items() if name in watched}
        assert len(watchers) == 5
        assert watchers == set(circle.predecessors(name, 5))


def test_in_a_small_pool_everyone_watches_all_others() -> None:
    circle = circle_of("a", "b", "c")
    assert sorted(circle.successors("a", 5)) == ["b", "c"]
    assert sorted(circle.predecessors("a", 5)) == ["b", "c"]
    assert circle_of("a").successors("a", 5) == ()
    assert sorted(circle.successors("absent", 5)) == ["a", "b", "c"]


def test_neighbours_by_name_are_not_each_others_only_watchers() -> None:
    names = [f"rack{i // 10}-{i % 10}" for i in range(50)]
    circle = circle_of(*names)
    alone = [n for n in names if all(w[:5] == n[:5] for w in circle.predecessors(n, 5))]
    assert alone == []


def test_a_ring_forgets_and_takes_in_once() -> None:
    circle = circle_of("a", "b", "c")
    assert not circle.add("a")
    assert circle.discard("b")
    assert not circle.discard("b")
    assert (len(circle), circle.successors("a", 5)) == (2, ("c",))


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"threshold": 0}, "threshold"),
        ({"window": 3}, "window"),
        ({"watchers": 1}, "watchers"),
        ({"thresold": 8}, "thresold"),
        ({"suspicion_timeout": 0.5}, "at least probe_interval"),
    ],
)
def test_options_out_of_bounds_are_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=complaint):
        msgspec.convert(given, PhiOptions)


def test_the_guides_options_are_valid_when_only_the_strategy_is_swapped() -> None:
    options = msgspec.convert({"probe_interval": 2.0, "probe_timeout": 5, "suspicion_timeout": 30.0}, PhiOptions)
    assert (options.probe_timeout, options.suspicion_timeout) == (5.0, 30.0)
