"""A whole federation in a world: built from a shape, asked and looked at as tests and scenarios need it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from mpreg_core.contracts.api import Json, Scope
from mpreg_core.contracts.members import Coordinates
from mpreg_core.ids import NodeId, Tier
from mpreg_core.node.actions import Invoke
from mpreg_core.node.core import NodeCore
from mpreg_core.node.parts import NodeSettings, PartsOf
from mpreg_core.sim.network import Faults
from mpreg_core.sim.world import SimNode, World, address_of
from mpreg_core.units import ns

REGION_NAMES = ("us-east", "eu-west", "ap-south", "sa-east", "ap-east", "us-west", "eu-north", "af-south")
PLACES = (
    (40.7, -74.0), (51.5, -0.1), (19.1, 72.9), (-23.5, -46.6),
    (35.7, 139.7), (37.8, -122.4), (59.3, 18.1), (-33.9, 18.4),
)  # fmt: skip
NODES_MAX = 20_000
FIRST: NodeId = "global-1"


class Fleet:
    """Nodes of one federation. `regions` says where each is; ids tell the place: `us-east-3-c2` is a cluster node.

    Each serves `mpreg.echo`; `handled` counts the payloads that its handlers got.
    """

    def __init__(self, parts: PartsOf, seed: int = 1, faults: Faults | None = None) -> None:
        self.world = World(seed, faults)
        self.parts = parts
        self.regions: dict[NodeId, str] = {}
        self.handled: Counter[bytes] = Counter()

    @classmethod
    def of_shape(
        cls, parts: PartsOf, hubs: int, regions: int, local: int, clusters: int = 1, *, seed: int = 1
    ) -> "Fleet":
        """So many global hubs and regions, local hubs per region, cluster nodes per local hub, all started at once."""
        fleet = cls(parts, seed)
        for node, tier, region, parent in _places(hubs, regions, local, clusters):
            further = tier == "global" and node != FIRST
            fleet.add(node, tier, region, parent, seed_hub=FIRST if further else None)
        return fleet

    @staticmethod
    def names_of(hubs: int, regions: int, local: int, clusters: int = 1) -> dict[NodeId, str]:
        """The nodes of a shape with their regions; nothing is started."""
        return {node: region for node, _, region, _ in _places(hubs, regions, local, clusters)}

    def add(
        self,
        node: NodeId,
        tier: Tier,
        region: str,
        parent: NodeId | None,
        *,
        seed_hub: NodeId | None = None,
        stands_by_for: NodeId | None = None,
    ) -> SimNode:
        """Start one more node."""
        self.regions[node] = region
        settings = NodeSettings(
            id=node,
            federation="sim",
            tier=tier,
            region=region,
            address=address_of(node),
            started_ms=0,
            seed=0,
            parent=parent,
            parent_address=address_of(parent) if parent else None,
            stands_by_for=stands_by_for,
            primary_address=address_of(stands_by_for) if stands_by_for else None,
            seeds=(address_of(seed_hub),) if seed_hub else (),
            coordinates=place_of(region),
            version="sim",
        )
        made = self.world.add(settings, self.parts)
        made.handlers["mpreg.echo"] = self._echo
        return made

    def _echo(self, invoke: Invoke) -> tuple[str, bytes]:
        self.handled[invoke.payload] += 1
        return "", invoke.payload

    # looking

    def alive(self) -> list[NodeId]:
        """The nodes that run."""
        return [name for name, node in self.world.nodes.items() if node.alive]

    def is_whole(self) -> bool:
        """True if every node that runs has found its place, and each pool's members agree on who is alive in it."""
        pools: dict[str, list[frozenset[NodeId]]] = {}
        for node in self.world.nodes.values():
            if not node.alive:
                continue
            if node.core.state.life == "joining":
                return False
            for stack in node.core.state.stacks.values():
                alive = frozenset(entry.member.id for entry in stack.table if entry.member.status == "alive")
                pools.setdefault(stack.pool, []).append(alive)
        return all(len(views) == len(views[0]) and all(view == views[0] for view in views) for views in pools.values())

    def values(self, key: str, scope: Scope = "federation") -> dict[NodeId, Json]:
        """A key's value at each node that runs; None where it is not known."""
        found: dict[NodeId, Json] = {}
        for node in self.alive():
            entries = self.world.nodes[node].core.replication.list(key, scope)
            found[node] = next((entry.value for entry in entries if entry.key == key), None)
        return found

    # asking

    def put(self, at: NodeId, key: str, value: Json, scope: Scope = "federation") -> None:
        """Write replicated state."""
        self.world.command(at, lambda core: core.replication.put(key, value, scope, None, None))

    def request(self, at: NodeId, to: NodeId, timeout_s: float, payload: str = '"hi"') -> int:
        """Begin a request for an echo of a JSON text; gives the token of its outcome."""
        body = payload.encode()
        return self._ask(at, lambda core, token: core.requests.ask(token, "mpreg.echo", body, ns(timeout_s), node=to))

    def propose(self, at: NodeId, key: str, value: Json, timeout_s: float, scope: Scope = "pool") -> int:
        """Begin a proposal; gives the token of its outcome."""
        return self._ask(at, lambda core, token: core.decisions.propose(token, scope, key, value, ns(timeout_s)))

    def _ask(self, at: NodeId, act: Any) -> int:
        tokens: list[int] = []

        def ask(core: NodeCore) -> None:
            tokens.append(core.new_token())
            act(core, tokens[0])

        self.world.command(at, ask)
        return tokens[0]


def _places(hubs: int, regions: int, local: int, clusters: int) -> Iterator[tuple[NodeId, Tier, str, NodeId | None]]:
    """Id, tier, region and parent of each node, parents first."""
    for hub in range(1, hubs + 1):
        yield f"global-{hub}", "global", region_name(hub - 1), None
    for number in range(regions):
        region = region_name(number)
        yield region, "regional", region, f"global-{number % hubs + 1}"
        for hub in range(1, local + 1):
            yield f"{region}-{hub}", "local", region, region
            for cluster in range(1, clusters + 1):
                yield f"{region}-{hub}-c{cluster}", "cluster", region, f"{region}-{hub}"


def region_name(number: int) -> str:
    """The name of a region: real ones first, then numbered."""
    return REGION_NAMES[number] if number < len(REGION_NAMES) else f"region-{number + 1}"


def place_of(region: str) -> Coordinates:
    """Where a region lies; those without a real place are spread over the globe."""
    if region in REGION_NAMES:
        latitude, longitude = PLACES[REGION_NAMES.index(region)]
        return Coordinates(latitude, longitude)
    number = int(region.rpartition("-")[2])
    return Coordinates((number * 37) % 120 - 60.0, (number * 73) % 360 - 180.0)


def parse_shape(text: str) -> Sequence[int]:
    """`AxBxC` or `AxBxCxD`: global hubs, regions, local hubs in each, cluster nodes below each (1 if left out).

    Raises `ValueError` with what was expected.
    """
    parts = text.lower().split("x")
    if len(parts) not in (3, 4) or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise ValueError(f"expected AxBxC or AxBxCxD, each at least 1, like 1x2x2, got {text!r}")
    hubs, regions, local, *rest = (int(part) for part in parts)
    clusters = rest[0] if rest else 1
    nodes = hubs + regions * (1 + local * (1 + clusters))
    if nodes > NODES_MAX:
        raise ValueError(f"expected at most {NODES_MAX} nodes, got {nodes} in {text!r}")
    return hubs, regions, local, clusters
