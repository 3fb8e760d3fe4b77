"""The configuration's shape: one Struct per section, with the guide's keys, their units, bounds and defaults.

Times are seconds. A family's section (gossip, membership, consensus, routing, transport) is a `Choice`: the keys beside
`strategy` are options of that strategy, and only its spec knows them (`config.resolve`).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field
from msgspec.structs import fields

from mpreg_core.config.addresses import parse_endpoint
from mpreg_core.config.decode import SECRET
from mpreg_core.config.problems import Origins, Path, Problem
from mpreg_core.config.redact import redact
from mpreg_core.contracts.members import Coordinates
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.ids import Family, NodeId, PoolTier, Tier

SECTION_OF: dict[Family, str] = {
    "transport": "transport",
    "gossip": "gossip",
    "failure_detector": "membership",
    "consensus": "consensus",
    "routing": "routing",
}
"""Family -> the section that chooses its strategy."""

DEFAULT_STRATEGIES: dict[Family, str] = {
    "transport": "tcp",
    "gossip": "hybrid",
    "failure_detector": "swim",
    "consensus": "quorum",
    "routing": "hub",
}
"""Family -> the strategy of a pool for which nothing else was chosen."""

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Host = Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[^\s/@]+$", description="a host name or address")]
File = Annotated[str, Meta(min_length=1, max_length=4096, description="a path")]
Secret = Annotated[str, Meta(min_length=1, description="a text that is not empty", extra=SECRET)]
Options: TypeAlias = Mapping[str, object]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections: what it prints is redacted."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({redact(self)})"


class NodeSection(Section, frozen=True, kw_only=True):
    """The node itself.

    - `id`: unique in the federation; the host's name when it is not given.
    - `hub_tier`: `cluster` is a plain member below a local hub.
    - `parent_hub`: the hub it attaches to; without one it looks for a hub among the federation's seeds.
    - `goes_home`: whether it goes back to its parent hub when that one is there again; else it stays where it is.
    - `stands_by_for`: a global or regional hub in whose stead this hub leads when that one is gone; it is of the same
      tier and region, and a member of its pool until then.
    - `data_dir`: where identity, journals and state are kept; without one a restart forgets them.
    """

    id: str = ""
    region: str = "default"
    hub_tier: Tier = "cluster"
    coordinates: Coordinates | None = None
    parent_hub: str | None = None
    goes_home: bool = True
    stands_by_for: str | None = None
    data_dir: File | None = None
    tags: dict[str, str] = {}


class Peer(Section, frozen=True, kw_only=True):
    """Where a node is that cannot be found by its id as a host name and the default ports."""

    host: Host = "localhost"
    listen_port: Port = 8080
    gossip_port: Port = 8081
    membership_port: Port = 8082
    consensus_port: Port = 8083
    routing_port: Port = 8084


class FederationSection(Section, frozen=True, kw_only=True):
    """What the node belongs to. `seeds` are `host:membership_port` of any members, asked when no parent is given."""

    name: str = "mpreg"
    seeds: tuple[str, ...] = ()
    peers: dict[str, Peer | Host] = {}


class NetworkSection(Section, frozen=True, kw_only=True):
    """Where the node listens (port 0 takes a free one) and what others are told; None leaves it to the transport."""

    listen_host: Host = "0.0.0.0"
    advertise_host: Host | None = None
    listen_port: Port = 8080
    gossip_port: Port = 8081
    membership_port: Port = 8082
    consensus_port: Port = 8083
    routing_port: Port = 8084
    tcp_nodelay: bool | None = None
    tcp_keepalive: bool | None = None
    connection_pooling: bool | None = None
    max_connections_per_node: Count | None = None
    connection_timeout: Seconds | None = None


class Choice(Struct, frozen=True, kw_only=True):
    """A family's section. `strategy` None leaves the choice to a weaker layer.

    `written_for` tells of options written for another strategy than the one named here, because a stronger layer
    (environment, flag) named it later: key -> that other strategy, None = the one of a weaker layer.
    """

    strategy: str | None = None
    options: Options = {}
    path: Path = ()
    written_for: Mapping[str, str | None] = {}

    def redacted(self) -> object:
        """The section as plain data without secrets."""
        return redact(({"strategy": self.strategy} if self.strategy else {}) | dict(self.options))

    def __repr__(self) -> str:
        return f"Choice({self.redacted()})"


class HubsSection(Section, frozen=True, kw_only=True):
    """How much may hang below this hub; what is over it is refused and told of another hub."""

    max_regional_hubs: Count = 100
    max_child_hubs: Count = 100
    max_clusters: Count = 1000
    check_commands: bool = False


class MemorySection(Section, frozen=True, kw_only=True):
    """Bounds on what the node holds; None leaves them to the strategies."""

    max_graph_cache_size: Count | None = None
    max_gossip_messages: Count | None = None
    max_consensus_proposals: Count | None = None
    cleanup_interval: Seconds = 300.0


class PluginsSection(Section, frozen=True, kw_only=True):
    """Which plugins are loaded.

    - `block`: entry points or distributions that are never imported.
    - `require`: distributions that must be there, as `name>=1.2,<2`.
    - `options`: service -> its options, for plugins that run beside the node; strategies have theirs in their sections.
    """

    block: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    options: dict[str, dict[str, Any]] = {}


class TracingSection(Section, frozen=True, kw_only=True):
    """Traces, exported by OTLP over HTTP to `endpoint`; `sample_ratio` of the requests that begin here."""

    enabled: bool = False
    endpoint: str | None = None
    sample_ratio: Annotated[float, Meta(ge=0, le=1)] = 1.0


class MonitoringSection(Section, frozen=True, kw_only=True):
    """What the node tells about itself."""

    metrics_enabled: bool = True
    metrics_port: Port = 9090
    health_check_interval: Seconds = 30.0
    tracing: TracingSection = TracingSection()


class LoggingSection(Section, frozen=True, kw_only=True):
    """The log on stderr."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    format: Literal["console", "json"] = "console"


class AuthenticationSection(Section, frozen=True, kw_only=True):
    """Who may call the API: the bearer of a token signed with `secret_key`, or with `none` anybody."""

    method: Literal["jwt", "none"] = "jwt"
    secret_key: Secret | None = None
    token_expiry: Seconds = 3600.0
    issuer: str = "mpreg-federation"


class AuthorizationSection(Section, frozen=True, kw_only=True):
    """Which role names of tokens count as which role."""

    rbac_enabled: bool = True
    admin_roles: tuple[str, ...] = ("admin",)
    operator_roles: tuple[str, ...] = ("operator",)
    viewer_roles: tuple[str, ...] = ("viewer",)


class SecuritySection(Section, frozen=True, kw_only=True):
    """TLS between nodes, keys that seal gossip (base64 of 16, 24 or 32 bytes, the first one seals), API access."""

    tls_enabled: bool = False
    cert_file: File | None = None
    key_file: File | None = None
    ca_file: File | None = None
    gossip_keys: tuple[Secret, ...] = ()
    authentication: AuthenticationSection | None = None
    authorization: AuthorizationSection | None = None


class NodeConfig(Section, frozen=True, kw_only=True):
    """A node's whole configuration. `warnings` and `origins` are about it, not of it: they do not print."""

    node: NodeSection = NodeSection()
    federation: FederationSection = FederationSection()
    network: NetworkSection = NetworkSection()
    gossip: Choice = Choice(path=("gossip",))
    membership: Choice = Choice(path=("membership",))
    consensus: Choice = Choice(path=("consensus",))
    routing: Choice = Choice(path=("routing",))
    transport: Choice = Choice(path=("transport",))
    tiers: dict[PoolTier, dict[Family, Choice]] = {}
    hubs: HubsSection = HubsSection()
    memory: MemorySection = MemorySection()
    plugins: PluginsSection = PluginsSection()
    monitoring: MonitoringSection = MonitoringSection()
    logging: LoggingSection = LoggingSection()
    security: SecuritySection = SecuritySection()
    warnings: tuple[Problem, ...] = ()
    origins: Origins = field(default_factory=dict)

    def choice(self, family: Family) -> Choice:
        """The section of a family."""
        choice: Choice = getattr(self, SECTION_OF[family])
        return choice

    def peer(self, node: NodeId) -> Peer:
        """Where a node is: as `federation.peers` says, else its id as a host name with the default ports."""
        peer = self.federation.peers.get(node, node)
        return Peer(host=peer) if isinstance(peer, str) else peer

    def seeds(self) -> tuple[Endpoint, ...]:
        """The membership endpoints of `federation.seeds`; one without a port has the default one."""
        return tuple(parse_endpoint(seed, Peer().membership_port) for seed in self.federation.seeds)

    def redacted(self) -> dict[str, object]:
        """The configuration as plain data, in the shape of the file, without secrets."""
        plain = {name: redact(getattr(self, name)) for name in SECTIONS}
        plain |= {section: self.choice(family).redacted() for family, section in SECTION_OF.items()}
        tiers = self.tiers.items()
        return plain | {"tiers": {tier: {SECTION_OF[f]: c.redacted() for f, c in own.items()} for tier, own in tiers}}

    def __repr__(self) -> str:
        return f"NodeConfig({self.redacted()})"


SECTIONS = tuple(item.name for item in fields(NodeConfig) if item.name not in ("warnings", "origins"))
"""The top-level keys of a configuration file."""
