"""Facts. A strategy emits them, core wires them to the sibling machines of the pool, observers see them all.

An event never asks for anything and nobody can veto it. Plugins may subclass `Event` for facts of their own: core
passes those on to observers untouched.
"""

from typing import Literal

from msgspec import Struct

from mpreg_core.contracts.members import Member, Status
from mpreg_core.ids import ClusterId, Family, NodeId, Plane, PoolId, Region


class Event(Struct, frozen=True, tag=True):
    """Base of all facts; the tag is the class name."""


class Occurrence(Struct, frozen=True):
    """An event as observers get it: when (monotonic ns), at which node, in which pool (empty = the whole node)."""

    at_ns: int
    node: NodeId
    pool: PoolId
    event: Event


# emitted by failure detectors


class Verdict(Event, frozen=True):
    """What a detector concluded about a peer. Core merges it into the pool's table and tells the pool if it is new.

    `incarnation` is the one the verdict was reached about: with another one at the table it counts for nothing, but an
    accusation of this node itself is always refuted above it. `cause` is a short word
    (`probe`, `gossip`, `refused`, `phi`), `by` the member that concluded it first.
    """

    peer: NodeId
    status: Literal["alive", "suspect", "failed"]
    incarnation: int
    cause: str
    by: NodeId = ""


class RoundTrip(Event, frozen=True):
    """A round trip to a peer was measured."""

    peer: NodeId
    rtt_ns: int


# emitted by gossip strategies


class Delivered(Event, frozen=True):
    """An item arrived that this node had not seen: core merges it. `hops` counts from its origin, 1 or more."""

    key: str
    stamp: int
    payload: bytes
    origin: NodeId
    born_ms: int
    hops: int
    kept: bool = True
    priority: int = 1


# emitted by consensus engines


class Decided(Event, frozen=True):
    """A proposal reached its end at this node. `committed` is forever; `timeout` means undecided, not refused.

    `votes` holds yes and no by voter as far as known here. `index` orders the engine's decisions (0 = unordered).
    """

    proposal: str
    key: str
    value: bytes
    proposer: NodeId
    status: Literal["committed", "rejected", "timeout"]
    votes: dict[NodeId, bool]
    index: int = 0


class LeaderChanged(Event, frozen=True):
    """The engine follows another leader (None = none) from `term` on."""

    leader: NodeId | None
    term: int


class ReadDone(Event, frozen=True):
    """The answer to `on_read`: when `ok`, all that was committed before the read was asked for is applied here."""

    read: str
    ok: bool
    reason: str = ""


class SnapshotInstalled(Event, frozen=True):
    """The engine took over another member's application state: core replaces its own by it."""

    state: bytes


# emitted by routers


class RouteChanged(Event, frozen=True):
    """The next hop towards a node or region changed (None = lost)."""

    target: str
    next_hop: NodeId | None
    reason: str


# made by core


MemberChange = Literal["joined", "alive", "suspect", "failed", "left", "recovered", "refuted", "updated"]


class MemberChanged(Event, frozen=True):
    """A pool's table changed. `joined` was unknown before, `recovered` was failed, `refuted` was suspect."""

    change: MemberChange
    member: Member
    previous: Status | None
    cause: str
    by: NodeId = ""


class PoolJoined(Event, frozen=True):
    """This node became a member of the pool through `via` (empty: it leads the pool itself)."""

    via: NodeId
    members: int


class PoolLeft(Event, frozen=True):
    """This node is no longer a member of the pool."""

    reason: str


class JoinRefused(Event, frozen=True):
    """A hub would not take this node; `hint` says what to do."""

    by: str
    reason: str
    hint: str


class ParentChanged(Event, frozen=True):
    """This node is attached to another hub (None = to none)."""

    parent: NodeId | None
    previous: NodeId | None
    reason: str


class SuccessionChanged(Event, frozen=True):
    """This node, which stands by for another hub, leads the pool from now on, or does so no more."""

    leads: bool
    reason: str


class RegionContested(Event, frozen=True):
    """Another regional hub leads this one's region as well, and neither stands by for the other."""

    hub: NodeId
    region: Region


class ClusterMisplaced(Event, frozen=True):
    """A cluster registered with this hub, and another hub with room, or another region's, is much nearer to it."""

    cluster: ClusterId
    distance_km: float
    hub: NodeId
    hub_distance_km: float


class RegionDoubted(Event, frozen=True):
    """This node is further from its hub than a region is wide, though both say they are in one: one of them errs."""

    hub: NodeId
    region: Region
    distance_km: float


class NameConflict(Event, frozen=True):
    """Two processes use one id. The one that started later must stop; `ours` tells whether that is this node."""

    id: NodeId
    kept: str
    refused: str
    ours: bool


class ChannelRefused(Event, frozen=True):
    """A member speaks another strategy or wire version for a family: nothing of that family goes between the two."""

    peer: NodeId
    family: Family
    ours: str
    theirs: str


class FrameDropped(Event, frozen=True):
    """Bytes from the network were not usable. At most one event a second for a reason; the counter has them all."""

    plane: Plane
    reason: str
    source: str
    count: int


class StrategyFailed(Event, frozen=True):
    """A strategy raised or broke its contract: it was discarded, and rebuilt unless `stopped`."""

    family: Family
    strategy: str
    error: str
    stopped: bool


class StateChanged(Event, frozen=True):
    """A replicated key changed here."""

    key: str
    scope: str
    revision: int
    deleted: bool


class Published(Event, frozen=True):
    """A published message reached this node: the payload is encoded JSON.

    `chosen` are the tokens of the subscribers here that get it for their queue groups; the others have it already if it
    is not `plain`.
    """

    id: str
    topic: str
    payload: bytes
    origin: NodeId
    chosen: tuple[int, ...] = ()
    plain: bool = True


class SpreadMeasured(Event, frozen=True):
    """The answers to a test message of this node so far: `reached` members of `of`, the last after `duration_ns`."""

    id: str
    reached: int
    of: int
    duration_ns: int


class ClusterChanged(Event, frozen=True):
    """A cluster of this hub was registered, changed or removed."""

    cluster: str
    change: Literal["registered", "updated", "expired", "deregistered"]


class RequestDone(Event, frozen=True):
    """A request that entered the federation at this node ended. `outcome` is `ok` or an error's code."""

    service: str
    outcome: str
    hops: int
    duration_ns: int


class NodeStateChanged(Event, frozen=True):
    """The node's own life cycle: starting, joining, ready, draining, stopped."""

    state: str
    reason: str = ""


class StorageFailed(Event, frozen=True):
    """The journal could not be written (full or read-only disk): durable work is refused until it can."""

    error: str
