"""One engine alone: durable before it answers, deaf to what makes no sense, bounded."""

from typing import Any

import msgspec
import pytest

from mpreg_consensus_quorum.messages import (
    VOTERS_KEY,
    Accept,
    Accepted,
    Ballot,
    Cluster,
    Commit,
    Decision,
    Entry,
    Fetch,
    Inquire,
    Inventory,
    Nack,
    Prepare,
    Promise,
    Reject,
    Stamp,
    Vote,
)
from mpreg_consensus_quorum.options import QuorumOptions
from mpreg_core import Decided, Emit, Proposal, Send, StorageError

CLUSTER = Cluster(0, "n0")
STAMP = Stamp(2, CLUSTER)
X = Proposal("x", "k", b"0.8", "a", 0, 10**9)
Y = Proposal("y", "k", b"0.9", "b", 0, 10**9)


def ballot(round: int, proposer: str = "a") -> Ballot:
    return Ballot(round, proposer, 1)


def committed(solo: Any, proposal: Proposal = X, instance: int = 1) -> Commit:
    return Commit(CLUSTER, Decision(instance, proposal, solo.stamp.epoch, ("a", "b", "c"), ()), instance - 1)


def test_a_promise_and_a_vote_leave_when_they_are_durable(make_solo: Any) -> None:
    solo = make_solo()
    solo.held = True
    assert solo.hear("a", Prepare(solo.stamp, "k", 1, ballot(1))) == []
    assert [e.message for e in solo.sync() if isinstance(e, Send)] == [Promise("k", 1, ballot(1), None)]
    assert solo.hear("a", Accept(solo.stamp, "k", 1, ballot(1), X)) == []
    assert [e.message for e in solo.sync() if isinstance(e, Send)] == [Vote("k", 1, ballot(1), True)]


def test_promises_and_votes_outlive_a_restart(make_solo: Any) -> None:
    solo = make_solo()
    solo.hear("a", Prepare(solo.stamp, "k", 1, ballot(5)))
    solo.start()
    assert solo.hear("b", Prepare(solo.stamp, "k", 1, ballot(4, "b"))) == [
        Nack(solo.stamp, "k", 1, ballot(4, "b"), ballot(5))
    ]
    assert solo.hear("b", Accept(solo.stamp, "k", 1, ballot(4, "b"), Y)) == [
        Nack(solo.stamp, "k", 1, ballot(4, "b"), ballot(5))
    ]
    solo.hear("a", Accept(solo.stamp, "k", 1, ballot(5), X))
    solo.start()
    assert solo.hear("b", Prepare(solo.stamp, "k", 1, ballot(6, "b"))) == [
        Promise("k", 1, ballot(6, "b"), Accepted(ballot(5), X, 2))
    ]


def test_a_vote_for_a_later_ballot_replaces_the_earlier_one(make_solo: Any) -> None:
    solo = make_solo()
    solo.hear("a", Accept(solo.stamp, "k", 1, ballot(1), X))
    assert solo.hear("b", Accept(solo.stamp, "k", 1, ballot(2, "b"), Y)) == [Vote("k", 1, ballot(2, "b"), True)]
    assert solo.hear("c", Prepare(solo.stamp, "k", 1, ballot(3, "c"))) == [
        Promise("k", 1, ballot(3, "c"), Accepted(ballot(2, "b"), Y, 2))
    ]


def test_who_asks_about_a_decided_instance_is_told_the_decision(make_solo: Any) -> None:
    solo = make_solo()
    solo.hear("a", committed(solo))
    expected = committed(solo)
    assert solo.hear("b", Prepare(solo.stamp, "k", 1, ballot(9, "b"))) == [expected]
    assert solo.hear("b", Fetch(CLUSTER, (("k", 0), ("other", 0)))) == [expected]
    solo.start()
    assert solo.hear("b", Accept(solo.stamp, "k", 1, ballot(9, "b"), Y)) == [expected]


def test_a_voter_that_lags_asks_before_it_votes(make_solo: Any) -> None:
    solo = make_solo()
    assert solo.hear("a", Prepare(solo.stamp, "k", 3, ballot(1))) == [Fetch(CLUSTER, (("k", 0),))]


def test_a_commit_with_a_gap_before_it_is_not_applied(make_solo: Any) -> None:
    solo = make_solo()
    assert solo.hear("a", committed(solo, Y, instance=2)) == [Fetch(CLUSTER, (("k", 0),))]
    assert solo.engine.snapshot().keys == 0
    solo.hear("a", committed(solo))
    solo.hear("a", committed(solo, Y, instance=2))
    assert [view.proposal.id for view in solo.engine.proposals()] == ["x", "y"]


def test_a_commit_that_contradicts_is_counted_and_changes_nothing(make_solo: Any) -> None:
    solo = make_solo()
    solo.hear("a", committed(solo))
    assert solo.call("on_message", "b", committed(solo, Y)) == []
    assert solo.engine.snapshot().conflicts == 1


def test_nothing_is_answered_before_this_life_is_durable(make_solo: Any) -> None:
    solo = make_solo()
    solo.held = True
    solo.start()
    assert solo.hear("a", Prepare(solo.stamp, "k", 1, ballot(1))) == []
    assert solo.drops() == {"not_voting": 1}
    assert solo.call("on_proposal", Y) == []
    effects = solo.sync()
    assert {type(e.message) for e in effects if isinstance(e, Send)} == {Prepare}


def test_no_ballot_is_used_in_two_lives(make_solo: Any) -> None:
    solo, used = make_solo(), []
    for _ in range(3):
        effects = solo.call("on_proposal", Y)
        used += [e.message.ballot for e in effects if isinstance(e, Send) and isinstance(e.message, Prepare)]
        solo.records = solo.records[:1] + [r for r in solo.records[1:] if b"k" not in r]  # its own promises are lost
        solo.start()
    assert len(used) == len(set(used)) == 3


@pytest.mark.parametrize(
    ("sender", "message", "reason"),
    [
        ("stranger", Prepare(STAMP, "k", 1, ballot(1, "stranger")), "stranger"),
        ("me", Vote("k", 1, ballot(1), True), "own_name"),
        ("a", Prepare(STAMP, "k", 1, ballot(1, "b")), "malformed"),
        ("a", Prepare(STAMP, "k", 0, ballot(1)), "malformed"),
        ("a", Prepare(STAMP, "k", 1, ballot(1 << 60)), "malformed"),
        ("a", Prepare(STAMP, "", 1, ballot(1)), "malformed"),
        ("a", Prepare(STAMP, "k" * 513, 1, ballot(1)), "malformed"),
        ("a", Accept(STAMP, "other", 1, ballot(1), X), "malformed"),
        ("a", Accept(STAMP, "k", 1, ballot(1), Proposal("", "k", b"", "a", 0, 1)), "malformed"),
        ("a", Accept(STAMP, "k", 1, ballot(1), Proposal("x", "k", b"", "a", 0, -1)), "malformed"),
        ("a", Accept(STAMP, "k", 1, ballot(1), Proposal("x", "k", b"x" * 262_145, "a", 0, 1)), "malformed"),
        ("a", Commit(CLUSTER, Decision(0, X, 2, ("a", "b", "c"), ()), 0), "malformed"),
        ("a", Commit(CLUSTER, Decision(1, X, 2, ("a", "b", "e"), ()), 0), "malformed"),
        ("a", Promise("k", 1, ballot(1), None), "stale"),
        ("a", Vote("k", 1, ballot(1), True), "stale"),
        ("a", Nack(STAMP, "k", 1, ballot(1), ballot(2)), "stale"),
        ("e", Vote("k", 1, ballot(1), True), "not_a_voter"),
        ("e", Inventory(0, 1, 0, 0, False, ()), "not_a_voter"),
        ("a", Inventory(0, 1, 5, 9, False, ()), "stale"),
        ("a", Inventory(0, 1, 0, 9, False, (Entry("", 1, None),)), "stale"),
        ("a", Reject("unknown", ("a", "b", "c")), "unknown_proposal"),
        ("a", Inquire(Stamp(7, CLUSTER), 1, 0, 0), "other_voters"),
    ],
)
def test_what_makes_no_sense_is_dropped_and_counted(make_solo: Any, sender: str, message: Any, reason: str) -> None:
    solo = make_solo()
    effects = solo.call("on_message", sender, message)
    assert [e.message for e in effects if isinstance(e, Send) if not isinstance(e.message, Nack | Fetch)] == []
    assert solo.drops() == {reason: 1}
    assert solo.engine.snapshot().keys == 0


def test_a_double_vote_counts_once(make_solo: Any) -> None:
    solo = make_solo()
    own = Proposal("mine", "k", b"", "me", 0, 10**10)
    effects = solo.call("on_proposal", own)
    used = next(e.message.ballot for e in effects if isinstance(e, Send))
    for voter in ("a", "b"):
        solo.hear(voter, Promise("k", 1, used, None))
    for _ in range(3):
        solo.hear("a", Vote("k", 1, used, True))
    solo.hear("e", Vote("k", 1, used, True))
    assert solo.engine.proposals()[0].status == "pending"
    assert solo.drops() == {"double_vote": 2, "not_a_voter": 1}
    effects = solo.call("on_message", "b", Vote("k", 1, used, True))
    assert [e.event.status for e in effects if isinstance(e, Emit) and isinstance(e.event, Decided)] == ["committed"]


def test_only_the_proposer_can_withdraw_a_proposal(make_solo: Any) -> None:
    solo = make_solo()
    solo.hear("a", Accept(solo.stamp, "k", 1, ballot(1), X))
    solo.hear("b", Reject("x", ("a", "b", "c")))
    assert solo.engine.proposals()[0].status == "pending"
    solo.hear("a", Reject("x", ("b", "c", "d")))
    assert solo.engine.proposals()[0].status == "rejected"


@pytest.mark.parametrize("record", [b"", b"\xc1", b"\x93\x01\x02\x03", msgspec.msgpack.encode({"term": 3})])
def test_a_foreign_journal_is_refused_with_a_clear_error(make_solo: Any, record: bytes) -> None:
    solo = make_solo()
    solo.records.append(record)
    with pytest.raises(StorageError, match="record 3: expected a record of the quorum engine"):
        solo.start()


def test_open_proposals_are_bounded(make_solo: Any) -> None:
    solo = make_solo(QuorumOptions(max_proposals=10))
    for number in range(30):
        solo.call("on_proposal", Proposal(f"p{number}", f"k{number}", b"", "me", 0, 10**9))
    for number in range(30):
        proposal = Proposal(f"q{number}", f"k{number}", b"", "a", 0, 10**9)
        solo.hear("a", Accept(solo.stamp, f"k{number}", 1, ballot(9), proposal))
    assert len(solo.engine.proposals()) <= 11
    assert solo.engine.snapshot().campaigns == 10
    assert solo.drops()["refused_proposal"] == 20


def test_a_full_disk_queue_refuses_work(make_solo: Any) -> None:
    solo = make_solo()
    solo.held = True
    for number in range(2_000):
        solo.hear("a", Prepare(solo.stamp, f"k{number}", 1, ballot(1)))
    assert len(solo.writing) == 1_000
    assert solo.drops() == {"disk_stalled": 1_000}
    effects = solo.call("on_proposal", Y)
    assert [e.event.status for e in effects if isinstance(e, Emit)] == ["rejected"]


def test_a_voter_without_room_keeps_silent(make_solo: Any) -> None:
    solo = make_solo()
    for number in range(80):
        proposal = Proposal(f"p{number}", f"k{number}", b"x" * 262_144, "a", 0, 10**9)
        solo.hear("a", Accept(solo.stamp, f"k{number}", 1, ballot(1), proposal))
    assert solo.engine.snapshot().held_bytes <= 16 * 1024 * 1024
    assert solo.drops() == {"full": 17}


def test_noes_in_one_instance_are_bounded(make_solo: Any) -> None:
    solo = make_solo(validate=lambda proposal: False)
    for number in range(100):
        proposal = Proposal(f"p{number}", "k", b"", "a", 0, 10**9)
        solo.hear("a", Accept(solo.stamp, "k", 1, ballot(number + 1), proposal))
    assert solo.drops() == {"full": 36}


def test_a_checkpoint_keeps_the_journal_short_and_loses_nothing(make_solo: Any) -> None:
    solo = make_solo()
    for number in range(1_000):
        proposal = Proposal(f"p{number}", f"k{number % 7}", b"x" * 1_000, "a", 0, 10**9)
        solo.hear("a", committed(solo, proposal, instance=number // 7 + 1))
    solo.hear("a", Accept(solo.stamp, "open", 1, ballot(3), Proposal("o", "open", b"", "a", 0, 10**9)))
    solo.call("on_vote", "announced", False)
    before = solo.engine._desk.ledger.checkpoint()
    assert sum(map(len, solo.records)) < 600_000
    solo.start()
    after = solo.engine._desk.ledger.checkpoint()
    slot_bytes = solo.engine._desk.ledger.slots[VOTERS_KEY].value_bytes()
    assert after == msgspec.structs.replace(before, seat=msgspec.structs.replace(before.seat, boot=2))
    assert len(solo.engine.proposals()) == 100
    own_bytes = 128 + len(VOTERS_KEY) + slot_bytes
    assert solo.engine._desk.ledger.held_bytes == own_bytes + 7 * (1_000 + 128 + 2) + 128 + 4


def test_decisions_are_told_again_in_bounded_steps(make_solo: Any) -> None:
    solo = make_solo()
    for number in range(2_500):
        solo.hear("a", committed(solo, Proposal(f"p{number}", f"k{number}", b"", "a", 0, 10**9)))
    told = [len(solo.start())]
    while not solo.engine.snapshot().ready:
        solo.now_ns = solo.engine.next_deadline()
        told.append(sum(isinstance(e, Emit) for e in solo.call("on_deadline")))
    assert told == [1_000, 1_000, 500]
