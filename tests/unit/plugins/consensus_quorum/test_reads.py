"""Linearizable reads, and catching up without one."""

from typing import Any

from mpreg_consensus_quorum.messages import Commit


def answer(pool: Any, node: str, timeout: float = 2.0) -> Any:
    read = pool.read(node, timeout)
    assert pool.run(timeout + 0.1, lambda: pool.read_done(read) is not None)
    return pool.read_done(read)


def test_a_read_brings_what_this_member_missed(make_pool: Any) -> None:
    pool = make_pool(5)
    pool.run(0.1)
    pool.partition(["n4"], ["n0", "n1", "n2", "n3"])
    for number in range(300):
        pool.propose("n0", f"key-{number % 150}", b"%d" % number)
        pool.run(0.01)
    pool.partition()
    assert pool.nodes["n4"].values == {}
    assert answer(pool, "n4").ok
    assert pool.nodes["n4"].values == {f"key-{number % 150}": b"%d" % number for number in range(150, 300)}
    pool.check()


def test_a_read_without_a_quorum_fails_in_time(make_pool: Any) -> None:
    pool = make_pool(5)
    pool.partition(["n0", "n1"], ["n2", "n3", "n4"])
    started_ns = pool.now_ns
    done = answer(pool, "n0", timeout=1.5)
    assert (done.ok, done.reason) == (False, "no quorum")
    assert pool.now_ns - started_ns == 1_500_000_000
    assert answer(pool, "n3").ok


def test_a_read_sees_a_decision_that_only_its_finder_knows(make_pool: Any) -> None:
    pool = make_pool(5)
    pool.run(0.1)
    pool.lost = (Commit,)
    name = pool.propose("n0", value=b"told to one client")
    assert pool.run(1, lambda: pool.committed_at(name) == ["n0"])
    pool.crash("n0")
    assert answer(pool, "n3").ok
    assert pool.nodes["n3"].values == {"k": b"told to one client"}
    pool.check()


def test_a_vote_that_cannot_belong_to_a_quorum_does_not_hold_a_read_up(make_pool: Any) -> None:
    pool = make_pool(5)
    pool.run(0.1)
    pool.partition(["n0"], ["n1", "n2", "n3", "n4"])
    pool.propose("n0", timeout=0.3)
    pool.run(1)
    pool.partition()
    started_ns = pool.now_ns
    assert answer(pool, "n3").ok
    assert pool.now_ns - started_ns == 2_000_000
    assert pool.nodes["n3"].machine.snapshot().campaigns == 0


def test_reads_that_come_together_share_a_round(make_pool: Any) -> None:
    pool = make_pool(5)
    pool.run(0.1)
    before = pool.messages
    reads = [pool.read("n0") for _ in range(100)]
    pool.run(0.1)
    assert all(pool.read_done(read).ok for read in reads)
    assert pool.messages - before == 16  # the first read's round and one for all others


def test_too_many_reads_are_refused(make_pool: Any) -> None:
    pool = make_pool(3)
    pool.partition(["n0"], ["n1", "n2"])
    reads = [pool.read("n0", timeout=1) for _ in range(1_001)]
    assert pool.read_done(reads[-1]).reason == "1000 reads wait"
    pool.run(2)
    assert [pool.read_done(read).ok for read in reads] == [False] * 1_001
    assert pool.nodes["n0"].machine.snapshot().reads == 0


def test_a_member_that_missed_a_commit_catches_up_by_itself(make_pool: Any) -> None:
    pool = make_pool(5)
    pool.run(0.1)
    pool.lost = (Commit,)
    name = pool.propose("n0")
    pool.run(1)
    assert pool.committed_at(name) == ["n0"]
    pool.lost = ()
    assert pool.run(60, lambda: len(pool.committed_at(name)) == 5)


def test_a_restarted_member_tells_its_node_again_what_was_decided(make_pool: Any) -> None:
    pool = make_pool(3)
    for number in range(5):
        pool.propose("n0", "k", b"%d" % number)
        pool.propose("n0", f"k{number}", b"x")
    pool.run(1)
    before = dict(pool.nodes["n2"].values)
    pool.crash("n2")
    pool.start("n2")
    assert pool.nodes["n2"].values == before
    assert len(before) == 6
    assert answer(pool, "n2").ok
    pool.check()


def test_a_lone_voter_reads_at_once(make_pool: Any) -> None:
    pool = make_pool(1)
    pool.run(0.1)
    assert pool.read_done(pool.read("n0")).ok
