"""The node's life cycle, as in a rolling update: drain, resume, shut down."""

from collections.abc import Awaitable, Callable

from mpreg_admin_http.call import Call
from mpreg_admin_http.messages import Nothing, StateAnswer
from mpreg_admin_http.route import AnyRoute, Route


async def drain(call: Call[Nothing, Nothing]) -> StateAnswer:
    return await _launched(call, call.node.drain)


async def resume(call: Call[Nothing, Nothing]) -> StateAnswer:
    return await _launched(call, call.node.resume)


async def shutdown(call: Call[Nothing, Nothing]) -> StateAnswer:
    return await _launched(call, call.node.shutdown)


async def _launched(call: Call[Nothing, Nothing], command: Callable[[], Awaitable[None]]) -> StateAnswer:
    await call.backend.launch(command)
    return StateAnswer(call.node.status().node.state)


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="POST", path="/admin/drain", role="admin", handler=drain, query=Nothing, body=Nothing,
        answer=StateAnswer, status=202, summary="Takes no new requests, finishes those that run.",
    ),
    Route(
        method="POST", path="/admin/resume", role="admin", handler=resume, query=Nothing, body=Nothing,
        answer=StateAnswer, status=202, summary="Undoes a drain.",
    ),
    Route(
        method="POST", path="/admin/shutdown", role="admin", handler=shutdown, query=Nothing, body=Nothing,
        answer=StateAnswer, status=202, summary="Drains, announces the departure, stops.",
    ),
)  # fmt: skip
