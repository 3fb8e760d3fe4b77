"""Replicated state: read, write, list and watch.

A key may hold slashes. One that ends in `/watch` can be written, deleted and listed, but not read by its path.
"""

from collections.abc import Mapping, Sequence

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
from mpreg_core import CompactedError, InvalidInputError, StateChange, StateEntry
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
        ttl=body.ttl,
        ephemeral=body.ephemeral,
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
    """Every change once, in order. A frame's id is the revision, which a later watch goes on from."""
    key, query, state, ring = key_of(call.path), call.query, call.node.state, call.backend.events
    resumed = _revision(call.last_event_id)
    since = query.since if resumed is None else resumed

    def changes(after: int) -> tuple[Sequence[StateChange], int]:
        found, revision = state.changes(after, key, scope=query.scope)
        return [change for change in found if query.prefix or change.key == key], revision

    if since is not None and resumed is None:
        changes(since)  # an answer with its status, while there is none yet

    async def show_all(sink: Sink) -> int:
        """What is there now; gives the revision."""
        found, revision = state.list(key, scope=query.scope)
        entries = [entry for entry in found if query.prefix or entry.key == key]
        for entry in entries:
            await sink.write(_frame(entry, entry.key, revision))
        if not entries and not query.prefix:
            await sink.write(_frame(None, key, revision))
        return revision

    async def source(sink: Sink) -> None:
        await sink.open()
        after, number = since, ring.last
        if after is None:
            after = await show_all(sink)
        while True:
            try:
                recent, after = changes(after)
            except CompactedError as error:  # the reader was away, or is slower than what changes
                gap = {"oldest": error.oldest, "revision": error.revision}
                await sink.write(frame(json.encode(gap), event="compacted"))
                after = await show_all(sink)
                continue
            for change in recent:
                await sink.write(_frame(change.entry, change.key, change.revision))
            if not recent:
                await ring.wait(number)
            number = ring.last

    return call.stream(source)


def _revision(last_event_id: str) -> int | None:
    """The revision in a `Last-Event-ID`; what is none counts as one that is no longer known."""
    if not last_event_id:
        return None
    is_number = last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19
    return int(last_event_id) if is_number else 0


def _frame(entry: StateEntry | None, key: str, revision: int) -> bytes:
    answer: StateEntry | DeletedAnswer = entry if entry is not None else DeletedAnswer(key, True, revision)
    return frame(json.encode(answer), id=str(revision))


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET", path="/api/state", role="viewer", handler=entries, query=StateListQuery, body=Nothing,
        answer=EntriesAnswer, summary="The entries whose key begins with `prefix`.",
    ),
    Route(
        method="GET", path="/api/state/{key:path}/watch", role="viewer", handler=watch, query=WatchQuery,
        body=Nothing, answer=str, stream=True, summary="The entry now, then each change; 410 when `since` is too old.",
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
