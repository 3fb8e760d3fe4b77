"""The services that every node serves under the prefix `mpreg.`: how nodes ask each other for what only some can do."""

from typing import TYPE_CHECKING, Any, cast

import msgspec

from mpreg_core.contracts.api import Cluster, Handler, Json, Request, Scope
from mpreg_core.contracts.members import Coordinates
from mpreg_core.errors import InvalidInputError

if TYPE_CHECKING:
    from mpreg_core.embed.running import RunningNode

ECHO, PROPOSE, STATE, DISCOVER, CLUSTERS = (
    "mpreg.echo", "mpreg.propose", "mpreg.state", "mpreg.discover", "mpreg.clusters",
)  # fmt: skip


class ProposeCall(msgspec.Struct, forbid_unknown_fields=True):
    """Propose in the pool of a scope that the asked node is in."""

    key: str
    value: Any
    scope: Scope
    timeout: float


class StateCall(msgspec.Struct, forbid_unknown_fields=True):
    """A linearizable access in the pool of a scope that the asked node is in."""

    verb: str
    key: str
    scope: Scope
    timeout: float
    value: Any = None
    if_version: str | None = None


class DiscoverCall(msgspec.Struct, forbid_unknown_fields=True):
    """Where is a service, as the asked node knows; `down` = and the hubs below it."""

    service: str
    near: Coordinates | None = None
    limit: int = 10
    down: bool = False


class ClustersCall(msgspec.Struct, forbid_unknown_fields=True):
    """Register, deregister or heartbeat a cluster at the asked hub."""

    verb: str
    cluster: Cluster | None = None
    id: str = ""
    load: float | None = None
    status: str | None = None


def handlers(node: "RunningNode") -> dict[str, Handler]:
    """The internal services of a node by name."""

    async def echo(request: Request) -> Json:
        return request.payload

    async def propose(request: Request) -> Json:
        call = _decode(request, ProposeCall)
        return to_json(await node.propose(call.key, call.value, scope=call.scope, timeout=call.timeout))

    async def state(request: Request) -> Json:
        call = _decode(request, StateCall)
        if call.verb == "put":
            return to_json(
                await node.state.put(
                    call.key, call.value, scope=call.scope, if_version=call.if_version, consistency="linearizable",
                    timeout=call.timeout,
                )
            )  # fmt: skip
        if call.verb == "get":
            return to_json(
                await node.state.get(call.key, scope=call.scope, consistency="linearizable", timeout=call.timeout)
            )
        if call.verb == "delete":
            return await node.state.delete(
                call.key, scope=call.scope, if_version=call.if_version, consistency="linearizable"
            )
        raise InvalidInputError(f"expected put, get or delete, got {call.verb!r:.40}")

    async def discover(request: Request) -> Json:
        call = _decode(request, DiscoverCall)
        return to_json(await node.find(call.service, call.near, min(call.limit, 100), down=call.down))

    async def clusters(request: Request) -> Json:
        call = _decode(request, ClustersCall)
        if call.verb == "register" and call.cluster is not None:
            return to_json(await node.register_cluster(call.cluster))
        if call.verb == "heartbeat":
            return to_json(await node.heartbeat_cluster(call.id, load=call.load, status=call.status))
        if call.verb == "deregister":
            await node.deregister_cluster(call.id)
            return None
        raise InvalidInputError(f"expected register, heartbeat or deregister, got {call.verb!r:.40}")

    return {ECHO: echo, PROPOSE: propose, STATE: state, DISCOVER: discover, CLUSTERS: clusters}


def to_json(value: object) -> Json:
    """An api Struct as JSON data."""
    return cast("Json", msgspec.to_builtins(value))


def _decode(request: Request, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(request.payload, kind)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"{request.service}: {error}") from error
