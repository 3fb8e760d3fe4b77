"""Proposals and reads of this node: sent to the leader, whoever it is, until they are answered or their time is up.

A proposal that timed out is undecided: it may be in some log, and be committed later. Proposing it again under its id
is safe, for an id is applied once.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

from mpreg_consensus_raft.desk import Desk
from mpreg_consensus_raft.leading import Leading
from mpreg_consensus_raft.majority import members
from mpreg_consensus_raft.messages import NUMBER_MAX, Forward, ReadAsk, ReadAt
from mpreg_core import NS_PER_MS, Decided, NodeId, Proposal, ProposalView, ReadDone
from mpreg_core.limits import ITEM_BYTES_MAX, KEY_BYTES_MAX

RETRY_NS = 300 * NS_PER_MS
RETRIED_MAX = 256
READS_MAX = 1_000
_ID_CHARACTERS_MAX = 256
_NONCE_BITS = 20

Status = Literal["committed", "rejected", "timeout"]


class Asking:
    """What waits here."""

    def __init__(self, desk: Desk, leading: Leading, boot: int) -> None:
        self._desk = desk
        self._leading = leading
        leading.answer_read = self._answer_read
        self._open: OrderedDict[str, tuple[Proposal, int]] = OrderedDict()
        self._ended: OrderedDict[str, tuple[Proposal, Status, int]] = OrderedDict()  # with when they ended
        self._reads: OrderedDict[str, int] = OrderedDict()  # read -> its deadline
        self._asked: tuple[int, tuple[str, ...]] | None = None  # the nonce that is out, and for whom
        self._index: int | None = None  # what must be applied for those
        self._nonce = (boot << _NONCE_BITS) % NUMBER_MAX

    @property
    def reads_count(self) -> int:
        """Reads that wait."""
        return len(self._reads)

    @property
    def open_count(self) -> int:
        """Proposals that wait."""
        return len(self._open)

    # proposals

    def propose(self, now_ns: int, proposal: Proposal) -> None:
        """Have it decided."""
        desk = self._desk
        if proposal.id in self._open or proposal.id in desk.applied.recent:
            return
        if len(self._open) >= desk.options.max_proposals or not is_well_formed(proposal):
            self._end(now_ns, proposal, "rejected")
            return
        due_ns = now_ns + proposal.timeout_ns
        self._open[proposal.id] = (proposal, due_ns)
        self._pass_on(now_ns, proposal)
        self._retry_by(now_ns, due_ns)

    def on_forward(self, now_ns: int, forward: Forward) -> None:
        """Another member's."""
        if not is_well_formed(forward.proposal):
            self._desk.drop("malformed")
        elif self._desk.role == "leader":
            self._leading.propose(now_ns, forward.proposal)

    def on_decided(self, now_ns: int, proposal: Proposal, instance: int) -> None:
        """It is committed and applied: for the `instance`-th time of its key."""
        self._open.pop(proposal.id, None)
        self._end(now_ns, proposal, "committed", instance)

    def _pass_on(self, now_ns: int, proposal: Proposal) -> None:
        desk = self._desk
        if desk.role == "leader":
            self._leading.propose(now_ns, proposal)
        elif desk.leader:
            desk.send(desk.leader, Forward(proposal))

    def _end(self, now_ns: int, proposal: Proposal, status: Status, instance: int = 0) -> None:
        ended = self._ended
        ended.pop(proposal.id, None)
        ended[proposal.id] = (proposal, status, now_ns)
        if len(ended) > self._desk.options.max_proposals:
            ended.popitem(last=False)
        self._desk.emit(Decided(proposal.id, proposal.key, proposal.value, proposal.proposer, status, {}, instance))

    def views(self) -> Sequence[ProposalView]:
        """Ended ones first, oldest first."""
        config = self._desk.config
        voters = len(members(config)) if config is not None else 0
        needed = voters // 2 + 1
        return [
            *(ProposalView(each, status, {}, needed, voters, at_ns) for each, status, at_ns in self._ended.values()),
            *(ProposalView(each, "pending", {}, needed, voters, None) for each, _ in self._open.values()),
        ]

    # reads

    def read(self, now_ns: int, read: str, timeout_ns: int) -> None:
        """Have it answered, in time."""
        if read in self._reads:
            return
        if len(self._reads) >= READS_MAX or timeout_ns <= 0:
            reason = f"{READS_MAX} reads wait" if timeout_ns > 0 else "no time left"
            self._desk.emit(ReadDone(read, False, reason))
            return
        self._reads[read] = now_ns + timeout_ns
        self._retry_by(now_ns, now_ns + timeout_ns)
        if self._asked is None:
            self._ask(now_ns)

    def _ask(self, now_ns: int) -> None:
        """One question for all reads that wait. A question that was lost is asked again under another number."""
        self._asked = self._index = None
        if not self._reads:
            return
        self._nonce += 1
        self._asked = (self._nonce, tuple(self._reads))
        desk = self._desk
        if desk.role == "leader":
            self._leading.read(now_ns, desk.me, self._nonce)
        elif desk.leader:
            desk.send(desk.leader, ReadAsk(self._nonce))

    def on_read_ask(self, now_ns: int, sender: NodeId, ask: ReadAsk) -> None:
        """Another member's question."""
        if self._desk.role == "leader":
            self._leading.read(now_ns, sender, ask.nonce)

    def _answer_read(self, now_ns: int, reader: NodeId, nonce: int, index: int) -> None:
        if reader == self._desk.me:
            self.on_read_at(now_ns, ReadAt(nonce, index))
        else:
            self._desk.send(reader, ReadAt(nonce, index))

    def on_read_at(self, now_ns: int, at: ReadAt) -> None:
        """The leader's answer."""
        if self._asked is not None and self._asked[0] == at.nonce and self._index is None:
            self._index = at.index
            self.on_applied(now_ns)

    def on_applied(self, now_ns: int) -> None:
        """More is applied: reads may be answered."""
        if self._index is None or self._asked is None or self._desk.applied.index < self._index:
            return
        for read in self._asked[1]:
            if self._reads.pop(read, None) is not None:
                self._desk.emit(ReadDone(read, True))
        self._ask(now_ns)

    # time

    def on_leader(self, now_ns: int) -> None:
        """There is another leader: what waits is sent to it at once."""
        if self._open or self._reads:
            self._desk.wait("retry", now_ns + 1)

    def on_retry(self, now_ns: int) -> None:
        """End what is out of time, send the rest again."""
        for proposal, due_ns in list(self._open.values()):
            if due_ns <= now_ns:
                del self._open[proposal.id]
                self._end(now_ns, proposal, "timeout")
        for read, due_ns in list(self._reads.items()):
            if due_ns <= now_ns:
                del self._reads[read]
                self._desk.emit(ReadDone(read, False, "no quorum"))
        for proposal, _ in list(self._open.values())[:RETRIED_MAX]:
            self._pass_on(now_ns, proposal)
        if self._index is None:
            self._ask(now_ns)
        self._desk.timers.pop("retry", None)
        due = [due_ns for _, due_ns in self._open.values()]
        due += self._reads.values()
        if due:
            self._retry_by(now_ns, min(due))

    def _retry_by(self, now_ns: int, due_ns: int) -> None:
        """Look at all that waits when the soonest of them is due, or soon in any case."""
        soonest = max(now_ns + 1, min(now_ns + RETRY_NS, due_ns))
        held = self._desk.timers.get("retry")
        if held is None or soonest < held:
            self._desk.wait("retry", soonest)


def is_well_formed(proposal: Proposal) -> bool:
    """True if every field of a proposal is within its bounds."""
    try:
        key_bytes = len(proposal.key.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return (
        0 < len(proposal.id) <= _ID_CHARACTERS_MAX
        and proposal.id.isprintable()
        and 0 < len(proposal.proposer) <= _ID_CHARACTERS_MAX
        and 0 < key_bytes <= KEY_BYTES_MAX
        and len(proposal.value) <= ITEM_BYTES_MAX
        and 0 < proposal.timeout_ns <= NUMBER_MAX * 64
    )
