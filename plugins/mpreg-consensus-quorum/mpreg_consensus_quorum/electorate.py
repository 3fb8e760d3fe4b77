"""Who votes: the denominator of every count, and how many are enough."""

from hashlib import blake2b

from mpreg_consensus_quorum.messages import Stamp
from mpreg_consensus_quorum.options import votes_needed
from mpreg_core import NodeId, Voters

_DIGEST_BYTES = 8


class Electorate:
    """The voters of the current epoch as this node counts them.

    `ready` is false while the record of them, or of this life of the node, is not durable: nothing is asked or
    answered then, lest a restart fall back to a quorum that it had left.
    """

    def __init__(self, me: NodeId, threshold: float) -> None:
        self.me = me
        self.ready = False
        self.voters = Voters(0, ())
        self.ids: frozenset[NodeId] = frozenset()
        self.others: tuple[NodeId, ...] = ()
        self.needed = 0
        self.stamp = Stamp(0, b"")
        self._threshold = threshold

    @property
    def spare(self) -> int:
        """Voters that the decision can do without: one more no than this and it is out of reach."""
        return len(self.ids) - self.needed

    def count(self, voters: Voters) -> None:
        """From now on count these."""
        ids = tuple(sorted(set(voters.ids)))
        self.voters = Voters(voters.epoch, ids)
        self.ids = frozenset(ids)
        self.others = tuple(node for node in ids if node != self.me)
        self.needed = votes_needed(len(ids), self._threshold)
        self.stamp = Stamp(voters.epoch, blake2b("\n".join(ids).encode(), digest_size=_DIGEST_BYTES).digest())
