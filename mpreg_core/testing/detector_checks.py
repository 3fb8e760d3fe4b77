"""Failure detectors: who died is found, who lives is left alone (completeness and accuracy, Chandra and Toueg 1996)."""

from mpreg_core.contracts.events import MemberChanged
from mpreg_core.ids import NodeId
from mpreg_core.testing.report import NotConformingError
from mpreg_core.testing.subject import Pool, Subject, most_of
from mpreg_core.testing.watch import Watch

NODES = 8
CRASH_S = 60.0
"""A crash must be known to all within this, with default options."""

LOSSES = (0.0, 0.05, 0.1)
QUIET_S = 90.0
PAUSE_S = 45.0


def crash_is_found(subject: Subject) -> None:
    """A process that dies is failed at every member, also when its host says nothing."""
    for seed in subject.seeds:
        pool = subject.pool(NODES, seed)
        pool.world.run(3)
        pool.world.crash("n03")
        pool.expect(lambda p=pool: p.everybody_says("n03", "failed"), CRASH_S, f"a crash known to all in {CRASH_S} s")  # type: ignore[misc]
        pool = subject.pool(NODES, seed)
        pool.world.run(3)
        pool.world.pause("n03")
        others = [node for node in pool.ids if node != "n03"]
        pool.expect(
            lambda p=pool, o=others: all(p.status(node, "n03") == "failed" for node in o),  # type: ignore[misc]
            CRASH_S,
            f"a member that hangs failed at all others in {CRASH_S} s",
        )


def nobody_is_accused(subject: Subject) -> None:
    """Members that run are not failed, whatever share of datagrams is lost up to a tenth."""
    for seed in subject.seeds:
        for loss in LOSSES:
            pool = subject.pool(NODES, seed, loss=loss)
            pool.world.run(QUIET_S)
            wrong = _failed(pool)
            if wrong:
                raise NotConformingError(f"nobody failed with {loss:.0%} loss", f"failed: {wrong}", seed)


def those_who_left_are_forgotten(subject: Subject) -> None:
    """A member that said good-bye is not failed, and nothing is sent to it any more."""
    watch = Watch(subject.messages, subject.family)
    pool = subject.pool(NODES, subject.seeds[0], watch=watch, loss=0.05)
    pool.world.run(5)
    pool.world.leave("n02")
    pool.expect(lambda: pool.everybody_says("n02", "left"), 10, "a departure known to all in 10 s")
    pool.world.run(2)
    watch.targets.clear()
    pool.world.run(CRASH_S)
    if not pool.everybody_says("n02", "left") or "n02" in _failed(pool):
        raise NotConformingError("one that left to stay so", "it was failed or alive afterwards", pool.seed)
    if "n02" in watch.targets:
        raise NotConformingError("nothing sent to one that left", "messages to it", pool.seed)


def a_pause_convicts_nobody(subject: Subject) -> None:
    """A process that was stopped and goes on accuses nobody of its own silence, and is taken back."""
    for seed in subject.seeds:
        pool = subject.pool(NODES, seed)
        pool.world.run(5)
        pool.world.pause("n01")
        pool.world.network.partition(("n01",))  # or what waited in its sockets would speak for the others at once
        pool.world.run(PAUSE_S)
        seen = len(pool.world.nodes["n01"].events)
        pool.world.network.heal()
        pool.world.resume("n01")
        pool.world.run(10)
        accused = [
            event.event.member.id
            for event in pool.world.nodes["n01"].events[seen:]
            if isinstance(event.event, MemberChanged) and event.event.change == "failed" and event.event.by == "n01"
        ]
        if accused:
            raise NotConformingError("no accusation by one that was paused itself", f"it failed {accused}", seed)
        pool.expect(pool.is_whole, CRASH_S, "one that was paused back in the pool")


def the_dead_come_back(subject: Subject) -> None:
    """A restarted process is alive again at all, and both halves of a healed partition find each other."""
    for seed in subject.seeds:
        pool = subject.pool(NODES, seed)
        pool.world.run(3)
        pool.world.crash("n03")
        pool.expect(lambda p=pool: p.everybody_says("n03", "failed"), CRASH_S, "a crash known to all")  # type: ignore[misc]
        pool.world.start("n03")
        pool.expect(pool.is_whole, CRASH_S, "a restarted member alive at all")
        half = most_of(pool.ids)
        pool.world.network.partition(half)
        pool.world.run(CRASH_S)
        pool.world.network.heal()
        pool.expect(pool.is_whole, 2 * CRASH_S, "all alive again after a partition")
        pool.world.run(10)
        before = _failures(pool)
        pool.world.run(20)
        if _failures(pool) != before:
            raise NotConformingError("peace after a partition", "members that live were failed again", seed)


def _failures(pool: Pool) -> int:
    return sum(event.change == "failed" for _, event in pool.events(MemberChanged))


def _failed(pool: Pool) -> list[NodeId]:
    """Who was failed at whom while it ran."""
    failed = [event.member.id for _, event in pool.events(MemberChanged) if event.change == "failed"]
    return sorted(set(failed))
