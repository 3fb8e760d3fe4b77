"""What one step of the machine costs. Figures are printed (`pytest -s`); only gross regressions fail."""

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import pytest

from mpreg_core import ns
from mpreg_detector_swim.messages import ALIVE, SUSPECT, Ack, Ping, Update
from mpreg_detector_swim.options import SwimOptions
from mpreg_detector_swim.plugin import SPEC

ROUNDS = 5_000


def microseconds(act: Callable[[int], object]) -> float:
    """Per call, the best of three series."""
    series = []
    for _ in range(3):
        started_ns = perf_counter_ns()
        for i in range(ROUNDS):
            act(i)
        series.append((perf_counter_ns() - started_ns) / ROUNDS / 1000)
    return min(series)


@pytest.mark.bench
@pytest.mark.parametrize("members", [30, 10_000])
def test_a_ping_costs_the_same_in_any_pool(
    make_machine: Callable[..., Any], make_member: Callable[..., Any], members: int
) -> None:
    machine = make_machine(SPEC, SwimOptions())
    machine.on_members(0, [make_member(f"n{i}") for i in range(members)])
    ping = Ping(1, "me", 1)
    news = Ping(1, "me", 1, updates=tuple(Update(f"n{i}", ALIVE, 1, f"n{i}") for i in range(4)))
    quiet = microseconds(lambda i: machine.on_message(i, "n1", ping))
    busy = microseconds(lambda i: machine.on_message(ROUNDS + i, "n1", news))
    now_ns = ns(1)

    def probe(_: int) -> None:
        nonlocal now_ns
        now_ns = max(now_ns, machine.next_deadline())
        for effect in machine.on_deadline(now_ns):
            message = getattr(effect, "message", None)
            if isinstance(message, Ping):
                machine.on_message(now_ns, effect.to[0], Ack(message.seq, 1))

    probing = microseconds(probe)
    text = f"ping {quiet:.1f} µs, with four updates {busy:.1f} µs, probe and its ack {probing:.1f} µs"
    print(f"\n{members} members: {text}")
    assert quiet < 50
    assert probing < 200


def test_the_cost_of_a_storm_is_bounded_per_message(
    make_machine: Callable[..., Any], make_member: Callable[..., Any]
) -> None:
    machine = make_machine(SPEC, SwimOptions())
    machine.on_members(0, [make_member(f"n{i}") for i in range(2000)])
    for i in range(1, 2000):
        effects = machine.on_message(i, "n0", Ping(i, "me", 1, updates=(Update(f"n{i}", SUSPECT, 1, "n0"),)))
        assert len(effects) == 2
        assert len(effects[1].message.updates) <= 16
