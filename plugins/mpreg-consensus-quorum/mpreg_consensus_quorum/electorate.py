"""Who votes: the denominator of every count, and how many are enough."""

from collections.abc import Set

from mpreg_consensus_quorum.messages import NO_STAMP, VOTERS_KEY, Cluster, Stamp
from mpreg_consensus_quorum.options import votes_needed
from mpreg_core import NodeId


class Electorate:
    """The voters of the current epoch as this node counts them.

    `ready` is false while the record of them, or of this life of the node, is not durable, and for a voter until it
    knows what the voters before may have chosen: nothing is proposed or voted on then. `forgot` are voters that lost
    what they did in this epoch and do not vote in it any more.
    """

    def __init__(self, me: NodeId, threshold: float) -> None:
        self.me = me
        self.ready = False
        self.forgot: set[NodeId] = set()
        self.ids: frozenset[NodeId] = frozenset()
        self.others: tuple[NodeId, ...] = ()
        self.needed = 0
        self.stamp = NO_STAMP
        self._threshold = threshold

    @property
    def spare(self) -> int:
        """Voters that the decision can do without: one more no than this and it is out of reach."""
        return len(self.ids) - self.needed

    @property
    def epoch(self) -> int:
        """The number of their list in their cluster."""
        return self.stamp.epoch

    def needed_of(self, voters: int) -> int:
        """Yes votes that decide among so many voters."""
        return votes_needed(voters, self._threshold)

    def is_enough(self, voters: Set[NodeId], key: str) -> bool:
        """True if these decide.

        The next list of voters is also decided by all that remember what they did, where those who forgot are fewer
        than it takes: each set that may have chosen another list has one of the former.
        """
        if len(voters) >= self.needed:
            return True
        return key == VOTERS_KEY and 0 < len(self.forgot) < self.needed and voters >= self.ids - self.forgot

    def count(self, cluster: Cluster, epoch: int, voters: tuple[NodeId, ...]) -> None:
        """From now on count these."""
        ids = tuple(sorted(set(voters)))
        self.ids = frozenset(ids)
        self.others = tuple(node for node in ids if node != self.me)
        self.needed = self.needed_of(len(ids))
        self.stamp = Stamp(epoch, cluster)
        self.forgot.clear()
