"""Rules of figures 2, 8 and 13, one by one, on a machine driven by hand."""

from random import Random
from typing import Any

import pytest
from raft_harness import member

from mpreg_consensus_raft.applied import Applied, State, encode
from mpreg_consensus_raft.machine import Raft
from mpreg_consensus_raft.majority import agreed, has_majority
from mpreg_consensus_raft.messages import Answer, Append, Appended, Ask, Chunk, Cluster, Config, Entry
from mpreg_consensus_raft.options import RaftOptions
from mpreg_consensus_raft.plugin import SPEC
from mpreg_core import ConsensusContext, Effect, Persist, Proposal, Send, StorageError, Voters

LOG = Cluster(5, "n0")
VOTERS = ("n0", "n1", "n2")


class Lone:
    """`n0`, whose disk is quick: records are durable at once."""

    def __init__(self, records: tuple[bytes, ...] = ()) -> None:
        context = ConsensusContext(member("n0"), "pool", "local", Random(1), 0, records, lambda: b"")
        self.machine = Raft(context, RaftOptions())
        self.records: list[bytes] = []
        self.sent: list[tuple[str, Any]] = []
        self.now_ns = 0
        self.do(self.machine.on_members(0, [member(each) for each in VOTERS]))
        self.do(self.machine.on_voters(0, Voters(1, VOTERS)))

    def do(self, effects: Any) -> list[Any]:
        """Carry out; gives the messages."""
        self.sent = []
        pending: list[Effect] = list(effects)
        while pending:
            effect = pending.pop(0)
            if isinstance(effect, Send):
                self.sent += [(to, effect.message) for to in effect.to]
            elif isinstance(effect, Persist):
                self.records.append(effect.record)
                pending += self.machine.on_persisted(self.now_ns, effect.token)
        return [message for _, message in self.sent]

    def hear(self, sender: str, message: Any) -> list[Any]:
        return self.do(self.machine.on_message(self.now_ns, sender, message))

    def follow(self, *terms: int, commit: int = 0, leader: str = "n1") -> list[Any]:
        """A log with entries of these terms, the first one the configuration."""
        entries = [Entry(term, config=Config(VOTERS)) if not at else entry(term, at) for at, term in enumerate(terms)]
        return self.hear(leader, Append(LOG, terms[-1], 0, 0, commit, 0, tuple(entries)))

    def terms(self) -> list[int]:
        log = self.machine._desk.log
        return [log.entry(index).term for index in range(log.base + 1, log.last_index + 1)]


def entry(term: int, number: int) -> Entry:
    return Entry(term, Proposal(f"p{term}-{number}", "key", b"v", "n1", 0, 1_000))


@pytest.mark.parametrize(
    ("prev", "answer", "terms"),
    [
        ((3, 2), (True, 4), [1, 1, 2, 3]),  # it follows
        ((4, 2), (False, 3), [1, 1, 2]),  # rule 2: nothing there
        ((3, 3), (False, 2), [1, 1, 2]),  # rule 2: another term there
        ((2, 1), (True, 3), [1, 1, 3]),  # rule 3: the entry conflicts, and goes
    ],
)
def test_append_entries(prev: tuple[int, int], answer: tuple[bool, int], terms: list[int]) -> None:
    lone = Lone()
    lone.follow(1, 1, 2)
    (found,) = lone.hear("n2", Append(LOG, 3, *prev, 0, 0, (entry(3, 9),)))
    assert (found.ok, found.index) == answer
    assert lone.terms() == terms


def test_an_append_of_an_old_term_is_refused_and_changes_nothing() -> None:
    lone = Lone()
    lone.follow(1, 3)
    (found,) = lone.hear("n2", Append(LOG, 2, 1, 1, 2, 0, (entry(2, 9),)))
    assert (found.ok, found.term) == (False, 3)
    assert lone.terms() == [1, 3]


def test_an_append_that_came_late_drops_nothing_that_followed_it() -> None:
    lone = Lone()
    lone.follow(1, 1, 1)
    first = Append(LOG, 1, 1, 1, 0, 0, (entry(1, 1),))
    (found,) = lone.hear("n1", first)
    assert (found.ok, found.index) == (True, 2)
    assert lone.terms() == [1, 1, 1]


@pytest.mark.parametrize(
    ("last", "granted"), [((3, 2), True), ((4, 2), True), ((2, 2), False), ((9, 1), False), ((1, 3), True)]
)
def test_votes_go_to_logs_that_are_not_behind(last: tuple[int, int], granted: bool) -> None:
    lone = Lone()
    lone.follow(1, 1, 2)
    lone.now_ns = 10**12  # long after the leader fell silent
    (found,) = lone.hear("n2", Ask(LOG, 7, *last))
    assert (found.granted, found.term) == (granted, 7)


def test_a_vote_is_given_once_a_term_also_across_a_restart() -> None:
    lone = Lone()
    lone.follow(1, commit=1)
    lone.now_ns = 10**12
    question = Ask(LOG, 7, 9, 7)
    assert [answer.granted for answer in lone.hear("n2", question)] == [True]
    assert [answer.granted for answer in lone.hear("n1", question)] == [False]
    again = Lone(tuple(lone.records))
    again.now_ns = 10**12
    assert [answer.granted for answer in again.hear("n1", question)] == [False]
    assert [answer.granted for answer in again.hear("n2", question)] == [True]


def test_who_hears_of_a_leader_gives_no_vote_but_to_whom_the_leader_sent() -> None:
    lone = Lone()
    lone.follow(1, 1)
    assert lone.hear("n2", Ask(LOG, 2, 2, 1)) == []
    assert lone.hear("n2", Ask(LOG, 2, 2, 1, trial=True)) == []
    assert [answer.granted for answer in lone.hear("n2", Ask(LOG, 2, 2, 1, forced=True))] == [True]


def leader_of(*terms: int) -> Lone:
    """`n0` leads in the term after these; its own first entry is at the end."""
    lone = Lone()
    lone.follow(*terms)
    lone.now_ns = 10**12
    lone.do(lone.machine.on_deadline(lone.now_ns))
    term = terms[-1] + 1
    lone.hear("n2", Answer(LOG, term, True, True))
    lone.hear("n2", Answer(LOG, term, True, False))
    assert lone.machine.snapshot().role == "leader"
    return lone


def test_what_an_old_term_left_is_not_committed_by_counting() -> None:
    """Figure 8: a majority has entry 2 of term 1, and yet it may still be replaced."""
    lone = leader_of(1, 1)
    lone.hear("n1", Appended(LOG, 2, True, 2, 0, 1))
    assert lone.machine.snapshot().commit == 0
    lone.hear("n1", Appended(LOG, 2, True, 3, 0, 1))
    assert lone.machine.snapshot().commit == 3


def test_an_answer_of_a_newer_term_ends_a_leaders_rule() -> None:
    lone = leader_of(1, 1)
    lone.hear("n1", Appended(LOG, 9, False, 0, 0, 1))
    assert (lone.machine.snapshot().role, lone.machine.snapshot().term) == ("follower", 9)


def test_a_snapshot_keeps_the_entries_that_follow_it() -> None:
    lone = Lone()
    lone.follow(1, 1, 1, 1)
    data = encode(State(2, 1, Config(VOTERS), (), ()))
    (found,) = lone.hear("n1", Chunk(LOG, 1, 2, 1, 0, len(data), data))
    assert found.ok
    assert lone.machine.snapshot().last_index == 4


def test_a_snapshot_replaces_a_log_that_differs() -> None:
    lone = Lone()
    lone.follow(1, 1, 1)
    data = encode(State(3, 2, Config(VOTERS), (), ()))
    lone.hear("n2", Chunk(LOG, 2, 3, 2, 0, len(data), data))
    assert (lone.machine.snapshot().last_index, lone.machine.snapshot().commit) == (3, 3)
    assert lone.terms() == []


@pytest.mark.parametrize("data", [b"", b"\xc1", encode(State(9, 9, None, (), ()))])
def test_a_snapshot_that_is_none_is_dropped(data: bytes) -> None:
    lone = Lone()
    lone.follow(1, 1)
    lone.hear("n1", Chunk(LOG, 1, 5, 1, 0, len(data), data))
    assert lone.machine.snapshot().drops["malformed"] == 1
    assert lone.terms() == [1, 1]


@pytest.mark.parametrize(
    ("yes", "config", "enough"),
    [
        ({"a", "b"}, Config(("a", "b", "c")), True),
        ({"a"}, Config(("a", "b", "c")), False),
        ({"a", "b"}, Config(("a", "b", "c", "d")), False),
        ({"a", "b", "x"}, Config(("a", "b", "c"), ("x", "y", "z")), False),
        ({"a", "b", "x", "y"}, Config(("a", "b", "c"), ("x", "y", "z")), True),
    ],
)
def test_majorities(yes: set[str], config: Config, enough: bool) -> None:
    assert has_majority(config, yes) is enough
    assert (agreed(config, dict.fromkeys(yes, 7)) == 7) is enough


def test_a_journal_of_another_engine_is_refused() -> None:
    with pytest.raises(StorageError, match="expected a record of the raft engine"):
        Lone((b"\x93\x09\x01\x02",))


def test_an_id_is_applied_once_and_snapshots_remember_it() -> None:
    applied = Applied()
    proposal = Proposal("p", "key", b"v", "n0", 0, 1)
    assert applied.apply(proposal) == 1
    assert applied.apply(proposal) == 0
    other = Applied()
    other.restore(applied.capture(1, None))
    assert other.apply(proposal) == 0


def test_a_heartbeat_that_cannot_be_in_time_is_refused() -> None:
    with pytest.raises(ValueError, match="at most half of election_timeout"):
        SPEC.options(heartbeat_interval=1.5)
