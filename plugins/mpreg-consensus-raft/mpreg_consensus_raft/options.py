"""The options of `raft`. Times are seconds."""

from typing import Annotated

from msgspec import Meta, Struct

from mpreg_core.limits import PROPOSALS_MAX


class RaftOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How soon a silent leader is replaced, and what is held.

    - `election_timeout`: a follower that hears nothing of a leader for one to two times this asks for an election. Well
      above the slowest round trip of the pool, disks included. A leader whose death the failure detector reports is
      replaced at once.
    - `heartbeat_interval`: how often a leader with nothing to say says so; a fraction of `election_timeout`.
    - `voters_max`: how many members vote; the others of a larger pool follow the log and step in for voters that leave,
      or that have been dead for a minute. Odd numbers are best: 7 voters go on when 3 of them fail.
    - `max_proposals`: proposals of this node that may be open at once, further ones are rejected; and how many open
      and recently ended ones this node remembers.
    - `snapshot_after`: entries that are applied before the log is replaced by a snapshot of what they led to.
    """

    election_timeout: Annotated[float, Meta(ge=0.05, le=600)] = 2.0
    heartbeat_interval: Annotated[float, Meta(ge=0.01, le=60)] = 0.5
    voters_max: Annotated[int, Meta(ge=1, le=99)] = 7
    max_proposals: Annotated[int, Meta(ge=1, le=PROPOSALS_MAX)] = 1_000
    snapshot_after: Annotated[int, Meta(ge=16, le=1_000_000)] = 4_096

    def __post_init__(self) -> None:
        if self.heartbeat_interval * 2 > self.election_timeout:
            raise ValueError(
                f"expected a heartbeat_interval of at most half of election_timeout ({self.election_timeout} s), got "
                f"{self.heartbeat_interval}: one lost heartbeat would be an election"
            )
