"""What a node knows of the rest of the federation: a bounded summary for each hub, never its members.

A hub publishes its summary into the pool above it. The hub that leads a pool relays the summaries of the pool above
into its own, without the ids, so that every node knows its siblings' hubs and the other regions' services.
"""

from msgspec import Struct, msgpack, structs

from mpreg_core.contracts.api import Cluster
from mpreg_core.contracts.members import Address, Coordinates, Status
from mpreg_core.ids import ZONE, NodeId, Region, Tier
from mpreg_core.limits import SUMMARY_IDS_MAX
from mpreg_core.membership.member import GRAVITY
from mpreg_core.registry.summary import ServiceSummary


class HubSummary(Struct, frozen=True, array_like=True, kw_only=True):
    """A hub and what lies below it. `ids` are the nodes and clusters below, none in relayed summaries.

    `incarnation`, `sequence` and then the status's gravity order the versions.
    """

    hub: NodeId
    tier: Tier
    region: Region
    address: Address
    incarnation: int
    sequence: int
    coordinates: Coordinates | None = None
    status: Status = "alive"
    draining: bool = False
    children: int = 0
    capacity: int = 0  # children it takes, 0 = not said
    ids: tuple[str, ...] = ()
    services: ServiceSummary | None = None
    zone: str = ""

    def offer(self, service: str) -> Cluster | None:
        """The best cluster for a service below it, as far as it tells, in the zone of the hub."""
        offer = self.services.offer(service) if self.services is not None else None
        return structs.replace(offer, tags={ZONE: self.zone}) if offer is not None and self.zone else offer

    @property
    def load(self) -> float:
        """Children against capacity, 0 to 1."""
        return min(1.0, self.children / self.capacity) if self.capacity else 0.0


_decoder = msgpack.Decoder(HubSummary)


def decode_summary(payload: bytes) -> HubSummary:
    """Raises what msgspec raises on bad bytes."""
    return _decoder.decode(payload)


def encode_summary(summary: HubSummary) -> bytes:
    """As an item's payload."""
    return msgpack.encode(summary)


def order(summary: HubSummary) -> tuple[int, int, int]:
    """Higher is newer."""
    return summary.incarnation, summary.sequence, GRAVITY[summary.status]


def relayed(summary: HubSummary, status: Status) -> HubSummary:
    """The summary as it is handed down: without ids, with the status that the relaying hub's table shows."""
    services = structs.replace(summary.services, ids=()) if summary.services is not None else None
    return structs.replace(summary, ids=(), services=services, status=status)


def bounded_ids(ids: list[str]) -> tuple[str, ...]:
    """The ids a summary may carry, sorted; those over the bound are reached through the tree's default way."""
    return tuple(sorted(ids)[:SUMMARY_IDS_MAX])
