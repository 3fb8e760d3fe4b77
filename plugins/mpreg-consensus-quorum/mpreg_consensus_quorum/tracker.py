"""Open and recently ended proposals as this node sees them, for people; what was decided does not depend on it."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Literal

from mpreg_core import NodeId, Proposal, ProposalView

Status = Literal["pending", "committed", "rejected", "timeout"]


class Tracked:
    """One proposal. `needed` and `voters` are those of the time when it was heard of, or ended."""

    __slots__ = ("ended_ns", "needed", "proposal", "status", "voters", "votes")

    def __init__(self, proposal: Proposal, needed: int, voters: int) -> None:
        self.proposal = proposal
        self.needed = needed
        self.voters = voters
        self.status: Status = "pending"
        self.votes: dict[NodeId, bool] = {}
        self.ended_ns: int | None = None


class Tracker:
    """At most `size` proposals: the oldest ended one makes place; when all are open a new one is not tracked."""

    def __init__(self, size: int, threshold: float) -> None:
        self._size = size
        self._threshold = threshold
        self._open: OrderedDict[str, Tracked] = OrderedDict()
        self._ended: OrderedDict[str, Tracked] = OrderedDict()

    @property
    def open_count(self) -> int:
        """Proposals that are pending here."""
        return len(self._open)

    def get(self, proposal: str) -> Tracked | None:
        """The proposal of that id, open or ended."""
        return self._open.get(proposal) or self._ended.get(proposal)

    def is_open(self, proposal: str) -> bool:
        """True if it is pending here."""
        return proposal in self._open

    def add(self, proposal: Proposal, needed: int, voters: int) -> bool:
        """Track a proposal that is not known yet; False if it is, or if there is no place."""
        if self.get(proposal.id) is not None or len(self._open) >= self._size:
            return False
        self._open[proposal.id] = Tracked(proposal, needed, voters)
        self._trim()
        return True

    def vote(self, proposal: str, voter: NodeId, yes: bool) -> None:
        """A vote was heard of; a yes is not taken back by a lost one."""
        tracked = self._open.get(proposal)
        if tracked is not None:
            tracked.votes[voter] = yes

    def end(self, now_ns: int, proposal: Proposal, status: Status, votes: Mapping[NodeId, bool]) -> Tracked:
        """The proposal has ended; one that was not tracked is from now on."""
        tracked = self._open.pop(proposal.id, None) or self._ended.pop(proposal.id, None) or Tracked(proposal, 0, 0)
        tracked.status = status
        tracked.votes.update(votes)
        tracked.ended_ns = now_ns
        self._ended[proposal.id] = tracked
        self._trim()
        return tracked

    def views(self) -> Sequence[ProposalView]:
        """All of them, ended ones first, oldest first."""
        return [
            ProposalView(t.proposal, t.status, dict(t.votes), t.needed, t.voters, t.ended_ns, self._threshold)
            for t in (*self._ended.values(), *self._open.values())
        ]

    def _trim(self) -> None:
        while self._ended and len(self._ended) + len(self._open) > self._size:
            self._ended.popitem(last=False)
