"""No votes: of the policy, of operators, and what they do to decisions."""

from typing import Any

from mpreg_consensus_quorum.options import QuorumOptions
from mpreg_core import Decided, Proposal

MANUAL = QuorumOptions(voting="manual")


def refuses_bad(proposal: Proposal) -> bool:
    return proposal.value != b"bad"


def test_enough_noes_reject_at_once_on_every_member(make_pool: Any) -> None:
    pool = make_pool(5, validate=refuses_bad)
    pool.run(0.5)
    started_ns = pool.now_ns
    name = pool.propose("n0", value=b"bad")  # its own node votes for it
    assert pool.run(1, lambda: bool(pool.status(name, "n0")))
    assert pool.now_ns - started_ns < 10_000_000
    pool.run(30)
    assert [pool.status(name, node) for node in pool.nodes] == [["rejected"]] * 5
    assert pool.nodes["n0"].machine.proposals()[0].votes == {
        "n0": True, **dict.fromkeys(("n1", "n2", "n3"), False)
    }  # fmt: skip
    good = pool.propose("n1", value=b"good")
    assert pool.run(5, lambda: len(pool.committed_at(good)) == 5)
    assert pool.checker.chosen == {("k", 1): good}
    pool.check()


def test_a_few_noes_do_not_stop_a_decision(make_pool: Any) -> None:
    pool = make_pool(5, options=MANUAL)
    name = pool.propose("n0", timeout=60)
    pool.run(1)
    for voter, yes in (("n1", False), ("n2", True), ("n3", False), ("n4", True)):
        pool.vote(voter, name, yes)
    assert pool.run(3, lambda: len(pool.committed_at(name)) == 5)
    event = next(e for _, node, e in pool.events if node == "n0" and isinstance(e, Decided))
    assert event.votes == {"n0": True, "n1": False, "n2": True, "n3": False, "n4": True}
    pool.check()


def test_a_manual_vote_waits_for_the_operator(make_pool: Any) -> None:
    pool = make_pool(3, options=MANUAL)
    name = pool.propose("n0", timeout=3600)
    pool.run(600)
    assert pool.status(name, "n0") == []
    assert [view.proposal.id for view in pool.nodes["n2"].machine.proposals()] == [name]
    pool.vote("n2", name, True)
    pool.run(0.1)
    assert len(pool.committed_at(name)) == 3


def test_a_vote_after_the_first_changes_nothing(make_pool: Any) -> None:
    pool = make_pool(5, options=MANUAL)
    name = pool.propose("n0", timeout=60)
    pool.run(1)
    pool.vote("n1", name, False)
    pool.vote("n1", name, True)
    pool.vote("n0", name, False)  # its policy said yes already
    pool.vote("n2", name, True)
    pool.run(5)
    assert pool.status(name, "n0") == []
    assert pool.nodes["n0"].machine.proposals()[0].votes == {"n0": True, "n1": False, "n2": True}
    assert pool.nodes["n1"].machine.snapshot().drops["late_vote"] == 1


def test_an_operators_word_comes_before_the_policys(make_pool: Any) -> None:
    pool = make_pool(3)
    pool.run(0.1)
    for voter in ("n1", "n2"):
        pool.vote(voter, "announced", False)
    pool.propose("n0", name="announced")
    pool.run(1)
    assert pool.status("announced", "n0") == ["rejected"]


def test_a_no_outlives_a_restart(make_pool: Any) -> None:
    pool = make_pool(3)
    pool.run(0.1)
    pool.vote("n1", "announced", False)
    pool.run(0.1)
    pool.crash("n1")
    pool.start("n1")
    pool.run(0.1)
    pool.crash("n2")
    pool.propose("n0", name="announced", timeout=3)
    pool.run(2)
    pool.crash("n1")
    pool.start("n1")
    pool.run(5)
    assert pool.status("announced", "n0") == ["timeout"]
    assert pool.nodes["n0"].machine.proposals()[0].votes == {"n0": True, "n1": False}


def test_a_refused_proposal_that_some_voted_for_does_not_block_its_key(make_pool: Any) -> None:
    pool = make_pool(5, validate=refuses_bad)
    pool.run(0.1)
    pool.partition(["n0", "n1"], ["n2", "n3", "n4"])
    bad = pool.propose("n0", value=b"bad", timeout=1)
    pool.run(2)
    assert pool.status(bad, "n0") == ["timeout"]
    pool.partition()
    pool.crash("n4")
    good = pool.propose("n1", value=b"good")
    assert pool.run(9, lambda: len(pool.committed_at(good)) == 4)
    assert pool.checker.chosen == {("k", 1): good}
    pool.check()
