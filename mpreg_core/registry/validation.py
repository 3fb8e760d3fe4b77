"""What a cluster may look like."""

from typing import Literal, get_args

from mpreg_core import limits
from mpreg_core.contracts.api import Cluster
from mpreg_core.contracts.members import Coordinates
from mpreg_core.errors import InvalidInputError
from mpreg_core.ids import is_id

Status = Literal["healthy", "degraded", "unhealthy"]
STATUSES: tuple[Status, ...] = get_args(Status)
"""Best first."""

CAPACITY_MAX = 1e12
LOAD_MAX = 1e6
TTL_MAX_S = 1e8
ENDPOINTS_MAX = 16
CHECK_KINDS = ("http", "https", "tcp", "grpc", "command")
CHECK_INTERVAL_S = (1.0, 3600.0)
ENDPOINT_BYTES_MAX = 256
ID_GRAMMAR = "1 to 63 letters, digits, '.', '_' or '-', the first a letter or digit"


def check_cluster(cluster: Cluster) -> None:
    """Raises `InvalidInputError` naming the cluster and the field."""
    if not is_id(cluster.id):
        raise InvalidInputError(f"expected a cluster id of {ID_GRAMMAR}, got {cluster.id!r:.80}")
    where = f"cluster {cluster.id}"
    if cluster.node and not is_id(cluster.node):
        raise InvalidInputError(f"node: expected an id of {ID_GRAMMAR}, got {cluster.node!r:.80}", where=where)
    _check_services(cluster.services, where)
    _check_endpoints(cluster.endpoints, where)
    _check_tags(cluster.tags, where)
    _check_check(cluster, where)
    if not 0 < cluster.capacity <= CAPACITY_MAX:
        expected = f"a number above 0, up to {CAPACITY_MAX:g}"
        raise InvalidInputError(f"capacity: expected {expected}, got {cluster.capacity}", where=where)
    if not 0 <= cluster.load <= LOAD_MAX:
        expected = f"a number from 0 (idle) up to {LOAD_MAX:g}, 1 being full"
        raise InvalidInputError(f"load: expected {expected}, got {cluster.load}", where=where)
    if cluster.coordinates is not None:
        _check_coordinates(cluster.coordinates, where)
    if cluster.ttl is not None and not 0 < cluster.ttl <= TTL_MAX_S:
        raise InvalidInputError(f"ttl: expected seconds above 0, up to {TTL_MAX_S:g}, got {cluster.ttl}", where=where)
    if cluster.status not in STATUSES:
        raise InvalidInputError(f"status: expected {', '.join(STATUSES)}, got {cluster.status!r:.80}", where=where)


def _check_coordinates(place: Coordinates, where: str) -> None:
    if not (-90 <= place.latitude <= 90 and -180 <= place.longitude <= 180):
        raise InvalidInputError(
            "coordinates: expected a latitude of -90 to 90 and a longitude of -180 to 180 degrees, "
            f"got {place.latitude}, {place.longitude}",
            where=where,
        )


def _check_services(services: tuple[str, ...], where: str) -> None:
    if not 1 <= len(services) <= limits.SERVICES_PER_CLUSTER_MAX:
        raise InvalidInputError(
            f"services: expected 1 to {limits.SERVICES_PER_CLUSTER_MAX}, got {len(services)}", where=where
        )
    for service in services:
        if not is_id(service):
            raise InvalidInputError(f"services: expected names of {ID_GRAMMAR}, got {service!r:.80}", where=where)


def _check_endpoints(endpoints: tuple[str, ...], where: str) -> None:
    if len(endpoints) > ENDPOINTS_MAX:
        raise InvalidInputError(f"endpoints: expected at most {ENDPOINTS_MAX}, got {len(endpoints)}", where=where)
    for endpoint in endpoints:
        if not (endpoint.isascii() and endpoint.isprintable() and 1 <= len(endpoint) <= ENDPOINT_BYTES_MAX):
            expected = f"1 to {ENDPOINT_BYTES_MAX} printable ASCII characters"
            raise InvalidInputError(f"endpoints: expected {expected}, got {endpoint!r:.80}", where=where)


def _check_check(cluster: Cluster, where: str) -> None:
    low, high = CHECK_INTERVAL_S
    if not low <= cluster.check_interval <= high:
        text = f"check_interval: expected {low:g} to {high:g} seconds, got {cluster.check_interval}"
        raise InvalidInputError(text, where=where)
    if not cluster.check:
        return
    kind, mark, rest = cluster.check.partition(":")
    is_text = cluster.check.isascii() and cluster.check.isprintable() and len(cluster.check) <= ENDPOINT_BYTES_MAX
    if kind not in CHECK_KINDS or not mark or not rest.strip("/") or not is_text:
        expected = f"one of {', '.join(CHECK_KINDS)}, a colon and where, at most {ENDPOINT_BYTES_MAX} characters"
        raise InvalidInputError(f"check: expected {expected}, got {cluster.check!r:.80}", where=where)
    if kind in ("tcp", "grpc"):
        _, _, port = rest.removeprefix("//").partition("/")[0].rpartition(":")
        if not (rest.startswith("//") and port.isdigit() and 0 < int(port) < 1 << 16):
            raise InvalidInputError(f"check: expected {kind}://host:port, got {cluster.check!r:.80}", where=where)


def _check_tags(tags: dict[str, str], where: str) -> None:
    if len(tags) > limits.TAGS_MAX:
        raise InvalidInputError(f"tags: expected at most {limits.TAGS_MAX}, got {len(tags)}", where=where)
    for name, text in tags.items():
        size = max(len(name.encode(errors="replace")), len(text.encode(errors="replace")))
        if not name or size > limits.TAG_BYTES_MAX:
            expected = f"a name, and name and text of at most {limits.TAG_BYTES_MAX} bytes"
            raise InvalidInputError(f"tags: expected {expected}, got {name!r:.80} with {size} bytes", where=where)
