"""Observers get every event, and none can harm the node or another observer."""

import logging
from collections.abc import Callable

import pytest

from mpreg_core import Occurrence, PoolLeft
from mpreg_core.plugin.observers import DRAIN_MAX, Observers
from mpreg_core.plugin.registry import Found, Loaded


def event(number: int) -> Occurrence:
    return Occurrence(at_ns=number, node="n", pool="", event=PoolLeft(reason="test"))


def plugin(name: str, observe: Callable[[Occurrence], None] | None) -> Loaded:
    return Loaded(Found(name, "mpreg.v1", f"dist-{name}", "0.1.0", object), observe=observe)


def test_every_observer_gets_every_event_in_order_and_none_while_publishing() -> None:
    first: list[int] = []
    second: list[int] = []
    observers = Observers(
        [
            plugin("first", lambda occurrence: first.append(occurrence.at_ns)),
            plugin("silent", None),
            plugin("second", lambda occurrence: second.append(occurrence.at_ns)),
        ]
    )
    for number in range(3):
        observers.publish(event(number))
    assert (first, second) == ([], [])
    assert observers.drain() is False
    assert (first, second) == ([0, 1, 2], [0, 1, 2])
    assert list(observers.stats()) == ["first", "second"]


def test_a_full_queue_loses_the_oldest_events_and_counts_them() -> None:
    seen: list[int] = []
    observers = Observers([plugin("slow", lambda occurrence: seen.append(occurrence.at_ns))], queue_max=3)
    for number in range(5):
        observers.publish(event(number))
    assert (observers.stats()["slow"].queued, observers.stats()["slow"].dropped) == (3, 2)
    observers.drain()
    assert seen == [2, 3, 4]


def test_a_turn_is_bounded_and_says_that_events_are_left() -> None:
    seen: list[int] = []
    observers = Observers([plugin("busy", lambda occurrence: seen.append(occurrence.at_ns))])
    for number in range(DRAIN_MAX + 1):
        observers.publish(event(number))
    assert observers.drain() is True
    assert len(seen) == DRAIN_MAX
    assert observers.drain() is False
    assert len(seen) == DRAIN_MAX + 1


@pytest.mark.parametrize("error", [ValueError("boom"), SystemExit(1)])
def test_an_observer_that_raises_is_logged_once_and_switched_off_alone(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []
    calls: list[int] = []

    def raising(occurrence: Occurrence) -> None:
        calls.append(occurrence.at_ns)
        raise error

    observers = Observers([plugin("bad", raising), plugin("good", lambda occurrence: seen.append(occurrence.at_ns))])
    with caplog.at_level(logging.ERROR):
        for number in range(3):
            observers.publish(event(number))
        assert observers.drain() is False
        observers.publish(event(3))
        observers.drain()
    assert calls == [0]
    assert seen == [0, 1, 2, 3]
    assert [record.getMessage() for record in caplog.records] == [
        "observer bad (dist-bad 0.1.0) raised and is switched off"
    ]
    stats = observers.stats()
    assert (stats["bad"].failed, stats["bad"].queued, stats["bad"].delivered) == (True, 0, 0)
    assert (stats["good"].failed, stats["good"].delivered) == (False, 4)


def test_an_interrupt_passes_through() -> None:
    def interrupted(occurrence: Occurrence) -> None:
        raise KeyboardInterrupt

    observers = Observers([plugin("bad", interrupted)])
    observers.publish(event(0))
    with pytest.raises(KeyboardInterrupt):
        observers.drain()


def test_what_an_observer_causes_waits_for_the_next_turn() -> None:
    seen: list[int] = []

    def echo(occurrence: Occurrence) -> None:
        seen.append(occurrence.at_ns)
        observers.publish(event(occurrence.at_ns + 1))

    observers = Observers([plugin("echo", echo)])
    observers.publish(event(0))
    assert observers.drain() is True
    assert seen == [0]
    assert observers.drain() is True
    assert seen == [0, 1]
