"""A member of a pool: the record that every node of the pool holds of it."""

from math import sqrt
from typing import Annotated, Literal

from msgspec import Meta, Struct

from mpreg_core.ids import Family, NodeId, Plane, PoolTier, Region, Tier

Status = Literal["alive", "suspect", "failed", "left"]
"""`suspect`: accused, may still refute. `failed`: taken for dead. `left`: said good-bye."""


class Coordinates(Struct, frozen=True, forbid_unknown_fields=True):
    """A place on the earth in degrees."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]


Micros = Annotated[int, Meta(ge=-100_000_000, le=100_000_000)]
"""Of round trip time; 100 s either way is further than any network goes."""


class NetworkCoordinates(Struct, frozen=True, array_like=True):
    """Where a node lies among the others by round trips: a point, and the height above it that all its ways add.

    The round trip between two is the distance of their points and both heights. `error_permille` is how far off
    estimates were of late.
    """

    x_us: Micros
    y_us: Micros
    z_us: Micros
    height_us: Annotated[int, Meta(ge=0, le=100_000_000)]
    error_permille: Annotated[int, Meta(ge=0, le=1500)]

    def apart_us(self, other: "NetworkCoordinates") -> float:
        """The distance of the two points."""
        return sqrt((self.x_us - other.x_us) ** 2 + (self.y_us - other.y_us) ** 2 + (self.z_us - other.z_us) ** 2)

    def round_trip_ns(self, other: "NetworkCoordinates") -> int:
        """The round trip between the two nodes, as an estimate."""
        return round((self.apart_us(other) + self.height_us + other.height_us) * 1000)


class Address(Struct, frozen=True, array_like=True):
    """Where a node listens: one host, a port per plane (0 = not known)."""

    host: str
    gossip: int = 0
    membership: int = 0
    consensus: int = 0
    routing: int = 0
    http: int = 0

    def port(self, plane: Plane) -> int:
        """The port of a plane; 0 when it is not known."""
        port: int = getattr(self, plane)
        return port


class Speaks(Struct, frozen=True, array_like=True):
    """The strategy a member runs in this pool for a family, and the wire versions it understands (both ends in)."""

    family: Family
    strategy: str
    wire_min: int
    wire_max: int


class Member(Struct, frozen=True, array_like=True, kw_only=True):
    """One member as one pool knows it.

    For one id the record with the higher `incarnation` wins; within an incarnation the graver status wins
    (`alive` < `suspect` < `failed` < `left`), as in SWIM (Das et al. 2002, section 4.2). Only the member itself raises
    its incarnation. Fields are only ever appended, with defaults.
    """

    id: NodeId
    incarnation: int
    status: Status
    tier: Tier
    region: Region
    address: Address
    started_ms: int  # wall clock at the process's start; tells two processes with one id apart
    coordinates: Coordinates | None = None
    parent: NodeId | None = None  # the hub it is attached to
    speaks: tuple[Speaks, ...] = ()
    version: str = ""
    draining: bool = False
    load: float = 0.0  # 0 idle .. 1 full: children or clusters against the capacity configured
    tags: dict[str, str] = {}
    network: NetworkCoordinates | None = None  # where it is by round trips, as of when it last told
    home: NodeId | None = None  # the hub it belongs to, when that was configured; it may be attached to another
    stands_by_for: NodeId | None = None  # a hub that leads nothing yet: it leads that one's pool when that one is gone

    def leads(self, tier: PoolTier) -> bool:
        """True for a hub of a pool of a tier: its own, and it does not only stand by."""
        return self.tier == tier and self.stands_by_for is None
