"""Failure detectors: who of the pool is alive.

The pool's table (core) is the one truth about members: it merges verdicts by incarnation and status, refutes what is
said of this node itself by raising its incarnation, and has the gossip strategy spread each change. A detector only
concludes. It may carry verdicts on its own messages as well (SWIM's piggyback): merging is idempotent.
"""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

from msgspec import Struct

from mpreg_core.contracts.effects import Effects
from mpreg_core.contracts.machine import Machine
from mpreg_core.contracts.members import Member
from mpreg_core.ids import NodeId

MessageT = TypeVar("MessageT", bound=Struct, contravariant=True)

Evidence = Literal["refused", "reset", "unreachable", "heard"]
"""What the network itself said of a peer.

`refused`: its host answered that nobody listens there (RST or port unreachable). `reset`: a live connection broke, or
the peer ended it. `unreachable`: host or network could not be reached, or the connection attempt timed out. `heard`: a
frame of it came in on any plane (at most one a second for a peer).
"""


class FailureDetector(Machine[MessageT], Protocol[MessageT]):
    """Emits `Verdict` when its opinion of a member changes, and `RoundTrip` when it measured one.

    It watches the members whose status is alive or suspect, and says `alive` of a failed one that answers.
    """

    def on_members(self, now_ns: int, members: Sequence[Member]) -> Effects:
        """These members are new or changed in the pool's table, this node itself included; first call: all of them.

        A record that says `suspect` or `failed` may come from elsewhere: let its suspicion run as if it were one's
        own. `left` members are to be forgotten.
        """
        ...

    def on_evidence(self, now_ns: int, peer: NodeId, evidence: Evidence) -> Effects:
        """The network said something of a member. Evidence is a hint to confirm, never a verdict by itself."""
        ...
