"""`GET /metrics`, on its own port: Prometheus text, or OpenMetrics for a scraper that asks for it."""

from collections.abc import Sequence

from starlette.responses import Response

from mpreg_admin_http.call import Call
from mpreg_admin_http.errors import HEADERS
from mpreg_admin_http.messages import Nothing
from mpreg_admin_http.route import AnyRoute, Route
from mpreg_core.observe.metrics import NodeMetrics


def metrics_routes(metrics: NodeMetrics) -> Sequence[AnyRoute]:
    """The one route of the metrics port."""

    async def page(call: Call[Nothing, Nothing]) -> Response:
        content, content_type = metrics.exposition(call.headers.get("accept", ""))
        return Response(content, 200, {**HEADERS, "content-type": content_type})

    route: AnyRoute = Route(
        method="GET", path="/metrics", role="viewer", handler=page, query=Nothing, body=Nothing, answer=str,
        summary="The node's metrics.",
    )  # fmt: skip
    return (route,)
