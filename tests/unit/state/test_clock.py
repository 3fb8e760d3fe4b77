"""The hybrid logical clock and the arithmetic of version vectors."""

from hypothesis import given
from hypothesis import strategies as st

from mpreg_core.state.clock import COUNTER_BITS, OFFSET_MS_MAX, HybridClock, covers, join, stamp_ms, surviving

Vectors = st.dictionaries(st.sampled_from("abc"), st.integers(1, 9))


@given(st.lists(st.tuples(st.integers(0, 1 << 40), st.none() | st.integers(0, 1 << 56))))
def test_a_clock_never_goes_back_whatever_wall_time_and_others_do(steps: list[tuple[int, int | None]]) -> None:
    clock, last = HybridClock(), 0
    for wall_ms, remote in steps:
        if remote is not None:
            clock.observe(remote, wall_ms)
        stamp = clock.now(wall_ms)
        assert stamp > last
        last = stamp


def test_a_stamp_tells_the_wall_time_it_was_made_at() -> None:
    assert stamp_ms(HybridClock().now(1_700_000_000_000)) == 1_700_000_000_000


def test_more_writes_than_fit_in_a_millisecond_run_into_the_next() -> None:
    clock = HybridClock(last=(7 << COUNTER_BITS) + (1 << COUNTER_BITS) - 1)
    assert clock.now(7) == 8 << COUNTER_BITS


def test_a_write_after_a_remote_one_has_the_higher_stamp_even_on_a_slow_clock() -> None:
    clock, remote = HybridClock(), 1_400 << COUNTER_BITS
    assert clock.observe(remote, wall_ms=1_000)
    assert clock.now(1_000) > remote


def test_a_remote_stamp_too_far_ahead_is_counted_and_not_followed() -> None:
    clock = HybridClock()
    assert clock.observe((1_000 + OFFSET_MS_MAX) << COUNTER_BITS, wall_ms=1_000)
    assert not clock.observe((1_001 + OFFSET_MS_MAX) << COUNTER_BITS, wall_ms=1_000)
    assert clock.refused == 1
    assert stamp_ms(clock.now(1_000)) == 1_000 + OFFSET_MS_MAX


def test_a_stamp_above_another_does_not_drag_the_clock_along() -> None:
    clock, far = HybridClock(), 9_000 << COUNTER_BITS
    assert clock.now(1_000, after=far) == far + 1
    assert stamp_ms(clock.now(1_000)) == 1_000


@given(Vectors, Vectors)
def test_a_joined_vector_covers_both_and_nothing_else(a: dict[str, int], b: dict[str, int]) -> None:
    joined = join(a, b)
    assert covers(joined, a)
    assert covers(joined, b)
    assert all(stamp in (a.get(actor), b.get(actor)) for actor, stamp in joined.items())


def test_a_dot_survives_unless_the_other_side_saw_it_and_dropped_it() -> None:
    rows = [
        # (dots a, seen by a, dots b, seen by b) -> dots that stand
        (({"x": 1}, {"x": 1}, {"x": 1}, {"x": 1}), {"x": 1}),
        (({"x": 1}, {"x": 1}, {}, {}), {"x": 1}),
        (({"x": 1}, {"x": 1}, {}, {"x": 1}), {}),
        (({"x": 1}, {"x": 1}, {}, {"x": 2}), {}),
        (({"x": 2}, {"x": 2}, {}, {"x": 1}), {"x": 2}),
        (({"x": 1}, {"x": 1}, {"x": 2}, {"x": 2}), {"x": 2}),
        (({"x": 1}, {"x": 1}, {"y": 1}, {"y": 1}), {"x": 1, "y": 1}),
    ]
    for (a, seen_by_a, b, seen_by_b), kept in rows:
        assert surviving(a, seen_by_a, b, seen_by_b) == kept
        assert surviving(b, seen_by_b, a, seen_by_a) == kept
