"""What a service plugin and an embedding program may ask of a node: the narrow, typed door to a running node.

The HTTP API, the CLI's demo and `mpreg_core.Node` all go through it. Reads are snapshots taken at the call; commands
wait for their outcome in bounded time and raise an `MpregError`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from msgspec import Struct

from mpreg_core.contracts.events import Occurrence
from mpreg_core.contracts.members import Coordinates, Member
from mpreg_core.contracts.router import Policy
from mpreg_core.ids import Family, NodeId, PoolId, PoolTier, Region, Tier

if TYPE_CHECKING:
    Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
else:
    Json = Any  # msgspec decodes no recursive alias; what it decodes from JSON is this by itself
Body: TypeAlias = Json | bytes
Scope = Literal["pool", "region", "federation"]
Consistency = Literal["eventual", "linearizable"]
StatePolicy = Literal[
    "last_write_wins", "first_write_wins", "vector_clock", "counter", "set", "map", "sequence", "custom", "consensus"
]
PolicyName: TypeAlias = str
"""A `StatePolicy`, where `custom` is `custom:<name>` with the name of a plugin's `MergePolicySpec`."""
Health = Literal["healthy", "degraded", "unhealthy", "draining"]


class NodeStatus(Struct, frozen=True):
    """The node itself. `state` is starting, joining, ready, draining or stopped.

    `routing` is where clients connect, `host:port`; `stands_by_for` the hub in whose stead it would lead.
    """

    id: NodeId
    region: Region
    hub_tier: Tier
    incarnation: int
    uptime_seconds: float
    version: str
    state: str
    federation: str
    coordinates: Coordinates | None
    routing: str = ""
    stands_by_for: NodeId | None = None


class PoolStatus(Struct, frozen=True):
    """One pool of the node: how many members of each status, and the strategy chosen for each family."""

    id: PoolId
    tier: PoolTier
    members: int
    alive: int
    suspect: int
    failed: int
    left: int
    hub: NodeId | None
    strategies: dict[Family, str]


class Status(Struct, frozen=True):
    """`GET /api/status`."""

    node: NodeStatus
    pools: list[PoolStatus]
    parent_hub: NodeId | None
    children: list[NodeId]


class MemberView(Struct, frozen=True):
    """A member of one pool with what this node measured of it. `since` is wall-clock seconds of the last change."""

    pool: PoolId
    member: Member
    rtt_ns: int | None
    since: float
    rtt_estimate_ns: int | None = None  # by network coordinates


class Check(Struct, frozen=True):
    """One health check."""

    status: Health
    details: dict[str, Json]


class HealthReport(Struct, frozen=True):
    """`GET /health`: the worst of the checks, or `draining`."""

    status: Health
    checks: dict[str, Check]


class StateEntry(Struct, frozen=True):
    """A replicated key. `version` is opaque and changes with the value; `conflicts` are concurrent siblings.

    `expires` is the wall-clock second at which the key ends, `holder` the node with whose life it ends.
    """

    key: str
    value: Json
    version: str
    revision: int
    policy: PolicyName
    scope: Scope
    conflicts: list[Json] = []
    expires: float | None = None
    holder: NodeId = ""


class StateChange(Struct, frozen=True):
    """A replicated key changed at a revision; `entry` is what it became, None where it was removed."""

    revision: int
    key: str
    scope: Scope
    entry: StateEntry | None


class Cluster(Struct, frozen=True, kw_only=True):
    """An application cluster registered with a local hub.

    `capacity` in requests it can take at once; `ttl` in seconds, how long it lives without a heartbeat (None = until
    it is deregistered). `endpoints` are URLs that take a request as a JSON POST, for a cluster that is no member.
    `check` is where its hub asks every `check_interval` seconds how it is: `http(s)://...` for a status of 2xx,
    `tcp://host:port` for a connection, `grpc://host:port[/service]` for grpc.health.v1, `command:...` for exit code 0.
    A passed check is a heartbeat; `check_error` is what the last one that did not pass came upon.
    """

    id: str
    services: tuple[str, ...]
    endpoints: tuple[str, ...] = ()
    coordinates: Coordinates | None = None
    capacity: float = 1.0
    load: float = 0.0
    hub: NodeId = ""
    region: Region = ""
    status: Literal["healthy", "degraded", "unhealthy"] = "healthy"
    node: NodeId = ""  # the member that serves it, when one does
    tags: dict[str, str] = {}
    ttl: float | None = None
    check: str = ""
    check_interval: float = 10.0
    check_error: str = ""


class Candidate(Struct, frozen=True):
    """A place that serves a service, best first in `discover`; `why` says what ranked it."""

    service: str
    cluster: str
    hub: NodeId
    region: Region
    node: NodeId
    status: str
    load: float
    distance_km: float | None
    rtt_ms: float | None
    endpoints: tuple[str, ...]
    why: str


class Request(Struct, frozen=True):
    """What a handler gets. `path` are the nodes visited, the caller first, this node last."""

    id: str
    service: str
    payload: Json
    caller: NodeId
    path: tuple[NodeId, ...]


class Reply(Struct, frozen=True):
    """The outcome of a request. `path` runs from the caller to the node that served."""

    payload: Json
    served_by: NodeId
    path: tuple[NodeId, ...]
    seconds: float


class RouteView(Struct, frozen=True):
    """The way a request would take from here, one hop deep: the next pools decide the rest."""

    to: str
    next_hop: NodeId | None
    pool: PoolId
    cost_ms: float
    alternatives: list[NodeId]
    reason: str


class Decision(Struct, frozen=True):
    """The end of a proposal. `timeout` means undecided. `threshold` is as configured: a share of the voters."""

    id: str
    key: str
    value: Json
    proposer: NodeId
    status: str
    votes: dict[NodeId, bool]
    needed: int
    voters: int
    created: float
    decided: float | None
    threshold: float = 0.5


class Message(Struct, frozen=True):
    """A published message."""

    topic: str
    payload: Json
    origin: NodeId
    id: str


Handler: TypeAlias = Callable[[Request], Awaitable[Body]]


class StateApi(Protocol):
    """Replicated state."""

    async def put(
        self,
        key: str,
        value: Json,
        *,
        scope: Scope = "pool",
        policy: PolicyName | None = None,
        if_version: str | None = None,
        consistency: Consistency = "eventual",
        timeout: float = 5.0,
        ttl: float | None = None,
        ephemeral: bool = False,
    ) -> StateEntry:
        """Write. The key ends `ttl` seconds after its last write, an `ephemeral` one when this node fails or leaves.

        Raises `ConflictError`, `NoQuorumError`, `PayloadTooLargeError`, `UnavailableError`."""
        ...

    async def get(
        self, key: str, *, scope: Scope = "pool", consistency: Consistency = "eventual", timeout: float = 5.0
    ) -> StateEntry:
        """Read. Raises `NotFoundError`, `NoQuorumError`."""
        ...

    async def delete(
        self, key: str, *, scope: Scope = "pool", if_version: str | None = None, consistency: Consistency = "eventual"
    ) -> int:
        """Remove; gives the revision. Raises `NotFoundError`, `ConflictError`."""
        ...

    def list(self, prefix: str = "", *, scope: Scope | None = None) -> tuple[Sequence[StateEntry], int]:
        """The entries here whose key begins with `prefix`, by key, and the store's revision."""
        ...

    def changes(self, since: int, prefix: str = "", *, scope: Scope | None = None) -> tuple[Sequence[StateChange], int]:
        """Every change here after a revision of keys that begin with `prefix`, oldest first, and the store's revision.

        A revision is a number of this node alone. Raises `CompactedError`.
        """
        ...


class NodeApi(Protocol):
    """A running node."""

    @property
    def state(self) -> StateApi:
        """Replicated state."""
        ...

    def status(self) -> Status:
        """This node, its pools, its place in the hierarchy."""
        ...

    def members(self) -> Sequence[MemberView]:
        """The members of all pools of this node, by pool and id."""
        ...

    def health(self) -> HealthReport:
        """The checks `gossip_protocol`, `membership_protocol`, `consensus_manager`, `transport`, `storage`, `hub`."""
        ...

    def ready(self) -> bool:
        """True when the node has joined its pools and takes requests."""
        ...

    def topology(self) -> Json:
        """Nodes, edges (rtt, cost), pools and clusters as far as this node knows."""
        ...

    def gossip_stats(self) -> Json:
        """Counts, bytes, queues and convergence of each pool's gossip."""
        ...

    def consensus_status(self) -> Json:
        """The engines: strategy, voters, needed, leader, open proposals, for each pool."""
        ...

    def counters(self) -> Mapping[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every counter and gauge of the node: (metric name, sorted label pairs) -> value."""
        ...

    async def request(
        self,
        service: str,
        payload: Body,
        *,
        target: str | None = None,
        timeout: float = 5.0,
        idempotent: bool = False,
        hedge: float | None = None,
    ) -> Reply:
        """Ask a service where it is served best; an idempotent one elsewhere, too, after a failure or `hedge` s."""
        ...

    async def serve(self, service: str, handler: Handler) -> None:
        """Serve from this node from now on: it is announced to the pool's hub and, in summary, to the federation."""
        ...

    async def stop_serving(self, service: str) -> None:
        """Serve it no longer; what runs is answered."""
        ...

    async def propose(
        self, key: str, value: Json, *, scope: Scope = "pool", timeout: float | None = None, wait: bool = True
    ) -> Decision:
        """Propose; waits for the end unless told not to. Raises `ProposalError`, `UnavailableError`."""
        ...

    def proposals(self) -> Sequence[Decision]:
        """Open and recently ended proposals of the node's pools."""
        ...

    async def vote(self, proposal: str, yes: bool) -> Decision:
        """Cast this node's vote by hand. Raises `NotFoundError`."""
        ...

    async def register_cluster(self, cluster: Cluster) -> Cluster:
        """Register with this hub, or with the node's own hub. Raises `InvalidInputError`, `UnavailableError`."""
        ...

    async def deregister_cluster(self, cluster: str) -> None:
        """Raises `NotFoundError`."""
        ...

    async def heartbeat_cluster(self, cluster: str, *, load: float | None = None, status: str | None = None) -> Cluster:
        """A registered cluster lives. Raises `NotFoundError`."""
        ...

    def clusters(self) -> Sequence[Cluster]:
        """The clusters this node knows in full, by id."""
        ...

    def registry_status(self) -> Json:
        """Counts of clusters, services and hubs known, by region."""
        ...

    async def discover(self, service: str, *, near: Coordinates | None = None, limit: int = 10) -> Sequence[Candidate]:
        """Where a service is, best first."""
        ...

    def route(self, to: str, policy: Policy = "optimal") -> RouteView:
        """Which way a request to a node, cluster, service or region would go from here. Raises `NoRouteError`."""
        ...

    async def gossip_test(self, *, timeout: float = 5.0) -> Json:
        """Spread a test message in the node's pools: `{"id", "reached", "of", "seconds"}`."""
        ...

    async def publish(self, topic: str, payload: Json, *, at_least_once: bool = False) -> Message:
        """Publish to subscribers; `at_least_once` returns when the node keeps it until others do."""
        ...

    def subscribe(self, pattern: str, *, queue: str = "") -> AbstractAsyncContextManager[AsyncIterator[Message]]:
        """Messages whose topic matches (`user.*.login`, `orders.#`); of all that name the same `queue` one has each."""
        ...

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[Occurrence]]:
        """All facts from now on, in a bounded queue that drops the oldest."""
        ...

    async def drain(self) -> None:
        """Take no new requests, finish those that run, tell the pools. Idempotent."""
        ...

    async def resume(self) -> None:
        """Undo a drain."""
        ...

    async def shutdown(self) -> None:
        """Drain, announce the departure, stop. Returns once it is under way."""
        ...
