"""Replicated state: read, write, list and watch.

A key may hold slashes. One that ends in `/watch` can be written, deleted and listed, but not read by its path.
"""

from collections.abc import Mapping

from msgspec import json

from mpreg_admin_http.call import Call
from mpreg_admin_http.messages import (
    DeletedAnswer,
    DeleteQuery,
    EntriesAnswer,
    Nothing,
    PutBody,
    StateListQuery,
    StateQuery,
    WatchQuery,
)
from mpreg_admin_http.route import AnyRoute, Route
from mpreg_admin_http.sse import EventStream, Sink, frame
from mpreg_core import InvalidInputError, NotFoundError, StateChanged, StateEntry
from mpreg_core.limits import KEY_BYTES_MAX


def key_of(path: Mapping[str, str]) -> str:
    """The key in the path. Raises `InvalidInputError`."""
    key = path["key"]
    if not 0 < len(key.encode(errors="replace")) <= KEY_BYTES_MAX:
        raise InvalidInputError(f"expected a key of 1 to {KEY_BYTES_MAX} bytes", where="key")
    return key


async def read(call: Call[StateQuery, Nothing]) -> StateEntry:
    query = call.query
    return await call.node.state.get(key_of(call.path), scope=query.scope, consistency=query.consistency)


async def write(call: Call[StateQuery, PutBody]) -> StateEntry:
    query, body = call.query, call.body
    return await call.node.state.put(
        key_of(call.path),
        body.value,
        scope=query.scope,
        policy=body.policy,
        if_version=body.if_version,
        consistency=query.consistency,
    )


async def delete(call: Call[DeleteQuery, Nothing]) -> DeletedAnswer:
    query, key = call.query, key_of(call.path)
    revision = await call.node.state.delete(
        key, scope=query.scope, if_version=query.if_version, consistency=query.consistency
    )
    return DeletedAnswer(key, True, revision)


async def entries(call: Call[StateListQuery, Nothing]) -> EntriesAnswer:
    query = call.query
    found, revision = call.node.state.list(query.prefix, scope=query.scope)
    rest = [entry for entry in found if entry.key > query.after]
    end = query.limit
    while end < len(rest) and rest[end].key == rest[end - 1].key:
        end += 1  # the copies of a key in several scopes share a page, for the next one begins after the key
    return EntriesAnswer(rest[:end], revision, rest[end - 1].key if end < len(rest) else None)


async def watch(call: Call[WatchQuery, Nothing]) -> EventStream:
    key, scope = key_of(call.path), call.query.scope
    ring, state = call.backend.events, call.node.state
    position = ring.resume_from(call.last_event_id)
    fresh = not call.last_event_id

    async def show(sink: Sink, number: int, revision: int) -> None:
        """The entry as it is now; when it is gone, that."""
        try:
            answer: StateEntry | DeletedAnswer = await state.get(key, scope=scope)
        except NotFoundError:
            answer = DeletedAnswer(key, True, revision)
        await sink.write(frame(json.encode(answer), id=ring.wire_id(number)))

    async def source(sink: Sink) -> None:
        number = position
        await sink.open()
        if fresh:
            await show(sink, number, state.list(key, scope=scope)[1])
        while True:
            await ring.wait(number)
            lost, recent = ring.after(number)
            number = recent[-1].number
            changes = [
                event
                for event in (entry.occurrence.event for entry in recent)
                if isinstance(event, StateChanged) and (event.key, event.scope) == (key, scope)
            ]
            if lost or changes:
                await show(sink, number, changes[-1].revision if changes else state.list(key, scope=scope)[1])

    return EventStream(source, call.backend.stopping)


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET", path="/api/state", role="viewer", handler=entries, query=StateListQuery, body=Nothing,
        answer=EntriesAnswer, summary="The entries whose key begins with `prefix`.",
    ),
    Route(
        method="GET", path="/api/state/{key:path}/watch", role="viewer", handler=watch, query=WatchQuery,
        body=Nothing, answer=str, stream=True, summary="The entry now, and again at each change.",
    ),
    Route(
        method="GET", path="/api/state/{key:path}", role="viewer", handler=read, query=StateQuery, body=Nothing,
        answer=StateEntry, summary="One entry.",
    ),
    Route(
        method="PUT", path="/api/state/{key:path}", role="operator", handler=write, query=StateQuery, body=PutBody,
        answer=StateEntry, summary="Writes an entry; 409 when `if_version` does not match.",
    ),
    Route(
        method="DELETE", path="/api/state/{key:path}", role="operator", handler=delete, query=DeleteQuery,
        body=Nothing, answer=DeletedAnswer, summary="Removes an entry.",
    ),
)  # fmt: skip
