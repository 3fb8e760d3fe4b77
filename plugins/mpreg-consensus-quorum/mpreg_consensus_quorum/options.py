"""The options of `quorum`: the guide's keys and the timing of retries. Times are seconds."""

from fractions import Fraction
from typing import Annotated, Literal

from msgspec import Meta, Struct

from mpreg_core.limits import PROPOSALS_MAX


class QuorumOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many must agree, how long to try.

    - `threshold`: the share of the configured voters that must vote yes, above 0 and at most 1. Whatever it is, more
      than half must: two smaller quorums could decide differently. 0.6 needs 3 of 5 and 5 of 7; 1 needs everyone, so
      that a single voter that is down stops all decisions.
    - `proposal_timeout`: how long the engine tries to settle what it was not given a time for, such as a decision
      that a dead proposer left half done and that a read must know about. A proposal brings its own time.
    - `max_proposals`: proposals of this node that may be open at once, further ones are rejected; and how many open
      and recently ended ones this node remembers.
    - `retry_interval`: how long to wait for a quorum's answers before asking again; waits double up to eight times
      this. Above the slowest round trip in the pool, disks included.
    - `voters_max`: members that vote in a pool at most, those who are there first. All of them are asked each time, so
      more make decisions slower; a voter that leaves makes place for another member.
    - `voting`: `auto` votes yes on every well-formed proposal at once. `manual` leaves each proposal of other nodes
      to this node's operator; time-outs should be hours then.
    """

    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.6
    proposal_timeout: Annotated[float, Meta(gt=0, le=86_400)] = 10.0
    max_proposals: Annotated[int, Meta(ge=1, le=PROPOSALS_MAX)] = 100
    voters_max: Annotated[int, Meta(ge=1, le=99)] = 15
    retry_interval: Annotated[float, Meta(ge=0.01, le=60)] = 0.5
    voting: Literal["auto", "manual"] = "auto"


def votes_needed(voters: int, threshold: float) -> int:
    """Yes votes that decide among `voters`: the threshold's share, rounded up, and always more than half.

    Counted exactly: the threshold is the decimal number that was written, not its binary neighbour.
    """
    share = Fraction(str(threshold))
    return max(-(-share.numerator * voters // share.denominator), voters // 2 + 1)
