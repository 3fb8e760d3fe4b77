"""Whatever fails, raft keeps figure 3's promises, its reads are fresh, an id is decided once, and life goes on after.

Some seeds always; with MPREG_DEEP=1 (`tox -e sim`) 2,000. The planted bugs show that the checkers bite.
"""

import os
from typing import Any

import pytest
from raft_harness import BrokenPromiseError, Pool, chaos, member
from raft_mutants import MUTANTS

DEEP = bool(os.environ.get("MPREG_DEEP"))
SEEDS = 1_000 if DEEP else 25
KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    "three voters": (3, {}),
    "five, that change, with snapshots": (5, {"snapshot_after": 16}),
    "three voters, reads by lease": (3, {"lease_reads": True}),
}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_no_fault_breaks_a_promise_and_all_go_on_when_faults_end(kind: str) -> None:
    nodes, options = KINDS[kind]
    for seed in range(SEEDS):
        try:
            chaos(seed, nodes=nodes, **options)
        except BrokenPromiseError as error:
            pytest.fail(f"seed {seed}: {error}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch)
    for seed in range(500):
        for nodes, options in KINDS.values():
            try:
                chaos(seed, nodes=nodes, **options)
            except (BrokenPromiseError, AssertionError):
                return
    pytest.fail("500 seeds do not find it")


def test_all_decide_alike_and_in_one_order() -> None:
    pool = Pool(5, seed=1)
    assert pool.run(5, until=lambda: bool(pool.leader()))
    names = [pool.propose(f"n{number % 5}", "key") for number in range(25)]
    assert pool.run(5, until=lambda: all(pool.has(name)() for name in names))
    orders = [[(each.index, each.proposal) for each in events] for events in pool.decided.values()]
    assert orders == [orders[0]] * 5
    assert [index for index, _ in orders[0]] == list(range(1, 26))


def test_a_leader_that_is_known_to_be_dead_is_replaced_at_once() -> None:
    pool = Pool(3, seed=2)
    assert pool.run(5, until=lambda: bool(pool.leader()))
    leader = pool.leader()
    pool.run(1)
    pool.crash(leader)
    pool.run(0.02)  # its last words arrive
    begun_ns = pool.now_ns
    for name, process in pool.processes.items():
        if name != leader:
            dead = member(leader, status="failed")
            pool.step(process, lambda m, dead=dead: m.on_members(pool.now_ns, [dead]))
    assert pool.run(5, until=lambda: pool.leader() not in ("", leader))
    assert pool.now_ns - begun_ns < 150_000_000  # the election time-out alone is 300 to 600 ms


def test_a_leader_that_leaves_hands_over() -> None:
    pool = Pool(3, seed=3)
    assert pool.run(5, until=lambda: bool(pool.leader()))
    pool.run(1)
    leader, begun_ns = pool.leader(), pool.now_ns
    pool.step(pool.processes[leader], lambda m: m.on_leave(pool.now_ns))
    assert pool.run(5, until=lambda: pool.leader() not in ("", leader))
    assert pool.now_ns - begun_ns < 100_000_000


def test_a_node_that_was_cut_off_does_not_depose_the_leader() -> None:
    pool = Pool(3, seed=4)
    assert pool.run(5, until=lambda: bool(pool.leader()))
    pool.run(1)
    leader = pool.leader()
    term = pool.processes[leader].machine.snapshot().term
    lonely = next(name for name in pool.ids if name != leader)
    pool.groups = {lonely: 1}
    pool.run(10)
    pool.groups = {}
    pool.run(2)
    assert pool.leader() == leader
    assert pool.processes[leader].machine.snapshot().term == term


def test_a_leader_without_a_majority_retires_and_answers_nothing() -> None:
    pool = Pool(3, seed=5)
    assert pool.run(5, until=lambda: bool(pool.leader()))
    pool.run(1)
    old = pool.leader()
    pool.groups = {old: 1}
    read, proposal = pool.read(old), pool.propose(old, "key")
    pool.run(3)
    assert pool.processes[old].machine.snapshot().role != "leader"
    assert not pool.reads[read].ok
    assert pool.told[f"timeout/{proposal}"].status == "timeout"
    assert pool.leader() not in ("", old)


def test_a_follower_far_behind_gets_a_snapshot() -> None:
    pool = Pool(3, seed=6, snapshot_after=16)
    assert pool.run(5, until=lambda: bool(pool.leader()))
    late = next(name for name in pool.ids if name != pool.leader())
    pool.crash(late)
    for number in range(200):
        pool.propose(pool.leader(), f"key{number % 7}")
        pool.run(0.01)
    pool.run(2)
    pool.start(late)
    assert pool.run(5, until=lambda: pool.processes[late].machine._desk.commit >= 200)
    states = [process.machine._desk.applied.keys for process in pool.processes.values()]
    assert states == [states[0]] * 3
    assert len(pool.processes[late].records) < 50


def test_a_voter_that_lost_its_disk_does_not_vote_until_it_has_caught_up() -> None:
    pool = Pool(3, seed=7)
    assert pool.run(5, until=lambda: bool(pool.leader()))
    pool.run(1)
    name = pool.propose(pool.leader(), "key")
    assert pool.run(2, until=pool.has(name))
    victim, other = (each for each in pool.ids if each != pool.leader())
    leader = pool.leader()
    pool.crash(victim)
    pool.processes[victim].records.clear()
    pool.processes[victim].life = 10_000  # a later life than the log
    pool.crash(leader)
    pool.start(victim)
    pool.run(5)
    assert pool.leader() == ""
    assert pool.processes[victim].machine.snapshot().drops["without_memory"] > 0
    pool.start(leader)
    assert pool.run(5, until=lambda: bool(pool.leader()))
    last = pool.propose(other, "key")
    assert pool.run(3, until=pool.has(last))


def test_two_logs_that_were_founded_apart_become_the_older_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pool, "check", lambda self, process: None)  # the checkers know one log
    pool = Pool(2, seed=8)
    pool.groups = {"n1": 1}
    for name in pool.ids:  # each believes to be alone
        pool.crash(name)
        pool.voters = (name,)
        pool.start(name)
        pool.run(1)
    desks = [process.machine._desk for process in pool.processes.values()]
    assert len({desk.cluster for desk in desks}) == 2
    older = min(desk.cluster for desk in desks)
    pool.groups = {}
    pool.change(("n0", "n1"))
    assert pool.run(20, until=lambda: all(desk.config and len(desk.config.ids) == 2 for desk in desks))
    assert {desk.cluster for desk in desks} == {older}


def test_large_values_neither_fill_the_log_nor_stop_it() -> None:
    pool = Pool(3, seed=9)
    assert pool.run(5, until=lambda: bool(pool.leader()))
    for number in range(320):
        name = pool.propose(pool.leader(), f"key{number % 3}", size=250_000)
        assert pool.run(2, until=pool.has(name)), number
    assert all(process.machine.snapshot().log_bytes < 40_000_000 for process in pool.processes.values())
