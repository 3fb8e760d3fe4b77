"""The graph router's one message."""

from typing import Annotated

from msgspec import Meta, Struct

from mpreg_core import NodeId

LINKS_MAX = 64
COST_US_MAX = 600_000_000

Name = Annotated[NodeId, Meta(min_length=1, max_length=63)]
CostUs = Annotated[int, Meta(ge=1, le=COST_US_MAX)]


class LinkState(Struct, frozen=True, array_like=True, tag=1):
    """The links of one member: neighbour and cost, µs.

    It replaces all earlier ones of `origin`: `seq` grows with each within one life of the process, and `started_ms` (as
    in the member's record) tells lives apart, so a restart needs no memory of the sequence (cf. RFC 2328, 12.1.6).
    """

    origin: Name
    started_ms: int
    seq: Annotated[int, Meta(ge=0)]
    links: Annotated[tuple[tuple[Name, CostUs], ...], Meta(max_length=LINKS_MAX)]


MESSAGES = (LinkState,)
