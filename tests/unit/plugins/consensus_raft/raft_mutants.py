"""Planted bugs: each breaks one rule of the protocol, and the harness has to find it."""

from collections.abc import Callable
from typing import Any

from mpreg_consensus_raft import leading, voting
from mpreg_consensus_raft.applied import Applied
from mpreg_consensus_raft.desk import Desk
from mpreg_consensus_raft.following import Following
from mpreg_consensus_raft.leading import Leading
from mpreg_consensus_raft.log import Log
from mpreg_consensus_raft.machine import Raft
from mpreg_consensus_raft.messages import Answer, Config, Entry
from mpreg_consensus_raft.voting import Voting

Patch = Callable[[Any], None]


def votes_are_not_remembered(patch: Any) -> None:
    rebuild = Raft._rebuild

    def forgetful(self: Raft, records: Any) -> None:
        rebuild(self, records)
        self._desk.vote = ""

    patch.setattr(Raft, "_rebuild", forgetful)


def terms_are_not_remembered(patch: Any) -> None:
    rebuild = Raft._rebuild

    def forgetful(self: Raft, records: Any) -> None:
        rebuild(self, records)
        self._desk.term = self._desk.log.last_term
        self._desk.vote = ""

    patch.setattr(Raft, "_rebuild", forgetful)


def a_vote_is_given_twice(patch: Any) -> None:
    ask = Voting.on_ask

    def generous(self: Voting, now_ns: int, sender: str, question: Any) -> None:
        if not question.trial and question.term == self._desk.term:
            self._desk.vote = ""
        ask(self, now_ns, sender, question)

    patch.setattr(Voting, "on_ask", generous)


def logs_are_not_compared_in_elections(patch: Any) -> None:
    def trusting(self: Voting, now_ns: int, sender: str, ask: Any) -> None:
        desk = self._desk
        assert desk.cluster is not None
        if ask.term < desk.term:
            return
        if not ask.trial and ask.term > desk.term:
            self.step_down(now_ns, ask.term)
        granted = ask.trial or desk.vote in ("", sender)
        if granted and not ask.trial:
            desk.set_term(desk.term, sender)
        desk.behind(sender, Answer(desk.cluster, ask.term, granted, ask.trial))

    patch.setattr(Voting, "on_ask", trusting)


def answers_do_not_wait_for_the_disk(patch: Any) -> None:
    patch.setattr(Desk, "behind", Desk.send)


def a_leader_counts_what_its_disk_has_not(patch: Any) -> None:
    count = Leading.count

    def hasty(self: Leading, now_ns: int) -> None:
        self._desk.durable_index = self._desk.log.last_index
        count(self, now_ns)

    patch.setattr(Leading, "count", hasty)


def a_follower_truncates_without_comparing_terms(patch: Any) -> None:
    def eager(self: Following, append: Any) -> bool:
        desk, log = self._desk, self._desk.log
        if append.entries:
            if append.prev_index < log.last_index and append.prev_index + 1 > log.base:
                desk.truncate(append.prev_index + 1)
            desk.append(append.entries)
        return True

    patch.setattr(Following, "_take", eager)


def a_follower_does_not_check_the_entry_before(patch: Any) -> None:
    on_append = Following.on_append

    def blind(self: Following, now_ns: int, sender: str, append: Any) -> None:
        term = self._desk.log.term_at(append.prev_index)
        if term is not None:
            append = type(append)(
                append.cluster, append.term, append.prev_index, term, append.commit, append.round, append.entries
            )
        on_append(self, now_ns, sender, append)

    patch.setattr(Following, "on_append", blind)


def a_follower_commits_what_it_has_not_matched(patch: Any) -> None:
    on_append = Following.on_append

    def bold(self: Following, now_ns: int, sender: str, append: Any) -> None:
        on_append(self, now_ns, sender, append)
        desk = self._desk
        if append.term == desk.term:
            self._advance(now_ns, min(append.commit, desk.log.last_index))

    patch.setattr(Following, "on_append", bold)


def reads_are_not_confirmed(patch: Any) -> None:
    patch.setattr(
        Leading,
        "read",
        lambda self, now_ns, reader, nonce: self.answer_read(now_ns, reader, nonce, self._desk.commit),
    )


def a_new_leader_reads_before_it_committed(patch: Any) -> None:
    term_at = Log.term_at
    begin_round = Leading._begin_round

    def early(self: Leading, now_ns: int) -> None:
        desk, log = self._desk, self._desk.log
        own = desk.commit
        log.term_at = lambda index: desk.term if index == own else term_at(log, index)  # type: ignore[method-assign]
        try:
            begin_round(self, now_ns)
        finally:
            del log.term_at

    patch.setattr(Leading, "_begin_round", early)


def a_snapshot_drops_the_sessions(patch: Any) -> None:
    restore = Applied.restore

    def forgetful(self: Applied, state: Any) -> Any:
        found = restore(self, state)
        self.recent.clear()
        return found

    patch.setattr(Applied, "restore", forgetful)


def half_is_a_majority(patch: Any) -> None:
    def most(config: Config, yes: Any) -> bool:
        return all(sum(node in yes for node in half) * 2 >= len(half) - 1 for half in (config.ids, config.old) if half)

    patch.setattr(voting, "has_majority", most)


def voters_change_in_one_step(patch: Any) -> None:
    def jump(self: Leading, now_ns: int) -> bool:
        desk = self._desk
        self._meet(now_ns)
        if desk.config is not None and tuple(desk.desired) != desk.config.ids and desk.log.config_index <= desk.commit:
            desk.append((Entry(desk.term, config=Config(desk.desired)),))
            return True
        return False

    patch.setattr(Leading, "change_voters", jump)


def a_retried_proposal_is_applied_again(patch: Any) -> None:
    apply = Applied.apply

    def again(self: Applied, proposal: Any) -> int:
        self.recent.pop(proposal.id, None)
        return apply(self, proposal)

    def always(self: Leading, now_ns: int, proposal: Any) -> None:
        self._desk.append((Entry(self._desk.term, proposal),))
        self._replicate()
        self.count(now_ns)

    patch.setattr(Applied, "apply", again)
    patch.setattr(Leading, "propose", always)


def a_lease_outlasts_the_promise(patch: Any) -> None:
    patch.setattr(leading, "LEASE_SHARE", 4.0)
    patch.setattr(leading, "heard_by", lambda config, test: True)  # else the leader retires before it can do harm


MUTANTS: dict[str, Patch] = {
    made.__name__: made
    for made in (
        votes_are_not_remembered,
        terms_are_not_remembered,
        a_vote_is_given_twice,
        logs_are_not_compared_in_elections,
        answers_do_not_wait_for_the_disk,
        a_leader_counts_what_its_disk_has_not,
        a_follower_truncates_without_comparing_terms,
        a_follower_does_not_check_the_entry_before,
        a_follower_commits_what_it_has_not_matched,
        reads_are_not_confirmed,
        a_new_leader_reads_before_it_committed,
        a_snapshot_drops_the_sessions,
        half_is_a_majority,
        voters_change_in_one_step,
        a_retried_proposal_is_applied_again,
        a_lease_outlasts_the_promise,
    )
}
