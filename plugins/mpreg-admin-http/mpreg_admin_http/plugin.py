"""What the entry point names: the service `admin-http`."""

import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import anyio
from anyio.abc import TaskStatus

from mpreg_admin_http.app import build_app
from mpreg_admin_http.backend import Backend
from mpreg_admin_http.exposure import allowed_hosts, refuse_exposure, serves_anybody
from mpreg_admin_http.guard import Guard
from mpreg_admin_http.metrics_page import metrics_routes
from mpreg_admin_http.options import AdminHttpOptions
from mpreg_admin_http.ring import EventRing
from mpreg_admin_http.routes import ROUTES
from mpreg_admin_http.server import bind, endpoint_of, serve
from mpreg_core import Endpoint, NodeApi, ServiceContext, ServiceSpec, hookimpl
from mpreg_core.observe.metrics import NodeMetrics

_SETTING = {"http": "network.listen_port", "metrics": "monitoring.metrics_port"}


async def run(
    context: ServiceContext, options: AdminHttpOptions, task_status: TaskStatus[Mapping[str, Endpoint]]
) -> None:
    """Serve `http` and `metrics`, whichever the configuration wants, until cancelled.

    Raises before it has started: `ConfigError` when strangers could reach it, `TransportError` when a port is taken.
    """
    reachable = context.authenticator is not None or serves_anybody(context.config, options)
    wanted = {"http": context.http, "metrics": context.metrics}
    with ExitStack() as sockets:
        listening: dict[str, tuple[socket.socket, frozenset[str] | None]] = {}
        for name, endpoint in wanted.items():
            if endpoint is not None:
                sock = sockets.enter_context(await bind(endpoint, _SETTING[name]))
                bound = endpoint_of(sock)
                if not reachable:
                    refuse_exposure(bound, _SETTING[name])
                listening[name] = sock, allowed_hosts(bound, endpoint.host)
        metrics = NodeMetrics(context.node, context.plugins)
        tables = {"http": ROUTES, "metrics": metrics_routes(metrics)}
        async with anyio.create_task_group() as group:
            backend = Backend(context, EventRing(f"{time.time_ns():x}"), group)
            try:
                bounds = {name: endpoint_of(sock) for name, (sock, _) in listening.items()}
                for name, (sock, hosts) in listening.items():
                    await group.start(serve, Guard(build_app(tables[name], backend), hosts), sock, backend.stopping)
                group.start_soon(_follow, context.node, backend.events, metrics)
                task_status.started(bounds)
                await anyio.sleep_forever()
            finally:
                backend.stopping.set()


async def _follow(node: NodeApi, ring: EventRing, metrics: NodeMetrics) -> None:
    """Give each event of the node to the streams and the histograms."""
    async with node.events() as events:
        async for occurrence in events:
            metrics.on_event(occurrence)
            ring.add(occurrence, time.time())


SPEC = ServiceSpec(
    name="admin-http",
    summary="The HTTP API, the health endpoints and the metrics page.",
    options=AdminHttpOptions,
    run=run,
)


@hookimpl
def mpreg_services() -> Sequence[ServiceSpec[AdminHttpOptions]]:
    """Provide `admin-http`."""
    return (SPEC,)
