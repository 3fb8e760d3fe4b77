"""The engine `quorum`: decides proposals by votes of the configured voters, one decision for (key, instance) for ever.

A key may be decided again and again: its decisions are its instances 1, 2, 3 ..., in one order on every member, and
`Decided.index` is the instance. Inside an instance runs Paxos (Lamport, "Paxos Made Simple", 2001, section 2):

    proposer                       voter
    Prepare(ballot)            ->  promises to ignore lower ballots, durably
                               <-  Promise: what it voted for last
    with `needed` promises: the proposal that may have been chosen, else its own
    Accept(ballot, proposal)   ->  votes, durably: yes for the ballot, or no to the proposal for good
                               <-  Vote
    with `needed` yes: decided -> Commit to all voters; whoever asks later is told as well

`needed` is above one half, so two quorums share a voter and its memory carries a choice over. What ends a proposal:

- committed: for ever.
- rejected: more voters refused it, durably, than can be spared, so that it can never be decided; or this node has no
  room for it.
- timeout: undecided. What a few voted for may still be chosen, by a late vote or because the next proposer for the key
  finds it and finishes it; a `committed` then follows the `timeout`, on this member as on all.

A proposal that loses an instance to another goes on to the next one until its time is up: rivals are ordered, not
lost. A proposal's id is decided at most once.

The voters of an epoch are decided by those of the epoch before, towards whom the node wants to vote (`on_voters`);
messages name the epoch, and no vote is cast across two of them. See `seating`.

The roles: `voter`, `proposer`, `reader` and `seating` share a `desk`; `ledger` is the memory, `records` what of it is
durable.
Voters are trusted to follow the protocol; all else, and what comes from strangers, is dropped and counted.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from mpreg_consensus_quorum.desk import Desk
from mpreg_consensus_quorum.ledger import Ledger
from mpreg_consensus_quorum.messages import (
    FETCH_MAX,
    VOTERS_KEY,
    Accept,
    Commit,
    Decision,
    Fetch,
    Handover,
    Inquire,
    Inventory,
    Legacy,
    Nack,
    Prepare,
    Promise,
    QuorumMessage,
    Reject,
    Seats,
    Stamp,
    Vote,
)
from mpreg_consensus_quorum.options import QuorumOptions
from mpreg_consensus_quorum.out import Out
from mpreg_consensus_quorum.proposer import Proposer
from mpreg_consensus_quorum.reader import Reader
from mpreg_consensus_quorum.records import decode_all
from mpreg_consensus_quorum.seating import Seating
from mpreg_consensus_quorum.voter import ANSWER_BYTES_MAX, Validator, Voter, commits_after, is_plausible_decision
from mpreg_core import NOTHING, ConsensusContext, Effects, Member, NodeId, Proposal, ProposalView, Voters
from mpreg_core.limits import MEMBERS_PER_POOL_MAX

REPLAY_MAX = 1_000
"""Decisions told again in one step after a restart."""


VOTES = (Promise, Vote, Nack, Reject, Inventory)
"""What means nothing to a node that may not vote yet."""


class QuorumSnapshot(Struct, frozen=True):
    """The engine's picture. `drops` by reason; `conflicts` are decisions that contradict one known here: always 0."""

    ready: bool
    boot: int
    epoch: int
    active: int
    voters: int
    needed: int
    keys: int
    held_bytes: int
    journal_bytes: int
    campaigns: int
    proposals_open: int
    reads: int
    behind: int
    conflicts: int
    drops: dict[str, int]


class Quorum:
    """One pool's engine on one node. See `mpreg_core.ConsensusEngine` for the calls."""

    def __init__(
        self, context: ConsensusContext, options: QuorumOptions, validate: Validator = lambda proposal: True
    ) -> None:
        """Rebuild what the journal's records say. Raises `StorageError` for a record that is not the engine's."""
        self._me = context.me.id
        ledger = Ledger(options.max_proposals, decode_all(context.records))
        boot = max(ledger.boot + 1, context.me.started_ms)
        out = Out(self._me, ledger, sum(map(len, context.records)))
        self._desk = Desk(self._me, boot, context.rng, options, ledger, out)
        self._voter = Voter(self._desk, votes_alone=options.voting == "auto", validate=validate)
        self._proposer = Proposer(self._desk, learn=self._learn, found_empty=self._found_empty)
        self._reader = Reader(self._desk, self._proposer)
        self._seating = Seating(
            self._desk, self._proposer, self._reader, context.now_ns, ready=self._on_ready, learn=self._learn
        )
        self._members: set[NodeId] = set()
        self._has_begun = False
        self._replay: deque[Decision] = deque(
            decision for decision in ledger.all_decisions() if decision.proposal.key != VOTERS_KEY
        )
        self._conflicts = 0
        self._handlers: dict[type[Struct], Callable[[int, NodeId, Any], None]] = {
            Prepare: self._on_prepare,
            Promise: self._proposer.on_promise,
            Accept: self._voter.on_accept,
            Vote: self._proposer.on_vote,
            Nack: self._proposer.on_nack,
            Commit: self._on_commit,
            Reject: self._on_reject,
            Fetch: self._on_fetch,
            Inquire: lambda now_ns, sender, message: self._reader.on_inquire(sender, message),
            Inventory: self._reader.on_inventory,
            Seats: self._seating.on_seats,
            Handover: lambda now_ns, sender, message: self._seating.on_handover(sender, message),
            Legacy: self._seating.on_legacy,
        }

    # what the node tells

    def on_members(self, now_ns: int, members: Sequence[Member]) -> Effects:
        """Whom to listen to beside the voters."""
        for member in members:
            if member.status == "left":
                self._members.discard(member.id)
            elif len(self._members) < MEMBERS_PER_POOL_MAX:
                self._members.add(member.id)
        self._seating.on_members(members)
        self._reader.on_change(now_ns)
        return NOTHING

    def on_voters(self, now_ns: int, voters: Voters) -> Effects:
        """These are to vote: the voters there are decide it, or this member founds the first list."""
        if not self._has_begun:
            self._has_begun = True
            self._seating.begin()
            self._tell_again(now_ns)
        self._seating.on_wanted(now_ns, voters.ids)
        return self._finish(now_ns)

    def on_proposal(self, now_ns: int, proposal: Proposal) -> Effects:
        """Propose for this node."""
        if proposal.key == VOTERS_KEY:
            self._desk.drop("refused_proposal")
            self._desk.end(now_ns, proposal, "rejected", {})
        else:
            self._proposer.propose(now_ns, proposal)
        return self._finish(now_ns)

    def on_vote(self, now_ns: int, proposal: str, yes: bool) -> Effects:
        """The operator's word. It may come before the proposal does."""
        self._voter.on_operator(now_ns, proposal, yes)
        return self._finish(now_ns)

    def on_read(self, now_ns: int, read: str, timeout_ns: int) -> Effects:
        """Answer with `ReadDone` when all that was committed before is applied here, or after `timeout_ns`."""
        self._reader.on_read(now_ns, read, timeout_ns)
        return self._finish(now_ns)

    def on_persisted(self, now_ns: int, token: int) -> Effects:
        """A record is durable: this node's own answers count, and after the first one the engine takes part."""
        self._desk.out.durable(token)
        self._seating.on_durable(now_ns, token)
        return self._finish(now_ns)

    def on_message(self, now_ns: int, sender: NodeId, message: QuorumMessage) -> Effects:
        """A message of another member."""
        desk = self._desk
        if not (sender in desk.electorate.ids or sender in self._members or sender in desk.ledger.seat.before):
            desk.drop("stranger")
        elif sender == self._me:
            desk.drop("own_name")
        elif desk.out.is_stalled:
            desk.drop("disk_stalled")
        elif not self._has_begun or not (desk.electorate.ready or not isinstance(message, VOTES)):
            desk.drop("not_ready")
        elif isinstance(message, Commit | Fetch) and message.cluster != desk.electorate.stamp.cluster:
            desk.drop("other_cluster")
            self._seating.compare(sender, Stamp(0, message.cluster))
        else:
            self._handlers[type(message)](now_ns, sender, message)
        return self._finish(now_ns)

    def on_deadline(self, now_ns: int) -> Effects:
        """Retries, time-outs and catching up."""
        for kind, name in self._desk.timers.due(now_ns):
            match kind:
                case "proposal":
                    self._proposer.on_time_out(now_ns, name)
                case "campaign":
                    self._proposer.on_timer(now_ns, name)
                case "read":
                    self._reader.on_read_time_out(name)
                case "round":
                    self._reader.on_timer(now_ns)
                case "sync":
                    self._reader.on_sync(now_ns)
                    self._seating.on_sync()
                case "fetch":
                    self._reader.on_fetch()
                case "replay":
                    self._tell_again(now_ns)
                case "found":
                    self._seating.on_found(now_ns)
                case "change":
                    self._seating.on_change(now_ns)
                case "seat":
                    self._seating.on_seat(now_ns)
                case "stay":
                    self._seating.on_stay()
        return self._finish(now_ns)

    def next_deadline(self) -> int | None:
        """The earliest timer."""
        return self._desk.timers.next()

    def on_leave(self, now_ns: int) -> Effects:
        """Nothing to hand over: the voters let this one go, with its own vote (`may_leave`)."""
        return NOTHING

    def voters(self) -> Sequence[NodeId]:
        """The list that counts."""
        return sorted(self._desk.electorate.ids)

    def may_leave(self) -> bool:
        """False while this node is a voter of others, or has to tell the next ones what it did."""
        return self._seating.may_leave

    # what the node reads

    def proposals(self) -> Sequence[ProposalView]:
        """Proposals that this member knows, ended ones first."""
        return self._desk.tracker.views()

    def snapshot(self) -> QuorumSnapshot:
        """Counters and sizes."""
        desk, ledger, electorate = self._desk, self._desk.ledger, self._desk.electorate
        return QuorumSnapshot(
            ready=electorate.ready,
            boot=ledger.boot,
            epoch=electorate.epoch,
            active=ledger.seat.active,
            voters=len(electorate.ids),
            needed=electorate.needed,
            keys=len(ledger.slots) - (VOTERS_KEY in ledger.slots),
            held_bytes=ledger.held_bytes,
            journal_bytes=desk.out.journal_bytes,
            campaigns=self._proposer.campaign_count,
            proposals_open=desk.tracker.open_count,
            reads=self._reader.waiting_count,
            behind=self._reader.behind_count,
            conflicts=self._conflicts,
            drops=dict(sorted(desk.drops.items())),
        )

    # decisions

    def _learn(self, now_ns: int, decision: Decision) -> None:
        """A decision is known here from now on: in the memory, at the node, for what waits for it."""
        desk, proposal = self._desk, decision.proposal
        known_before = desk.ledger.known(proposal.key)
        assert decision.instance > known_before
        desk.ledger.apply(decision)
        desk.out.persist(decision)
        self._tell(now_ns, decision)
        if proposal.key == VOTERS_KEY:
            self._seating.on_decided(now_ns, decision)
        self._proposer.on_decided(now_ns, decision, known_before)
        self._reader.on_decided(now_ns, proposal.key, decision.instance)
        self._seating.take_part(now_ns)

    def _tell(self, now_ns: int, decision: Decision) -> None:
        if decision.proposal.key == VOTERS_KEY:
            return
        votes = {**dict.fromkeys(decision.no, False), **dict.fromkeys(decision.yes, True)}
        self._desk.end(now_ns, decision.proposal, "committed", votes, decision.instance)

    def _found_empty(self, now_ns: int, key: str) -> None:
        self._reader.on_empty(now_ns, key)

    def _on_prepare(self, now_ns: int, sender: NodeId, message: Prepare) -> None:
        self._voter.on_prepare(sender, message)
        if message.key == VOTERS_KEY and sender != self._me:
            self._seating.on_rival(now_ns)

    def _on_commit(self, now_ns: int, sender: NodeId, message: Commit) -> None:
        desk, decision = self._desk, message.decision
        if not is_plausible_decision(decision) or not self._is_certified(decision):
            desk.drop("malformed")
            return
        key, instance = decision.proposal.key, decision.instance
        known = desk.ledger.known(key)
        if instance <= known:
            ours = next(iter(desk.ledger.decisions_after(key, instance - 1)), None)
            if ours is not None and ours.instance == instance and ours.proposal != decision.proposal:
                self._conflicts += 1
        elif message.previous > known:
            self._reader.on_gap(key, instance, sender)
        elif key not in desk.ledger.slots and not desk.ledger.has_room(key, 0):
            desk.drop("full")
        else:
            self._learn(now_ns, decision)

    def _is_certified(self, decision: Decision) -> bool:
        """A decision of our own epoch names enough of our voters; one of another epoch cannot be checked."""
        electorate = self._desk.electorate
        if decision.epoch != electorate.epoch or decision.proposal.key == VOTERS_KEY:
            return True
        return len(electorate.ids.intersection(decision.yes)) >= electorate.needed

    def _on_reject(self, now_ns: int, sender: NodeId, message: Reject) -> None:
        tracked = self._desk.tracker.get(message.proposal)
        if tracked is None or tracked.status != "pending" or tracked.proposal.proposer != sender:
            self._desk.drop("unknown_proposal")
            return
        noes = sorted(self._desk.electorate.ids.intersection(message.no))
        self._desk.end(now_ns, tracked.proposal, "rejected", dict.fromkeys(noes, False))

    def _on_fetch(self, now_ns: int, sender: NodeId, message: Fetch) -> None:
        left = ANSWER_BYTES_MAX
        for key, after in message.wants[:FETCH_MAX]:
            for commit in commits_after(self._desk, key, after):
                left -= len(commit.decision.proposal.value)
                if left < 0:
                    return
                self._desk.out.answer(sender, commit)
            self._proposer.resend(sender, key)

    # steps

    def _tell_again(self, now_ns: int) -> None:
        """After a restart the node has lost what was applied: tell it all decisions held, before anything new."""
        for _ in range(min(REPLAY_MAX, len(self._replay))):
            self._tell(now_ns, self._replay.popleft())
        if self._replay:
            self._desk.timers.set(("replay", ""), now_ns + 1)
        else:
            self._desk.is_held = False
            self._seating.take_part(now_ns)

    def _on_ready(self, now_ns: int) -> None:
        self._proposer.on_ready(now_ns)
        self._reader.on_ready(now_ns)

    def _finish(self, now_ns: int) -> Effects:
        """Handle what this node said to itself, then hand out the step's effects."""
        inbox = self._desk.out.inbox
        while inbox:
            message = inbox.popleft()
            if not self._desk.electorate.ready and isinstance(message, VOTES):  # of the last epoch, durable only now
                self._desk.drop("not_ready")
                continue
            self._handlers[type(message)](now_ns, self._me, message)
        self._reader.set_fetch(now_ns)
        return self._desk.out.take()
