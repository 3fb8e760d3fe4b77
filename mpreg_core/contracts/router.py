"""Routers: which member of the pool is the next hop for a request.

A router answers for its own pool alone. Core asks the routers of the node's pools from the lowest up and takes the
first that does not refuse. Core, not the router, spends the hop and time budget and refuses to visit a node twice, so
a bad router can be slow but cannot loop.
"""

from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from mpreg_core.contracts.effects import Effects
from mpreg_core.contracts.machine import Machine
from mpreg_core.contracts.members import Member
from mpreg_core.ids import NodeId, PoolTier, Region

MessageT = TypeVar("MessageT", bound=Struct, contravariant=True)

Policy = Literal["optimal", "fastest", "balanced", "geographic"]
"""Least latency, fewest hops, least load, shortest way on the globe."""


class Target(Struct, frozen=True):
    """Where a request wants to go, as far as this node knows: any of the node itself, the hub above it, its region."""

    node: NodeId | None = None
    hub: NodeId | None = None
    region: Region | None = None


class View(Struct, frozen=True):
    """The pool as the router may use it.

    `members` are the alive and suspect ones (id -> record), this node included; `rtts_ns` the measured round trips
    from this node; `hub` the member that leads the pool and is the way up (None if that is this node or nobody);
    `below` tells for each hub of the pool the node and hub ids known to be reached through it.
    """

    me: NodeId
    tier: PoolTier
    members: Mapping[NodeId, Member]
    rtts_ns: Mapping[NodeId, int]
    hub: NodeId | None
    below: Mapping[NodeId, frozenset[str]]


class Local(Struct, frozen=True):
    """This node is the target."""


class Forward(Struct, frozen=True):
    """Hand on to `next_hop`.

    `cost_ns` compares ways, `alternatives` are further next hops, best first; `reason` is for people.
    """

    next_hop: NodeId
    cost_ns: int
    reason: str
    alternatives: tuple[NodeId, ...] = ()


class Refuse(Struct, frozen=True):
    """This pool offers no way; `reason` is for people."""

    reason: str


Route: TypeAlias = Local | Forward | Refuse


class Router(Machine[MessageT], Protocol[MessageT]):
    """Emits `RouteChanged` when a next hop changes. `route` is called for every request: microseconds matter."""

    def on_view(self, now_ns: int, view: View) -> Effects:
        """The pool changed: members, round trips or what lies below. Prepare tables here, not in `route`."""
        ...

    def route(self, target: Target, avoid: frozenset[NodeId], policy: Policy) -> Route:
        """The way to a target that visits nobody in `avoid` (the nodes visited so far, and failed tries)."""
        ...

    def on_outcome(self, now_ns: int, next_hop: NodeId, ok: bool, duration_ns: int) -> Effects:
        """A request handed to `next_hop` ended so."""
        ...
