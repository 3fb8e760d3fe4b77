"""What a node is made from: settings, and strategies with their options bound. Assembly builds both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import MsgspecError, Struct, msgpack

from mpreg_core.contracts.access import Authenticator
from mpreg_core.contracts.context import ConsensusContext, GossipContext, StrategyContext
from mpreg_core.contracts.members import Address, Coordinates
from mpreg_core.contracts.merge import MergeFunction
from mpreg_core.ids import Family, NodeId, PoolId, PoolTier, Region, Tier
from mpreg_core.membership.federation import HubSummary


@dataclass(frozen=True, slots=True)
class Part:
    """A strategy chosen for a family of a pool. `create` takes the family's context and returns its machine."""

    family: Family
    strategy: str
    protocol: str
    wire: tuple[int, int]
    messages: tuple[type[Struct], ...]
    create: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class PoolParts:
    """The four strategies of a pool."""

    failure_detector: Part
    gossip: Part
    consensus: Part
    routing: Part

    def all(self) -> tuple[Part, ...]:
        """Detector first: a pool is watched before anything else runs in it."""
        return self.failure_detector, self.gossip, self.consensus, self.routing


class Remembered(Struct, frozen=True, array_like=True):
    """What a node keeps over a restart beside its engines' journals."""

    incarnation: int
    hubs: tuple[HubSummary, ...] = ()


FIRST_START = Remembered(0)

_remembered = msgpack.Decoder(Remembered)


def decode_remembered(records: Sequence[bytes]) -> Remembered:
    """What the node's own journal says; a damaged record counts as none, for the pool knows the rest."""
    try:
        return _remembered.decode(records[-1]) if records else FIRST_START
    except MsgspecError:
        return FIRST_START


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """A node's own place in the federation.

    `parent` is the configured home hub and `parent_address` where it listens; `stands_by_for` the hub in whose stead it
    leads when that one is gone, and `primary_address` where that one listens. `seeds` are further addresses of members
    of the upper pool. `capacity` bounds the children a hub takes (0 = no bound). `seed` feeds every random stream.
    `started_ms` is the wall clock at the process's start. `records` are the journals as they were found, by name;
    `durable` says that there is a place for journals, `check_commands` that clusters may be checked by commands on
    this host. `authenticator` says who bears a client's token; without one clients of this host are taken, and with
    `open_to_all` those of others as well.
    `goes_home` says whether it goes back to `parent` when that one returns.
    `merges` are the functions of `custom` policies by name.
    """

    id: NodeId
    federation: str
    tier: Tier
    region: Region
    address: Address
    started_ms: int
    seed: int
    parent: NodeId | None = None
    parent_address: Address | None = None
    stands_by_for: NodeId | None = None
    primary_address: Address | None = None
    seeds: tuple[Address, ...] = ()
    coordinates: Coordinates | None = None
    capacity: int = 0
    version: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    remembered: Remembered = FIRST_START
    records: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    durable: bool = True
    open_to_all: bool = False
    authenticator: Authenticator | None = None
    goes_home: bool = True
    check_commands: bool = False
    merges: Mapping[str, MergeFunction] = field(default_factory=dict)
    proposal_timeout_s: float = 10.0


PartsOf = Callable[[PoolTier], PoolParts]
"""The strategies for a pool of a tier."""

Contexts = StrategyContext | GossipContext | ConsensusContext


def journal_name(pool: PoolId) -> str:
    """The journal of a pool's consensus engine."""
    return f"{pool}/consensus"


NODE_JOURNAL = "node"
