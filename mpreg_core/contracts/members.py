"""A member of a pool: the record that every node of the pool holds of it."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from mpreg_core.ids import Family, NodeId, Plane, Region, Tier

Status = Literal["alive", "suspect", "failed", "left"]
"""`suspect`: accused, may still refute. `failed`: taken for dead. `left`: said good-bye."""


class Coordinates(Struct, frozen=True, forbid_unknown_fields=True):
    """A place on the earth in degrees."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]


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
    departures: int = 0  # how often it said good-bye and came back: with it, all count the changes of the pool alike
    floor: int = 0  # what it adds to the epoch of the pool's voters, to stay above one that it has known
