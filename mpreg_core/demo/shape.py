"""What federation to run: `AxBxC` to the hubs and cluster nodes it is made of."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mpreg_core.contracts.members import Coordinates
from mpreg_core.errors import InvalidInputError
from mpreg_core.ids import NodeId, Tier

NODES_MAX = 64
"""One process carries more, but its one core then takes seconds to form them."""

FIRST: NodeId = "global-1"
"""The hub that is there before all others."""

REGIONS: tuple[tuple[str, Coordinates], ...] = (
    ("us-east", Coordinates(40.71, -74.01)),
    ("eu-west", Coordinates(51.51, -0.13)),
    ("ap-south", Coordinates(19.08, 72.88)),
    ("sa-east", Coordinates(-23.55, -46.63)),
    ("ap-east", Coordinates(35.68, 139.69)),
    ("us-west", Coordinates(37.77, -122.42)),
    ("eu-north", Coordinates(59.33, 18.07)),
    ("af-south", Coordinates(-33.92, 18.42)),
)


@dataclass(frozen=True, slots=True)
class Place:
    """One node of the federation to be; `seed` is the hub of its own tier that it joins by, for further global hubs."""

    id: NodeId
    tier: Tier
    region: str
    coordinates: Coordinates
    parent: NodeId | None = None
    seed: NodeId | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """So many global hubs, regional hubs and, below each of those, local hubs with one cluster node each."""

    hubs: int
    regions: int
    locals: int
    places: Sequence[Place] = field(default=())

    def of(self, tier: Tier, region: str | None = None) -> list[Place]:
        """The places of a tier, of a region or of all."""
        return [place for place in self.places if place.tier == tier and region in (None, place.region)]

    @property
    def region_names(self) -> list[str]:
        """The regions that have a hub, in the order in which they are made."""
        return [place.region for place in self.of("regional")]


def shape_of(text: str) -> Shape:
    """The shape that a text like `1x2x2` says. Raises `InvalidInputError`."""
    match = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)x([1-9]\d?)", text.strip().lower())
    if match is None:
        raise InvalidInputError(
            f"expected GLOBALxREGIONALxLOCAL hubs, each at least 1, like 1x2x2, got {text!r}", where="--shape"
        )
    hubs, regions, local = (int(part) for part in match.groups())
    nodes = hubs + regions + 2 * regions * local
    if regions > len(REGIONS) or nodes > NODES_MAX:
        raise InvalidInputError(
            f"expected at most {len(REGIONS)} regions and {NODES_MAX} nodes in all, got {regions} and {nodes}: "
            "a local hub counts twice, for the cluster node below it",
            where="--shape",
        )
    return Shape(hubs, regions, local, tuple(_places(hubs, regions, local)))


def _places(hubs: int, regions: int, local: int) -> list[Place]:
    """Parents come before their children."""
    made: list[Place] = []
    for number in range(hubs):
        region, where = REGIONS[number % regions]
        made.append(Place(f"global-{number + 1}", "global", region, where, seed=FIRST if number else None))
    for number in range(regions):
        region, where = REGIONS[number]
        made.append(Place(region, "regional", region, where, parent=f"global-{number % hubs + 1}"))
    for region, where in REGIONS[:regions]:
        made += [Place(f"{region}-{n + 1}", "local", region, where, parent=region) for n in range(local)]
    for place in [place for place in made if place.tier == "local"]:
        made.append(Place(f"{place.id}-app", "cluster", place.region, place.coordinates, parent=place.id))
    return made
