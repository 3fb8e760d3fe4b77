"""Deadlines by name."""

from random import Random

from mpreg_consensus_quorum.timers import Timers


def test_a_moved_or_cancelled_deadline_does_not_come_up() -> None:
    timers = Timers()
    timers.set(("a", ""), 10)
    timers.set(("b", ""), 20)
    timers.set(("a", ""), 30)
    assert timers.next() == 20
    timers.cancel(("b", ""))
    timers.cancel(("b", ""))
    assert timers.next() == 30
    assert timers.due(29) == []
    assert timers.due(30) == [("a", "")]
    assert timers.next() is None


def test_the_heap_does_not_grow_with_changes_and_agrees_with_a_plain_table() -> None:
    timers, table, rng = Timers(), dict[tuple[str, str], int](), Random(1)
    for now in range(5_000):
        name = ("t", str(rng.randrange(20)))
        if rng.random() < 0.8:
            table[name] = now + rng.randrange(1, 1_000)
            timers.set(name, table[name])
        else:
            table.pop(name, None)
            timers.cancel(name)
        due = {name for name, at in table.items() if at <= now}
        assert set(timers.due(now)) == due
        for name in due:
            del table[name]
        assert timers.next() == min(table.values(), default=None)
        assert len(timers._heap) <= 2 * 20 + 65
