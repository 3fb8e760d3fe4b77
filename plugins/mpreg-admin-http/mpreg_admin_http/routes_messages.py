"""Requests to services, and messages to subscribers."""

from msgspec import json

from mpreg_admin_http.call import Call
from mpreg_admin_http.messages import (
    Nothing,
    PublishBody,
    RequestBody,
    SubscribeQuery,
)
from mpreg_admin_http.route import AnyRoute, Route
from mpreg_admin_http.sse import EventStream, Sink, frame
from mpreg_core import Message, Reply


async def request(call: Call[Nothing, RequestBody]) -> Reply:
    body = call.body
    return await call.node.request(
        body.service,
        body.payload,
        target=body.target,
        timeout=body.timeout,
        idempotent=body.idempotent,
        hedge=body.hedge,
    )


async def publish(call: Call[Nothing, PublishBody]) -> Message:
    return await call.node.publish(call.body.topic, call.body.payload, at_least_once=call.body.at_least_once)


async def subscribe(call: Call[SubscribeQuery, Nothing]) -> EventStream:
    async def source(sink: Sink) -> None:
        async with call.node.subscribe(call.query.pattern, queue=call.query.queue) as messages:
            await sink.open()
            async for message in messages:
                await sink.write(frame(json.encode(message)))

    return call.stream(source)


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="POST", path="/api/requests", role="operator", handler=request, query=Nothing, body=RequestBody,
        answer=Reply, summary="Asks a service, wherever it is best served.",
    ),
    Route(
        method="POST", path="/api/messages", role="operator", handler=publish, query=Nothing, body=PublishBody,
        answer=Message, summary="Publishes a message.",
    ),
    Route(
        method="GET", path="/api/messages/stream", role="viewer", handler=subscribe, query=SubscribeQuery,
        body=Nothing, answer=str, stream=True, summary="The messages whose topic matches `pattern`, from now on.",
    ),
)  # fmt: skip
