"""Engines joined by a network that behaves."""

from typing import Any

import pytest

from mpreg_consensus_quorum.messages import Vote
from mpreg_consensus_quorum.options import QuorumOptions
from mpreg_core import NS_PER_MS, Decided


def test_a_proposal_is_committed_on_every_member_with_the_votes_counted(make_pool: Any) -> None:
    pool = make_pool(5)
    name = pool.propose("n3", "max_load", b"0.8")
    assert pool.run(1, lambda: len(pool.committed_at(name)) == 5)
    event = next(e for _, node, e in pool.events if node == "n3" and isinstance(e, Decided))
    assert (event.key, event.value, event.proposer, event.index) == ("max_load", b"0.8", "n3", 1)
    assert list(event.votes.values()) == [True] * 3
    pool.run(30)
    assert [pool.status(name, node) for node in pool.nodes] == [["committed"]] * 5
    pool.check()


def test_a_decision_takes_two_round_trips_and_two_syncs(make_pool: Any) -> None:
    pool = make_pool(7, delay=(0.010, 0.010), disk=(0.001, 0.001))
    pool.run(0.5)
    started_ns = pool.now_ns
    pool.propose("n0")
    pool.run(1, lambda: bool(pool.events))
    assert pool.now_ns - started_ns == 2 * (20 + 1) * NS_PER_MS


def test_a_key_is_decided_again_and_again_in_one_order(make_pool: Any) -> None:
    pool = make_pool(5)
    for value in (b"0.8", b"0.9", b"0.7"):
        name = pool.propose("n1", "max_load", value)
        assert pool.run(1, lambda name=name: len(pool.committed_at(name)) == 5)
    assert {process.values["max_load"] for process in pool.nodes.values()} == {b"0.7"}
    assert {process.applied["max_load"] for process in pool.nodes.values()} == {3}
    pool.check()


def test_of_two_rivals_one_wins_the_instance_and_the_other_the_next(make_pool: Any) -> None:
    pool = make_pool(5, delay=(0.001, 0.005))
    names = [pool.propose("n0", value=b"0.8"), pool.propose("n4", value=b"0.9")]
    assert pool.run(10, lambda: all(len(pool.committed_at(name)) == 5 for name in names))
    assert sorted(pool.checker.instances[name] for name in names) == [1, 2]
    pool.check()


def test_proposals_of_one_node_for_one_key_are_decided_in_their_order(make_pool: Any) -> None:
    pool = make_pool(3)
    names = [pool.propose("n0", value=b"%d" % number) for number in range(20)]
    assert pool.run(5, lambda: len(pool.committed_at(names[-1])) == 3)
    assert [pool.checker.instances[name] for name in names] == list(range(1, 21))
    pool.check()


def test_the_same_id_twice_is_one_proposal(make_pool: Any) -> None:
    pool = make_pool(3)
    pool.propose("n0", name="one")
    pool.propose("n0", name="one")
    pool.run(2)
    pool.propose("n0", name="one")
    pool.run(20)
    assert pool.status("one", "n0") == ["committed"]
    assert pool.checker.chosen == {("k", 1): "one"}


def test_a_lone_voter_decides_after_its_own_syncs(make_pool: Any) -> None:
    pool = make_pool(1, disk=(0.010, 0.010))
    pool.run(1)
    started_ns = pool.now_ns
    name = pool.propose("n0")
    assert not pool.events
    assert pool.run(1, lambda: pool.committed_at(name) == ["n0"])
    assert pool.now_ns - started_ns == 20 * NS_PER_MS


def test_a_member_without_a_vote_may_propose_and_read(make_pool: Any) -> None:
    pool = make_pool(4, voters=3)
    name = pool.propose("n3", value=b"mine")
    assert pool.run(1, lambda: len(pool.committed_at(name)) == 4)
    other = pool.propose("n0", value=b"theirs")
    pool.run(0.1)
    assert pool.committed_at(other) == ["n0", "n1", "n2"]
    read = pool.read("n3")
    assert pool.run(2, lambda: pool.read_done(read) is not None)
    assert pool.read_done(read).ok
    assert pool.nodes["n3"].values == {"k": b"theirs"}
    pool.check()


def test_without_a_quorum_a_proposal_times_out_undecided(make_pool: Any) -> None:
    pool = make_pool(5)
    pool.partition(["n0", "n1"], ["n2", "n3", "n4"])
    name = pool.propose("n0", timeout=3)
    pool.run(10)
    assert pool.status(name, "n0") == ["timeout"]
    assert pool.checker.instances == {}
    view = pool.nodes["n0"].machine.proposals()[-1]
    assert (view.status, view.needed, view.voters) == ("timeout", 3, 5)
    pool.check()


def voted(pool: Any, key: str) -> list[str]:
    """The nodes that hold a vote of theirs in the key's open instance."""
    slots = {name: process.machine._desk.ledger.slots.get(key) for name, process in pool.nodes.items()}
    return [name for name, slot in slots.items() if slot is not None and slot.accepted is not None]


def test_what_timed_out_may_be_committed_by_a_late_vote(make_pool: Any) -> None:
    pool = make_pool(3, options=QuorumOptions(threshold=1.0, retry_interval=60.0))
    pool.run(0.5)
    name = pool.propose("n0", timeout=1)
    pool.run(1, lambda: "n2" in voted(pool, "k"))
    pool.cut = {("n2", "n0")}
    pool.run(5)
    assert pool.status(name, "n0") == ["timeout"]
    ballot = pool.nodes["n2"].machine._desk.ledger.slots["k"].accepted.ballot
    pool.step(pool.nodes["n0"], lambda m: m.on_message(pool.now_ns, "n2", Vote("k", 1, ballot, True)))
    assert pool.status(name, "n0") == ["timeout", "committed"]
    pool.run(1)
    assert len(pool.committed_at(name)) == 3
    pool.check()


def test_the_next_proposer_finishes_what_may_have_been_chosen(make_pool: Any) -> None:
    pool = make_pool(5)
    pool.run(0.5)
    name = pool.propose("n0", value=b"first")
    assert pool.run(1, lambda: len(voted(pool, "k")) >= 3)
    pool.crash("n0")
    pool.run(1)
    later = pool.propose("n3", value=b"second")
    assert pool.run(5, lambda: len(pool.committed_at(later)) == 4)
    assert pool.checker.chosen == {("k", 1): name, ("k", 2): later}
    pool.check()


@pytest.mark.parametrize("size", [3, 5, 7])
def test_the_largest_value_fits(make_pool: Any, size: int) -> None:
    pool = make_pool(size)
    name = pool.propose("n0", value=b"x" * (256 * 1024))
    too_big = pool.propose("n0", value=b"x" * (256 * 1024 + 1))
    assert pool.run(1, lambda: len(pool.committed_at(name)) == size)
    assert pool.status(too_big, "n0") == ["rejected"]
