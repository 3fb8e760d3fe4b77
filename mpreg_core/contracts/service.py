"""Services: long-lived async work that a plugin runs beside the node, under its supervisor. The HTTP API is one."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct

from mpreg_core.contracts.access import Authenticator
from mpreg_core.contracts.api import Json, NodeApi
from mpreg_core.contracts.transport import Endpoint

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

OptionsT = TypeVar("OptionsT", bound=Struct)


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """What a service gets: the node's api, where the configuration wants it to listen, what may be shown of the rest.

    `http` is None when no HTTP is wanted, `metrics` None when metrics are off. `config` is redacted. `plugins` is what
    `mpreg plugins list --output json` prints. `authenticator` says who bears a token; None: nobody has to show one.
    """

    node: NodeApi
    http: Endpoint | None
    metrics: Endpoint | None
    config: Mapping[str, Json]
    plugins: Json
    authenticator: Authenticator | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec(Generic[OptionsT]):
    """A service. `run` calls `task_status.started` with the endpoints it bound by name once it serves.

    It runs until cancelled, and ends what it has open when it is. One that raises is logged and restarted with a
    growing delay; before `started`, it stops the node with the error instead (a port in use).
    """

    name: str
    summary: str
    options: type[OptionsT]
    run: "Callable[[ServiceContext, OptionsT, TaskStatus[Mapping[str, Endpoint]]], Awaitable[None]]"
