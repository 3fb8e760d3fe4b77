"""The voter: promises and votes, each durable before its answer leaves.

Two kinds of no, not to be mixed up. A `Nack` refuses a *ballot*: another attempt is ahead. A no vote refuses a
*proposal*, in this instance and for ever, whatever the ballot. Paxos lets a voter stay silent at any time, so a no
never endangers a decision; and since it is durable, others may take it for granted that this voter is no part of a
quorum for that proposal. A voter that said yes to a proposal never says no to it while that vote is the last it gave.
"""

from collections.abc import Callable
from typing import TypeAlias

from mpreg_consensus_quorum.desk import Desk
from mpreg_consensus_quorum.ledger import NOES_MAX, Slot
from mpreg_consensus_quorum.messages import (
    NUMBER_MAX,
    VOTERS_KEY,
    Accept,
    Ballot,
    Commit,
    Decision,
    Fetch,
    Nack,
    Prepare,
    Promise,
    Vote,
    is_key,
    is_well_formed,
)
from mpreg_consensus_quorum.records import Promised, Refused, Stance, Voted
from mpreg_core import NodeId, Proposal

Validator: TypeAlias = Callable[[Proposal], bool]
"""Whether this node votes yes on a proposal. Pure; an exception of it stops the engine."""

ANSWER_BYTES_MAX = 2 * 1024 * 1024
"""Values sent in answer to one `Fetch`; the rest has to be asked for again."""


def commits_after(desk: Desk, key: str, after: int) -> list[Commit]:
    """What a node that knows a key's decisions up to `after` lacks."""
    commits = []
    for decision in desk.ledger.decisions_after(key, after):
        commits.append(Commit(desk.electorate.stamp.cluster, decision, after))
        after = decision.instance
    return commits


class Voter:
    """Answers `Prepare`, `Accept` and the operator."""

    def __init__(self, desk: Desk, *, votes_alone: bool, validate: Validator) -> None:
        self._desk = desk
        self._votes_alone = votes_alone
        self._validate = validate

    def on_prepare(self, sender: NodeId, message: Prepare) -> None:
        """Phase 1b: promise, and say what was voted for."""
        slot = self._admit(sender, message)
        if slot is None:
            return
        record = Promised(message.key, message.instance, message.ballot)
        self._desk.ledger.apply(record)
        answer = Promise(message.key, message.instance, message.ballot, slot.accepted)
        self._desk.out.persist(record, sender, answer)

    def on_accept(self, now_ns: int, sender: NodeId, message: Accept) -> None:
        """Phase 2b: vote, unless the operator is to do it."""
        desk, proposal = self._desk, message.proposal
        if proposal.key != message.key or not is_well_formed(proposal):
            desk.drop("malformed")
            return
        slot = self._admit(sender, message)
        if slot is None:
            return
        if proposal.key != VOTERS_KEY and desk.tracker.add(proposal, desk.electorate.needed, len(desk.electorate.ids)):
            # its proposer has the first word on its end
            desk.timers.set(("proposal", proposal.id), now_ns + proposal.timeout_ns + desk.retry_ns)
        verdict = self._verdict(slot, proposal)
        if verdict is None:
            slot.held = message
        elif verdict:
            self._say_yes(sender, slot, message)
        else:
            self._say_no(sender, slot, message)

    def on_operator(self, now_ns: int, proposal: str, yes: bool) -> None:
        """The operator's word: it counts for a proposal that this voter has not voted on."""
        desk = self._desk
        tracked = desk.tracker.get(proposal)
        if not desk.is_voter or proposal in desk.ledger.stances or (tracked and tracked.status != "pending"):
            desk.drop("late_vote")
            return
        slot = desk.ledger.slots.get(tracked.proposal.key) if tracked else None
        if slot is not None and (
            proposal in slot.noes or (slot.accepted is not None and slot.accepted.proposal.id == proposal)
        ):
            desk.drop("late_vote")
            return
        record = Stance(proposal, yes)
        desk.ledger.apply(record)
        desk.out.persist(record)
        if slot is not None and slot.held is not None and slot.held.proposal.id == proposal:
            held, slot.held = slot.held, None
            self.on_accept(now_ns, held.ballot.proposer, held)

    def _admit(self, sender: NodeId, message: Prepare | Accept) -> Slot | None:
        """The slot if the ballot may be answered; else what there is to say has been said."""
        desk, ballot = self._desk, message.ballot
        electorate, out = desk.electorate, desk.out
        if ballot.proposer != sender or not _is_plausible(ballot, message.instance) or not is_key(message.key):
            desk.drop("malformed")
            return None
        if message.stamp != electorate.stamp:
            desk.drop("other_voters")
            desk.compare(sender, message.stamp)
            return None
        if not electorate.ready or not desk.is_voter:
            desk.drop("not_voting")
            return None
        known = desk.ledger.known(message.key)
        if message.instance <= known:
            for commit in commits_after(desk, message.key, message.instance - 1):
                out.answer(sender, commit)
            return None
        if message.instance > known + 1:
            out.answer(sender, Fetch(electorate.stamp.cluster, ((message.key, known),)))
            return None
        if not desk.ledger.has_room(message.key, 0):
            desk.drop("full")
            return None
        slot = desk.ledger.slot(message.key)
        if ballot < slot.promised:
            out.answer(sender, Nack(electorate.stamp, message.key, message.instance, ballot, slot.promised))
            return None
        return slot

    def _verdict(self, slot: Slot, proposal: Proposal) -> bool | None:
        """Yes, no, or None to leave it to the operator. What was said once is said again."""
        if proposal.id in slot.noes:
            return False
        if slot.accepted is not None and slot.accepted.proposal.id == proposal.id:
            return True
        stance = self._desk.ledger.stances.get(proposal.id)
        if stance is not None:
            return stance
        if proposal.proposer == self._desk.me or proposal.key == VOTERS_KEY:
            return True
        return self._validate(proposal) if self._votes_alone else None

    def _say_yes(self, sender: NodeId, slot: Slot, message: Accept) -> None:
        desk, proposal = self._desk, message.proposal
        if not desk.ledger.has_bytes(len(proposal.value)):
            desk.drop("full")
            return
        last = slot.accepted
        epoch = last.epoch if last and last.proposal.id == proposal.id else desk.electorate.epoch
        record = Voted(message.instance, message.ballot, proposal, epoch)
        desk.ledger.apply(record)
        desk.tracker.vote(proposal.id, desk.me, True)
        desk.out.persist(record, sender, Vote(message.key, message.instance, message.ballot, True))

    def _say_no(self, sender: NodeId, slot: Slot, message: Accept) -> None:
        desk, proposal = self._desk, message.proposal
        if proposal.id not in slot.noes and len(slot.noes) >= NOES_MAX:
            desk.drop("full")
            return
        record = Refused(message.key, message.instance, proposal.id)
        desk.ledger.apply(record)
        desk.tracker.vote(proposal.id, desk.me, False)
        desk.out.persist(record, sender, Vote(message.key, message.instance, message.ballot, False))


def is_plausible_decision(decision: Decision) -> bool:
    """True if a decision's fields are within their bounds."""
    return 0 < decision.instance < NUMBER_MAX and is_well_formed(decision.proposal)


def _is_plausible(ballot: Ballot, instance: int) -> bool:
    return 0 < ballot.round < NUMBER_MAX and 0 <= ballot.boot < NUMBER_MAX and 0 < instance < NUMBER_MAX
