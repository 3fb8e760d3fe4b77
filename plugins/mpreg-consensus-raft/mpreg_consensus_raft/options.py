"""The options of `raft`. Times are seconds."""

from typing import Annotated

from msgspec import Meta, Struct

from mpreg_core import PoolTier
from mpreg_core.limits import PROPOSALS_MAX

ELECTION_S: dict[PoolTier, float] = {"local": 0.5, "regional": 1.0, "global": 2.0}
"""How long a silent leader is waited for, where the options do not say."""


class RaftOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How soon a silent leader is replaced, and what is held.

    - `election_timeout`: a follower that hears nothing of a leader for one to two times this asks for an election. Well
      above the slowest round trip of the pool, disks included. None: 0.5 in a local pool, 1 in a regional one, 2 in the
      global one, whose round trips go around the world. A leader whose death the failure detector reports is
      replaced at once.
    - `heartbeat_interval`: how often a leader with nothing to say says so; at most half of `election_timeout`. None: a
      fifth of it.
    - `lease_reads`: a leader that a majority heard of within four fifths of the election time-out answers reads without
      asking again, for until then none of them votes for another. It rests on clocks whose rates differ by less than a
      fifth, and takes away the early election after a death that the failure detector reports. Set it for all voters
      of a pool or for none.
    - `voters_max`: how many members vote; the others of a larger pool follow the log and step in for voters that leave,
      or that have been dead for a minute. Odd numbers are best: 7 voters go on when 3 of them fail.
    - `max_proposals`: proposals of this node that may be open at once, further ones are rejected; and how many open
      and recently ended ones this node remembers.
    - `snapshot_after`: entries that are applied before the log is replaced by a snapshot of what they led to.
    """

    election_timeout: Annotated[float, Meta(ge=0.05, le=600)] | None = None
    heartbeat_interval: Annotated[float, Meta(ge=0.01, le=60)] | None = None
    lease_reads: bool = False
    voters_max: Annotated[int, Meta(ge=1, le=99)] = 7
    max_proposals: Annotated[int, Meta(ge=1, le=PROPOSALS_MAX)] = 1_000
    snapshot_after: Annotated[int, Meta(ge=16, le=1_000_000)] = 4_096

    def __post_init__(self) -> None:
        for tier in ELECTION_S:
            election_s, heartbeat_s = self.times_s(tier)
            if heartbeat_s * 2 > election_s:
                raise ValueError(
                    f"expected a heartbeat_interval of at most half of election_timeout ({election_s} s), got "
                    f"{heartbeat_s}: one lost heartbeat would be an election"
                )

    def times_s(self, tier: PoolTier) -> tuple[float, float]:
        """The election time-out and the heartbeat interval in a pool of a tier."""
        election_s = ELECTION_S[tier] if self.election_timeout is None else self.election_timeout
        return election_s, election_s / 5 if self.heartbeat_interval is None else self.heartbeat_interval
