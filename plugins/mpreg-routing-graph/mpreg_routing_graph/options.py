"""The options of the graph router."""

from typing import Annotated

from msgspec import Meta, Struct

from mpreg_routing_graph.messages import LINKS_MAX


class GraphOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is told about links, how often, and how readily the router changes its mind.

    - `hysteresis`: a link's cost changes, for this node and all others, only when its round trip moved by this share.
    - `margin`: a path over other members is taken only when it is cheaper than the straight link by this share.
    - `max_links`: links of this node that it tells of: to the pool's leaders, the nearest, and an even sample.
    - `update_interval`: seconds between two tellings at least (RFC 2328 MinLSInterval). Unchanged links are told again
      after this time, then after twice as long each time.
    - `refresh_interval`: seconds between two tellings at most; longer in large pools, so that a member gets no more
      than 100 refreshes a second.
    - `flood_direct`: pools up to this many members tell everyone straight.
    - `flood_fanout`: in larger pools each member passes news on once, to this many members by chance.
    - `max_graph_cache_size`: decisions kept for each policy.
    - `eject_after`, `eject_time`, `eject_time_max`: so many failures in a row take the link to a next hop out of the
      graph for so many seconds, more with each further time in a row.
    """

    hysteresis: Annotated[float, Meta(ge=0.0, le=0.9)] = 0.2
    margin: Annotated[float, Meta(ge=0.0, le=0.9)] = 0.2
    max_links: Annotated[int, Meta(ge=1, le=LINKS_MAX)] = 32
    update_interval: Annotated[float, Meta(ge=0.01, le=3600.0)] = 1.0
    refresh_interval: Annotated[float, Meta(gt=0.0, le=86_400.0)] = 30.0
    flood_direct: Annotated[int, Meta(ge=1, le=256)] = 32
    flood_fanout: Annotated[int, Meta(ge=1, le=32)] = 8
    max_graph_cache_size: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000
    eject_after: Annotated[int, Meta(ge=1, le=1000)] = 5
    eject_time: Annotated[float, Meta(gt=0.0, le=3600.0)] = 10.0
    eject_time_max: Annotated[float, Meta(gt=0.0, le=86_400.0)] = 300.0

    def __post_init__(self) -> None:
        for low, high in (("eject_time", "eject_time_max"), ("update_interval", "refresh_interval")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(
                    f"{low} ({getattr(self, low)} s) is over {high} ({getattr(self, high)} s): raise the latter"
                )
