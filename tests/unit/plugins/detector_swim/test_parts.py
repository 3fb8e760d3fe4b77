"""The parts of `swim`, each alone: ring, timers, updates, suspicion time, local health, pause guard, options."""

from collections import Counter
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import pytest

from mpreg_core import NS_PER_S, ns
from mpreg_core.detecting import PauseGuard
from mpreg_core.limits import DATAGRAM_BYTES_MAX
from mpreg_detector_swim.awareness import Awareness
from mpreg_detector_swim.messages import ALIVE, FAILED, SUSPECT, UPDATES_MAX, Ping, Update
from mpreg_detector_swim.options import SwimOptions
from mpreg_detector_swim.ring import Ring
from mpreg_detector_swim.suspicion import Suspicion, SuspicionTime
from mpreg_detector_swim.timers import Timers
from mpreg_detector_swim.updates import QUEUED_MAX, UpdateQueue, size_of


def ring_of(count: int, seed: int = 1) -> Ring:
    ring = Ring(Random(seed))
    for i in range(count):
        ring.add(f"n{i}")
    return ring


def test_every_round_draws_everyone_once() -> None:
    ring = ring_of(20)
    rounds = [[ring.draw() for _ in range(20)] for _ in range(5)]
    assert all(sorted(map(str, drawn)) == sorted(f"n{i}" for i in range(20)) for drawn in rounds)
    assert len({tuple(drawn) for drawn in rounds}) == 5


def test_nobody_waits_longer_than_two_rounds_less_one() -> None:
    ring = ring_of(9)
    turns = [i for i in range(9 * 400) if ring.draw() == "n3"]
    assert max(b - a for a, b in pairwise(turns)) <= 2 * 9 - 1


def test_members_that_come_and_go_neither_skip_nor_double_a_turn() -> None:
    rng = Random(7)
    ring = ring_of(10)
    present = {f"n{i}" for i in range(10)}
    drawn: Counter[str] = Counter()
    for i in range(2000):
        peer = ring.draw()
        assert peer in present
        drawn[str(peer)] += 1
        if i % 3 == 0:
            leaver = rng.choice(sorted(present - {"n0", "n1"}))
            ring.discard(leaver)
            ring.add(f"x{i}")
            present = present - {leaver} | {f"x{i}"}
            assert len(ring) == 10
    assert abs(drawn["n0"] - drawn["n1"]) <= 2


def test_a_discarded_id_gives_no_one_else_a_second_turn() -> None:
    ring = ring_of(6)
    first = [ring.draw() for _ in range(3)]
    ring.discard(str(first[0]))
    rest = [ring.draw() for _ in range(3)]
    assert not set(first) & set(rest)


def test_a_sample_is_of_different_ids_without_the_excluded() -> None:
    ring = ring_of(5)
    for _ in range(50):
        sample = ring.sample(3, ("n1", "absent"))
        assert len(set(sample)) == 3
        assert "n1" not in sample
    assert sorted(ring.sample(9, ("n1",))) == ["n0", "n2", "n3", "n4"]
    assert Ring(Random(1)).sample(3, ()) == ()


def test_timers_come_in_order_and_a_moved_or_cancelled_one_not_at_its_old_time() -> None:
    timers = Timers()
    for key, due_ns in (("a", 30), ("b", 10), ("c", 20), ("d", 5)):
        timers.set((key, 0), due_ns)
    timers.set(("b", 0), 40)
    timers.cancel(("d", 0))
    assert timers.next() == 20
    assert timers.pop(19) is None
    assert [timers.pop(100) for _ in range(4)] == [("c", 0), ("a", 0), ("b", 0), None]
    assert timers.next() is None


def test_a_timer_set_back_to_an_earlier_time_fires_once() -> None:
    timers = Timers()
    for due_ns in (10, 20, 10):
        timers.set(("a", 0), due_ns)
    assert [timers.pop(100), timers.pop(100)] == [("a", 0), None]


def test_timers_that_move_for_ever_take_no_more_room() -> None:
    timers = Timers()
    timers.set(("first", 0), 1)
    for i in range(10_000):
        timers.set(("a", i % 3), 1000 + i)
    assert len(timers) == 4
    assert len(timers._heap) <= 2 * 4 + 64 + 1


def update(peer: str, status: Any = SUSPECT, incarnation: int = 1, by: str = "n0") -> Update:
    return Update(peer, status, incarnation, by)


def test_the_least_sent_update_goes_first_and_the_newest_of_those() -> None:
    queue = UpdateQueue()
    for name in ("a", "b"):
        queue.put(update(name))
    assert [u.peer for u in queue.take(5)] == ["b", "a"]
    queue.put(update("c"))
    assert [u.peer for u in queue.take(5)] == ["c", "b", "a"]


def test_an_update_is_sent_as_often_as_allowed() -> None:
    queue = UpdateQueue()
    queue.put(update("a"))
    assert [len(queue.take(3)) for _ in range(4)] == [1, 1, 1, 0]
    assert len(queue) == 0


def test_a_newer_update_about_a_member_replaces_the_older() -> None:
    queue = UpdateQueue()
    queue.put(update("a"))
    queue.take(3)
    queue.put(update("a", ALIVE, 2))
    assert [queue.take(3) for _ in range(4)] == [(update("a", ALIVE, 2),)] * 3 + [()]


def test_what_the_receiver_is_accused_of_goes_first_and_once() -> None:
    queue = UpdateQueue()
    queue.put(update("a", FAILED))
    queue.put(update("b"))
    assert queue.take(9, update("a")) == (update("a"), update("b"))
    assert queue.take(9) == (update("a", FAILED), update("b"))


def test_a_message_full_of_the_longest_updates_fits_a_datagram() -> None:
    queue = UpdateQueue()
    for i in range(100):
        queue.put(Update(f"{i:063}", FAILED, 2**63 - 1, "y" * 63))
    taken = queue.take(9, Update("z" * 63, SUSPECT, 2**63 - 1, "y" * 63))
    ping = Ping(2**63 - 1, "z" * 63, 2**63 - 1, True, taken)
    assert len(taken) > 3
    assert len(msgspec.msgpack.encode(taken[0])) <= size_of(taken[0])
    assert len(msgspec.msgpack.encode(ping)) <= DATAGRAM_BYTES_MAX - 64


def test_short_updates_are_bounded_by_number() -> None:
    queue = UpdateQueue()
    for i in range(100):
        queue.put(update(f"n{i}"))
    assert len(queue.take(9)) == UPDATES_MAX
    assert len(queue.take(9)) == UPDATES_MAX
    seen = {u.peer for _ in range(60) for u in queue.take(9)}
    assert len(seen) == 100
    assert len(queue) == 0


def test_a_full_queue_drops_what_was_sent_most() -> None:
    queue = UpdateQueue()
    queue.put(update("old"))
    queue.take(9)
    for i in range(QUEUED_MAX):
        queue.put(update(f"n{i}"))
    assert len(queue) == QUEUED_MAX
    peers = {u.peer for _ in range(200) for u in queue.take(2)}
    assert len(peers) == QUEUED_MAX
    assert "old" not in peers


@pytest.mark.parametrize(
    ("options", "members", "longest_s", "confirmations"),
    [
        (SwimOptions(), 2, 4.0, 0),  # nobody else could confirm
        (SwimOptions(), 3, 4.0, 1),
        (SwimOptions(), 10, 4.0, 2),
        (SwimOptions(), 100, 8.0, 2),
        (SwimOptions(), 1000, 12.0, 2),
        (SwimOptions(probe_interval=2.0, suspicion_mult=6), 1000, 36.0, 4),
        (SwimOptions(suspicion_timeout=30.0), 1000, 30.0, 2),
        (SwimOptions(suspicion_mult=2), 1000, 6.0, 0),
    ],
)
def test_the_longest_suspicion(options: SwimOptions, members: int, longest_s: float, confirmations: int) -> None:
    time = SuspicionTime(options, members)
    assert time.longest_ns == ns(longest_s)
    assert time.confirmations == confirmations
    assert time.after(0) == time.longest_ns
    if confirmations:
        assert time.after(confirmations) == pytest.approx(time.longest_ns / 3)
        assert time.after(confirmations + 5) == time.after(confirmations)


def test_independent_confirmations_shorten_a_suspicion_and_repeated_ones_do_not() -> None:
    suspicion = Suspicion(0, SuspicionTime(SwimOptions(suspicion_mult=5), 100), "a")
    lengths = [suspicion.length_ns()]
    for by, counts in (("a", False), ("b", True), ("b", False), ("c", True), ("d", True), ("e", False)):
        assert suspicion.confirm(by) is counts
        lengths.append(suspicion.length_ns())
    assert lengths == sorted(lengths, reverse=True)
    assert len(set(lengths)) == 4
    assert suspicion.accusers == ["a", "b", "c", "d"]


def test_the_first_name_after_a_nameless_accusation_does_not_count() -> None:
    suspicion = Suspicion(0, SuspicionTime(SwimOptions(), 100), "")
    assert not suspicion.confirm("a")
    assert suspicion.confirm("b")


def test_local_health_stays_within_its_bounds() -> None:
    awareness = Awareness(3)
    awareness.better()
    assert awareness.scale(10) == 10
    awareness.worse(99)
    assert awareness.scale(10) == 30
    awareness.better()
    assert awareness.scale(10) == 20


def test_a_pause_is_seen_when_something_was_due_long_ago_and_no_step_came_since() -> None:
    guard = PauseGuard(NS_PER_S, 0)
    assert not guard.pause_ended(ns(1), ns(1))
    assert not guard.pause_ended(ns(4), ns(2))  # two seconds late is not later than two intervals
    assert not guard.pause_ended(ns(60), ns(59))  # nothing was due meanwhile
    assert guard.pause_ended(ns(70), ns(61))
    assert guard.quiet(ns(70.9))
    assert not guard.pause_ended(ns(70.1), ns(61))  # the backlog is being worked off
    assert not guard.quiet(ns(71))


def test_an_answer_to_a_probe_sent_after_the_pause_ends_the_silence_and_an_older_one_does_not() -> None:
    guard = PauseGuard(NS_PER_S, 0)
    guard.pause_ended(ns(70), ns(61))
    guard.answered(ns(60))
    assert guard.quiet(ns(70.1))
    guard.answered(ns(70))
    assert not guard.quiet(ns(70.1))


def test_lateness_is_remembered_for_four_times_its_length_and_a_pause_is_none() -> None:
    guard = PauseGuard(NS_PER_S, 0)
    guard.pause_ended(ns(1.8), ns(1))
    assert guard.late_ns == ns(0.8)
    guard.pause_ended(ns(2.8), ns(3))
    assert guard.late_ns == ns(0.55)
    guard.pause_ended(ns(5.0), ns(5))
    assert guard.late_ns == 0
    guard.pause_ended(ns(90), ns(6))
    assert guard.late_ns == 0  # that was a pause: the guard begins anew


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"probe_interval": 0}, "probe_interval"),
        ({"indirect_checks": 17}, "indirect_checks"),
        ({"probe_intervall": 1}, "probe_intervall"),
        ({"suspicion_timeout": 0.5}, "at least probe_interval"),
    ],
)
def test_options_out_of_bounds_are_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=complaint):
        msgspec.convert(given, SwimOptions)


def test_the_guides_options_are_valid() -> None:
    options = msgspec.convert({"probe_interval": 2.0, "probe_timeout": 5, "suspicion_timeout": 30.0}, SwimOptions)
    assert options.probe_timeout == 5.0
