"""What the roles of one node share: a voter, a proposer and a reader sit at one desk."""

from collections import Counter
from collections.abc import Callable
from random import Random

from mpreg_consensus_quorum.electorate import Electorate
from mpreg_consensus_quorum.ledger import Ledger
from mpreg_consensus_quorum.messages import Stamp
from mpreg_consensus_quorum.options import QuorumOptions
from mpreg_consensus_quorum.out import Out
from mpreg_consensus_quorum.timers import Timers
from mpreg_consensus_quorum.tracker import Status, Tracker
from mpreg_core import Decided, NodeId, Proposal, ns

_BACKOFF_DOUBLINGS_MAX = 3


class Desk:
    """The shared state, and what more than one role does with it."""

    def __init__(self, me: NodeId, boot: int, rng: Random, options: QuorumOptions, ledger: Ledger, out: Out) -> None:
        self.me = me
        self.boot = boot
        self.is_held = True  # until the node was told what it knew in its earlier lives
        self.rng = rng
        self.ledger = ledger
        self.out = out
        self.electorate = Electorate(me, options.threshold)
        self.tracker = Tracker(options.max_proposals, options.threshold)
        self.timers = Timers()
        self.drops: Counter[str] = Counter()
        self.retry_ns = ns(options.retry_interval)
        self.recovery_ns = ns(options.proposal_timeout)
        self.open_max = options.max_proposals
        self.voters_max = options.voters_max
        self.compare: Callable[[NodeId, Stamp], None] = lambda sender, stamp: None
        """What follows from another node's counting other voters; the seating sets it."""

    @property
    def is_voter(self) -> bool:
        """True if this node's vote counts."""
        return self.me in self.electorate.ids

    def drop(self, reason: str) -> None:
        """Count a message or call that had no effect."""
        self.drops[reason] += 1

    def wait_ns(self, base_ns: int, attempts: int) -> int:
        """How long to wait for the next try: doubled each time up to eight times `base_ns`, give or take a quarter."""
        doubled = base_ns << min(attempts, _BACKOFF_DOUBLINGS_MAX)
        return max(1, round(doubled * self.rng.uniform(0.75, 1.25)))

    def end(self, now_ns: int, proposal: Proposal, status: Status, votes: dict[NodeId, bool], index: int = 0) -> None:
        """A proposal's end here: tell the node."""
        assert status != "pending"
        self.timers.cancel(("proposal", proposal.id))
        electorate = self.electorate
        tracked = self.tracker.end(now_ns, proposal, status, votes)
        tracked.needed, tracked.voters = electorate.needed, len(electorate.ids)
        event = Decided(
            proposal.id, proposal.key, proposal.value, proposal.proposer, status, dict(tracked.votes), index
        )
        self.out.emit(event)
