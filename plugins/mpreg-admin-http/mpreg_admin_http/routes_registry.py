"""The registry of clusters, and where services are."""

import msgspec

from mpreg_admin_http.call import Call
from mpreg_admin_http.messages import (
    ClusterBody,
    ClustersAnswer,
    DeregisteredAnswer,
    DiscoverAnswer,
    DiscoverQuery,
    HeartbeatBody,
    Nothing,
)
from mpreg_admin_http.route import AnyRoute, Route
from mpreg_core import Cluster, Coordinates, InvalidInputError, Json, NotFoundError


async def registry_status(call: Call[Nothing, Nothing]) -> Json:
    return call.node.registry_status()


async def clusters(call: Call[Nothing, Nothing]) -> ClustersAnswer:
    return ClustersAnswer(list(call.node.clusters()))


async def cluster(call: Call[Nothing, Nothing]) -> Cluster:
    for known in call.node.clusters():
        if known.id == call.path["id"]:
            return known
    raise NotFoundError("no cluster with this id is known here", where=call.path["id"])


async def register(call: Call[Nothing, ClusterBody]) -> Cluster:
    fields = {name: getattr(call.body, name) for name in ClusterBody.__struct_fields__}
    return await call.node.register_cluster(Cluster(**fields))


async def deregister(call: Call[Nothing, Nothing]) -> DeregisteredAnswer:
    await call.node.deregister_cluster(call.path["id"])
    return DeregisteredAnswer(call.path["id"], True)


async def heartbeat(call: Call[Nothing, HeartbeatBody]) -> Cluster:
    return await call.node.heartbeat_cluster(call.path["id"], load=call.body.load, status=call.body.status)


async def discover(call: Call[DiscoverQuery, Nothing]) -> DiscoverAnswer:
    query = call.query
    near = None if query.near is None else place_of(query.near)
    return DiscoverAnswer(query.service, list(await call.node.discover(query.service, near=near, limit=query.limit)))


def place_of(text: str) -> Coordinates:
    """`LATITUDE,LONGITUDE` in degrees. Raises `InvalidInputError`."""
    latitude, _, longitude = text.partition(",")
    try:
        fields = {"latitude": float(latitude), "longitude": float(longitude)}
        return msgspec.convert(fields, Coordinates)
    except ValueError:
        message = f"expected LATITUDE,LONGITUDE within -90..90 and -180..180 degrees, got {text!r}"
        raise InvalidInputError(message, where="query.near") from None


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET", path="/api/registry/status", role="viewer", handler=registry_status, query=Nothing,
        body=Nothing, answer=dict[str, Json], summary="Counts of clusters, services and hubs by region.",
    ),
    Route(
        method="GET", path="/api/registry/clusters", role="viewer", handler=clusters, query=Nothing, body=Nothing,
        answer=ClustersAnswer, summary="The clusters known here in full.",
    ),
    Route(
        method="POST", path="/api/registry/clusters", role="operator", handler=register, query=Nothing,
        body=ClusterBody, answer=Cluster, status=201, summary="Registers a cluster, or changes it.",
    ),
    Route(
        method="GET", path="/api/registry/clusters/{id}", role="viewer", handler=cluster, query=Nothing, body=Nothing,
        answer=Cluster, summary="One cluster.",
    ),
    Route(
        method="DELETE", path="/api/registry/clusters/{id}", role="operator", handler=deregister, query=Nothing,
        body=Nothing, answer=DeregisteredAnswer, summary="Removes a cluster.",
    ),
    Route(
        method="PUT", path="/api/registry/clusters/{id}/heartbeat", role="operator", handler=heartbeat, query=Nothing,
        body=HeartbeatBody, answer=Cluster, summary="A cluster lives, and how it is.",
    ),
    Route(
        method="GET", path="/api/registry/discover", role="viewer", handler=discover, query=DiscoverQuery,
        body=Nothing, answer=DiscoverAnswer, summary="Where a service is, best first, and why.",
    ),
)  # fmt: skip
