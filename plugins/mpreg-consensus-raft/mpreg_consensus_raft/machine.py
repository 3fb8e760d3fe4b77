"""The engine `raft`: proposals become entries of one replicated log, which every member applies in the same order.

Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (2014); Ongaro's thesis (2014). The roles
sit at one `desk`: `voting` elects, `following` and `leading` replicate, `asking` has this node's proposals and reads
answered, `founding` begins a log. `log` and `applied` are the memory, `desk` writes what of it is durable.

A key may be decided again and again: `Decided.index` counts its decisions. Voters are trusted to follow the protocol;
all else, and what comes from strangers, is dropped and counted.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from mpreg_consensus_raft.applied import Batch, Kept, State, records
from mpreg_consensus_raft.asking import Asking
from mpreg_consensus_raft.desk import Desk
from mpreg_consensus_raft.following import Following
from mpreg_consensus_raft.founding import Founding
from mpreg_consensus_raft.leading import Leading
from mpreg_consensus_raft.majority import members
from mpreg_consensus_raft.messages import (
    Answer,
    Append,
    Appended,
    Ask,
    Chunk,
    Chunked,
    Cluster,
    Forward,
    Here,
    Lead,
    RaftMessage,
    ReadAsk,
    ReadAt,
    WhoIsThere,
)
from mpreg_consensus_raft.options import RaftOptions
from mpreg_consensus_raft.voting import Voting
from mpreg_core import NOTHING, ConsensusContext, Effects, Member, NodeId, Proposal, ProposalView, StorageError, Voters
from mpreg_core.limits import MEMBERS_PER_POOL_MAX

REPLAY_MAX = 1_000
"""Decisions told again in one step after a restart."""


class RaftSnapshot(Struct, frozen=True):
    """The engine's picture. `drops` by reason; `log_entries` are those that no snapshot stands for yet."""

    role: str
    leader: str
    term: int
    commit: int
    last_index: int
    log_entries: int
    log_bytes: int
    voters: int
    keys: int
    held_bytes: int
    journal_bytes: int
    proposals_open: int
    reads: int
    drops: dict[str, int]


class Raft:
    """One pool's engine on one node. See `mpreg_core.ConsensusEngine` for the calls."""

    def __init__(self, context: ConsensusContext, options: RaftOptions) -> None:
        """Rebuild what the journal's records say. Raises `StorageError` for a record that is not the engine's."""
        self._me = context.me.id
        desk = self._desk = Desk(self._me, context.tier, context.me.started_ms, context.rng, options)
        self._voting = Voting(desk, self._elected)
        self._leading = Leading(desk, self._advance, lambda now_ns: self._voting.step_down(now_ns, desk.term))
        self._following = Following(desk, self._heard, self._advance, self._install)
        self._asking = Asking(desk, self._leading, context.me.started_ms)
        self._founding = Founding(desk, context.now_ns)
        self._replay: deque[Kept] = deque()
        self._leader_seen: NodeId = ""
        self._rebuild(context.records)
        if options.lease_reads:  # an earlier life may have promised a leader not to vote for another yet
            desk.leader_heard_ns = context.now_ns
        self._handlers: dict[type[Struct], Callable[[int, NodeId, Any], None]] = {
            Append: self._following.on_append,
            Appended: self._on_appended,
            Ask: self._voting.on_ask,
            Answer: self._voting.on_answer,
            Chunk: self._following.on_chunk,
            Chunked: self._on_chunked,
            Forward: lambda now_ns, sender, message: self._asking.on_forward(now_ns, message),
            ReadAsk: self._asking.on_read_ask,
            ReadAt: lambda now_ns, sender, message: self._asking.on_read_at(now_ns, message),
            Lead: self._on_lead,
            WhoIsThere: lambda now_ns, sender, message: desk.behind(sender, Here(desk.cluster)),
            Here: self._on_here,
        }
        self._act: dict[str, Callable[[int], object]] = {
            "election": self._voting.on_election,
            "heartbeat": self._leading.on_heartbeat,
            "turn": self._leading.on_turn,
            "retry": self._asking.on_retry,
            "found": self._on_found,
            "replay": self._tell_again,
        }

    def _rebuild(self, found: Sequence[bytes]) -> None:
        desk = self._desk
        for number, data in enumerate(found):
            try:
                record = records.decode(data)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError) as error:
                raise StorageError(
                    f"expected a record of the raft engine, got {len(data)} bytes that are none ({error}); the journal "
                    "is of another engine or version: restore it, or move it away and join as a new node",
                    where=f"record {number}",
                ) from error
            desk.cluster, desk.term, desk.vote = record.cluster, record.term, record.vote
            if isinstance(record, Batch):
                if record.first:
                    if not desk.log.base < record.first <= desk.log.last_index + 1:
                        raise StorageError("expected entries that follow the log, got a gap", where=f"record {number}")
                    desk.log.truncate(record.first)
                    desk.log.append(record.entries)
            else:
                desk.log.reset(record.base, record.base_term, record.base_config)
                desk.log.append(record.entries)
                desk.applied.restore(record.state)
                desk.commit = record.state.index
        desk.durable_index = desk.log.last_index
        desk.journal_bytes = sum(map(len, found))
        self._replay.extend(desk.applied.keys.values())

    # what the node tells

    def on_members(self, now_ns: int, members: Sequence[Member]) -> Effects:
        """Whom to listen to; and a leader that is known to be gone is replaced at once."""
        desk = self._desk
        for member in members:
            if member.status in ("failed", "left"):
                desk.gone.setdefault(member.id, now_ns)
                if member.id == desk.leader and member.id != self._me and not desk.options.lease_reads:
                    self._voting.hurry(now_ns)
            else:
                desk.gone.pop(member.id, None)
            if member.status == "left":
                desk.members.discard(member.id)
            elif len(desk.members) < MEMBERS_PER_POOL_MAX:
                desk.members.add(member.id)
        return self._finish(now_ns)

    def on_voters(self, now_ns: int, voters: Voters) -> Effects:
        """Who is to vote. Who does is what the log says: its leader takes the log there."""
        desk = self._desk
        is_first = not desk.desired
        desk.desired = tuple(sorted(voters.ids))
        for node in desk.gone.keys() - set(desk.desired):
            del desk.gone[node]
        desk.since = {node: desk.since.get(node, now_ns) for node in desk.desired}
        if is_first:
            desk.restart_election(now_ns)
            self._tell_again(now_ns)
        self._founding.on_voters(now_ns)
        if desk.role == "leader":
            self._leading.on_heartbeat(now_ns)
        return self._finish(now_ns)

    def on_proposal(self, now_ns: int, proposal: Proposal) -> Effects:
        """Propose for this node."""
        self._asking.propose(now_ns, proposal)
        return self._finish(now_ns)

    def on_vote(self, now_ns: int, proposal: str, yes: bool) -> Effects:
        """In Raft nobody votes on proposals: what a leader takes in is decided when most have it."""
        self._desk.drop("no_votes_on_proposals")
        return NOTHING

    def on_read(self, now_ns: int, read: str, timeout_ns: int) -> Effects:
        """Answer with `ReadDone` when all that was committed before is applied here, or after `timeout_ns`."""
        self._asking.read(now_ns, read, timeout_ns)
        return self._finish(now_ns)

    def on_persisted(self, now_ns: int, token: int) -> Effects:
        """A record is durable: answers behind it leave, votes and entries of this node itself count."""
        desk = self._desk
        desk.durable(token)
        self._voting.on_durable(now_ns)
        if desk.role == "leader":
            self._leading.count(now_ns)
        return self._finish(now_ns)

    def on_message(self, now_ns: int, sender: NodeId, message: RaftMessage) -> Effects:
        """A message of another member."""
        desk = self._desk
        if sender not in desk.members and sender not in desk.desired:
            desk.drop("stranger")
        elif sender == self._me:
            desk.drop("own_name")
        elif desk.is_stalled:
            desk.drop("disk_stalled")
        elif self._is_of_our_log(now_ns, sender, message):
            self._handlers[type(message)](now_ns, sender, message)
        return self._finish(now_ns)

    def on_deadline(self, now_ns: int) -> Effects:
        """Whatever is due."""
        timers = self._desk.timers
        for timer in [each for each, at_ns in timers.items() if at_ns <= now_ns]:
            if timers.get(timer, now_ns + 1) <= now_ns:
                del timers[timer]
                self._act[timer](now_ns)
        return self._finish(now_ns)

    def next_deadline(self) -> int | None:
        """The earliest timer."""
        return min(self._desk.timers.values(), default=None)

    def on_leave(self, now_ns: int) -> Effects:
        """A leader hands over before it goes."""
        if self._desk.role == "leader":
            self._leading.hand_over(now_ns)
        return self._finish(now_ns)

    def voters(self) -> Sequence[NodeId]:
        """Those of the log's last configuration."""
        config = self._desk.config
        return members(config) if config is not None else ()

    def may_leave(self) -> bool:
        """A leader hands over as it goes; voters of a small pool should leave one after the other."""
        return True

    # what the node reads

    def proposals(self) -> Sequence[ProposalView]:
        """Proposals of this node and decisions it has seen, ended ones first."""
        return self._asking.views()

    def snapshot(self) -> RaftSnapshot:
        """Counters and sizes."""
        desk = self._desk
        config = desk.config
        return RaftSnapshot(
            role=desk.role,
            leader=desk.leader,
            term=desk.term,
            commit=desk.commit,
            last_index=desk.log.last_index,
            log_entries=desk.log.last_index - desk.log.base,
            log_bytes=desk.log.size,
            voters=len(members(config)) if config is not None else 0,
            keys=len(desk.applied.keys),
            held_bytes=desk.applied.held_bytes,
            journal_bytes=desk.journal_bytes,
            proposals_open=self._asking.open_count,
            reads=self._asking.reads_count,
            drops=dict(sorted(desk.drops.items())),
        )

    # whose log

    def _is_of_our_log(self, now_ns: int, sender: NodeId, message: Any) -> bool:
        """Messages of another log change nothing, but for which of the two logs lives on."""
        desk = self._desk
        theirs: Cluster | None = getattr(message, "cluster", None)
        if isinstance(message, Here) or theirs is None or theirs == desk.cluster:
            return True
        if desk.cluster is None or theirs < desk.cluster:
            if not isinstance(message, Append | Chunk | Ask):
                return False
            self._give_way(now_ns, theirs)
            return True
        desk.drop("other_log")
        desk.behind(sender, Here(desk.cluster))
        return False

    def _on_here(self, now_ns: int, sender: NodeId, here: Here) -> None:
        desk = self._desk
        if desk.cluster is None:
            self._founding.on_here(sender, here)
        elif here.cluster is not None and here.cluster < desk.cluster:
            self._give_way(now_ns, here.cluster)

    def _give_way(self, now_ns: int, theirs: Cluster) -> None:
        """Take part in another log from now on; nothing of the own one counts there."""
        desk = self._desk
        if desk.cluster is not None:
            desk.drop("log_given_up")
        self._voting.step_down(now_ns, desk.term)
        desk.timers.pop("found", None)
        desk.log.reset(0, 0, None)
        desk.applied = type(desk.applied)()
        desk.commit = desk.durable_index = desk.term = 0
        desk.vote = ""
        desk.cluster = theirs
        desk.leader_heard_ns = -1 << 62
        desk.is_new = desk.boot > theirs.founded_ms
        desk.checkpoint()

    # what happens

    def _elected(self, now_ns: int) -> None:
        self._leading.begin(now_ns)

    def _heard(self, now_ns: int, term: int, leader: NodeId) -> None:
        desk = self._desk
        if term > desk.term or desk.role != "follower":
            self._voting.step_down(now_ns, term, leader)
        desk.follow(leader)
        desk.leader_heard_ns = now_ns
        desk.restart_election(now_ns)

    def _on_appended(self, now_ns: int, sender: NodeId, appended: Appended) -> None:
        if appended.term > self._desk.term:
            self._voting.step_down(now_ns, appended.term)
        elif self._desk.role == "leader":
            self._leading.on_appended(now_ns, sender, appended)

    def _on_chunked(self, now_ns: int, sender: NodeId, chunked: Chunked) -> None:
        if self._desk.role == "leader":
            self._leading.on_chunked(now_ns, sender, chunked)

    def _on_lead(self, now_ns: int, sender: NodeId, lead: Lead) -> None:
        desk = self._desk
        if lead.term == desk.term and sender == desk.leader and desk.is_voter and desk.role == "follower":
            self._voting.stand(now_ns, forced=True)

    def _on_found(self, now_ns: int) -> None:
        if self._founding.on_timer(now_ns):
            self._voting.stand(now_ns)

    def _advance(self, now_ns: int, commit: int) -> None:
        """More is committed: apply it in order."""
        desk = self._desk
        desk.commit = max(desk.commit, commit)
        applied = desk.applied
        while applied.index < desk.commit:
            applied.index += 1
            proposal = desk.log.entry(applied.index).proposal
            if proposal is None:
                continue
            self._leading.on_applied(proposal.id)
            instance = applied.apply(proposal)
            if instance:
                self._asking.on_decided(now_ns, proposal, instance)
        self._asking.on_applied(now_ns)
        if applied.index - desk.log.base > desk.options.snapshot_after + desk.tail:
            desk.checkpoint()

    def _install(self, now_ns: int, state: State) -> None:
        """Another member's state replaces what is here. Entries that follow it stay: they may be acknowledged (7)."""
        desk = self._desk
        if desk.log.term_at(state.index) != state.term:
            desk.log.reset(state.index, state.term, state.config)
            desk.durable_index = state.index
        newer = desk.applied.restore(state)
        desk.commit = state.index
        desk.checkpoint()
        for kept in newer:
            self._asking.on_decided(now_ns, kept.proposal, kept.instance)
        self._asking.on_applied(now_ns)

    def _tell_again(self, now_ns: int) -> None:
        """After a restart the node has lost what was applied: tell it all that the journal's state holds."""
        for _ in range(min(REPLAY_MAX, len(self._replay))):
            kept = self._replay.popleft()
            self._asking.on_decided(now_ns, kept.proposal, kept.instance)
        if self._replay:
            self._desk.wait("replay", now_ns + 1)

    def _finish(self, now_ns: int) -> Effects:
        desk = self._desk
        if desk.leader != self._leader_seen:
            self._leader_seen = desk.leader
            if desk.leader:
                self._asking.on_leader(now_ns)
        return desk.take()
