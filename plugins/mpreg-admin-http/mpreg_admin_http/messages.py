"""Queries, bodies and answers, beside the core's own records. Names and shapes are the contract with clients."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from mpreg_core import (
    Candidate,
    Cluster,
    Consistency,
    Coordinates,
    Json,
    NodeStatus,
    Policy,
    PoolStatus,
    Scope,
    StateEntry,
)
from mpreg_core.limits import LEASE_S_MAX, LEASE_S_MIN

Timeout = Annotated[float, Meta(gt=0, le=300)]
Key = Annotated[str, Meta(min_length=1, max_length=512)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
HealthWord = Literal["healthy", "degraded", "unhealthy"]


class Input(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of queries and bodies: what is not known is refused."""


class Nothing(Input, frozen=True):
    """No query, or no body."""


# health


class Alive(Struct, frozen=True):
    """The process answers."""

    status: str


class Ready(Struct, frozen=True):
    """Whether the node takes requests; `state` is its place in its life cycle."""

    ready: bool
    state: str


# the node and its pools


class StatusAnswer(Struct, frozen=True):
    """The node, its pools and its place in the hierarchy."""

    node: NodeStatus
    pools: list[PoolStatus]
    parent_hub: str | None
    children: list[str]


class MembersQuery(Input, frozen=True):
    """Only the members of a pool, or with a status."""

    pool: str | None = None
    status: Literal["alive", "suspect", "failed", "left"] | None = None


class Ports(Struct, frozen=True):
    """A member's port of each plane and its HTTP API; 0 where it is not known."""

    gossip: int
    membership: int
    consensus: int
    routing: int
    http: int


class NetworkAnswer(Struct, frozen=True):
    """Network coordinates (Vivaldi): two nodes are as far apart as their points, plus both heights.

    `error` is how far off estimates were of late: 0.1 is a tenth.
    """

    position_ms: tuple[float, float, float]
    height_ms: float
    error: float


class MemberAnswer(Struct, frozen=True, kw_only=True):
    """A member of one pool. `address` is host and membership port; `since` the time of its last change.

    `rtt_ms` was measured last; `rtt_estimate_ms` is what the network coordinates of both nodes say.
    """

    id: str
    pool: str
    status: Literal["alive", "suspect", "failed", "left"]
    incarnation: int
    hub_tier: Literal["global", "regional", "local", "cluster"]
    region: str
    coordinates: Coordinates | None
    address: str
    ports: Ports
    rtt_ms: float | None
    since: float
    parent: str | None
    version: str
    draining: bool
    load: float
    tags: dict[str, str]
    rtt_estimate_ms: float | None
    network: NetworkAnswer | None


class MembersAnswer(Struct, frozen=True):
    """By pool and id."""

    members: list[MemberAnswer]


class RoutesQuery(Input, frozen=True):
    """`to` is a node, cluster, service or region."""

    to: Name
    policy: Policy = "optimal"


class RouteAnswer(Struct, frozen=True):
    """The way from here as far as this node decides it: `path` is this node and the next hop."""

    to: str
    path: list[str]
    next_hop: str | None
    pool: str
    cost_ms: float
    alternatives: list[str]
    reason: str


# gossip


class SpreadAnswer(Struct, frozen=True):
    """How many members a test message reached, of how many, in how many seconds."""

    id: str
    reached: int
    of: int
    seconds: float


# consensus


class ProposeQuery(Input, frozen=True):
    """Whether to answer only when the proposal ended."""

    wait: bool = True


class ProposeBody(Input, frozen=True):
    """A proposal. Without `timeout` the configured one counts."""

    key: Key
    value: Json
    scope: Scope = "pool"
    timeout: Timeout | None = None


class VoteBody(Input, frozen=True):
    """This node's vote, by hand."""

    vote: bool | Literal["yes", "no"]


class ProposalAnswer(Struct, frozen=True):
    """A proposal. `threshold` is the configured share of the voters that must say yes. Times in seconds."""

    id: str
    key: str
    value: Json
    proposer: str
    status: str
    votes: dict[str, bool]
    threshold: float
    needed: int
    voters: int
    created: float
    decided: float | None


class ProposalsAnswer(Struct, frozen=True):
    """Open and recently ended ones."""

    proposals: list[ProposalAnswer]


class Tally(Struct, frozen=True):
    """Votes cast."""

    yes: int
    no: int


class VotesAnswer(Struct, frozen=True):
    """Statistics over the proposals known here: how they stand, and how each voter voted."""

    proposals: int
    by_status: dict[str, int]
    voters: dict[str, Tally]


# state


class StateQuery(Input, frozen=True):
    """Which copy of a key, and how fresh."""

    scope: Scope = "pool"
    consistency: Consistency = "eventual"


class StateListQuery(Input, frozen=True):
    """Entries whose key begins with `prefix`, after the key `after`, at most `limit`."""

    prefix: str = ""
    scope: Scope | None = None
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 10_000


class DeleteQuery(StateQuery, frozen=True):
    """Only if the entry still has this version."""

    if_version: str | None = None


class WatchQuery(Input, frozen=True):
    """Which copy of a key; with `prefix` of all keys that begin so.

    `since` is the revision of an earlier answer of this node: what changed after it comes, and nothing before. Without
    it the entries come as they are now.
    """

    scope: Scope = "pool"
    since: Annotated[int, Meta(ge=0)] | None = None
    prefix: bool = False


class PutBody(Input, frozen=True):
    """A value. With `if_version` it is written only over that version, else 409.

    The key ends `ttl` seconds after its last write, an `ephemeral` one when the node asked fails, leaves or restarts.
    """

    value: Json
    policy: str | None = None
    if_version: str | None = None
    ttl: Annotated[float, Meta(ge=LEASE_S_MIN, le=LEASE_S_MAX)] | None = None
    ephemeral: bool = False


class EntriesAnswer(Struct, frozen=True):
    """By key. `next` is what to pass as `after` for more, null at the end."""

    entries: list[StateEntry]
    revision: int
    next: str | None


class DeletedAnswer(Struct, frozen=True):
    """The entry is gone as of `revision`."""

    key: str
    deleted: bool
    revision: int


# registry


class ClusterBody(Input, frozen=True):
    """A cluster to register with this hub, or with the node's own hub.

    `capacity` is requests at once; `ttl` how many seconds it lives without a heartbeat (null = until deregistered).
    `check` is where the hub asks how it is: `http://...`, `tcp://host:port`, `grpc://host:port/service`, `command:...`.
    """

    id: Name
    services: Annotated[tuple[Name, ...], Meta(max_length=128)]
    endpoints: Annotated[tuple[Name, ...], Meta(max_length=16)] = ()
    coordinates: Coordinates | None = None
    capacity: Annotated[float, Meta(gt=0)] = 1.0
    load: Annotated[float, Meta(ge=0)] = 0.0
    status: HealthWord = "healthy"
    node: str = ""
    tags: Annotated[dict[str, str], Meta(max_length=16)] = {}
    ttl: Annotated[float, Meta(gt=0)] | None = None
    check: Annotated[str, Meta(max_length=256)] = ""
    check_interval: Annotated[float, Meta(ge=1, le=3600)] = 10.0


class HeartbeatBody(Input, frozen=True):
    """The cluster lives, and how it is."""

    load: Annotated[float, Meta(ge=0)] | None = None
    status: HealthWord | None = None


class ClustersAnswer(Struct, frozen=True):
    """The clusters known here in full, by id."""

    clusters: list[Cluster]


class DeregisteredAnswer(Struct, frozen=True):
    """The cluster is no longer registered."""

    id: str
    deregistered: bool


class DiscoverQuery(Input, frozen=True):
    """`near` is `LATITUDE,LONGITUDE`; without it this node's own place counts."""

    service: Name
    near: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 10


class DiscoverAnswer(Struct, frozen=True):
    """Best first."""

    service: str
    candidates: list[Candidate]


# requests and messages


class RequestBody(Input, frozen=True):
    """A request to a service. `target` is a node or cluster; an `idempotent` one may be tried again elsewhere.

    After `hedge` seconds without an answer an idempotent one is asked elsewhere as well.
    """

    service: Name
    payload: Json = None
    target: Name | None = None
    timeout: Timeout = 5.0
    idempotent: bool = False
    hedge: Annotated[float, Meta(gt=0, le=300)] | None = None


class PublishBody(Input, frozen=True):
    """A message for the subscribers of a topic; `at_least_once` is answered when it is durable at the node."""

    topic: Name
    payload: Json = None
    at_least_once: bool = False


class SubscribeQuery(Input, frozen=True):
    """`*` stands for one word of a topic, `#` for the rest. Of those that name the same `queue` one gets a message."""

    pattern: Name
    queue: str = ""


# admin


class StateAnswer(Struct, frozen=True):
    """Where the node's life cycle stands as the command was taken."""

    state: str
