"""A request as handlers get it: checked, decoded and bounded."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio
import msgspec
from msgspec import Struct
from starlette.requests import ClientDisconnect, Request

from mpreg_admin_http.backend import Backend
from mpreg_admin_http.errors import HttpError
from mpreg_admin_http.sse import EventStream, Source
from mpreg_core import Identity, InvalidInputError, NodeApi, UnavailableError, did_you_mean
from mpreg_core.limits import HTTP_BODY_BYTES_MAX

QueryT = TypeVar("QueryT", bound=Struct)
BodyT = TypeVar("BodyT", bound=Struct)
T = TypeVar("T", bound=Struct)

BODY_S_MAX = 30.0
DISCARD_BYTES_MAX = 8 * HTTP_BODY_BYTES_MAX
"""So much of a body that is too large is read on, for a client that hears nothing before it has sent all."""

_AT = re.compile(r" - at `\$(.*)`$")
_UNKNOWN = re.compile(r"unknown field `(.*)`$")


@dataclass(frozen=True, slots=True)
class Call(Generic[QueryT, BodyT]):
    """One request. `identity` is who asks, `path` are the route's parameters, `headers` go by lower-case names."""

    backend: Backend
    identity: Identity
    path: Mapping[str, str]
    query: QueryT
    body: BodyT
    headers: Mapping[str, str]

    @property
    def node(self) -> NodeApi:
        """The node."""
        return self.backend.node

    def stream(self, source: Source) -> EventStream:
        """An answer that goes on while whoever asked may read it."""
        return EventStream(source, self.backend.stopping, self.identity.expires_ms)

    @property
    def last_event_id(self) -> str:
        """Where an event stream shall resume; empty when it begins."""
        return self.headers.get("last-event-id", "")


def decode_query(request: Request, type: type[QueryT]) -> QueryT:
    """The query's parameters. Raises `InvalidInputError`."""
    items = request.query_params.multi_items()
    query = dict(items)
    if len(query) != len(items):
        raise InvalidInputError("expected each parameter once", where="query")
    try:
        return msgspec.convert(query, type, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid("query", str(error), type) from None


def decode_body(raw: bytes, type: type[BodyT]) -> BodyT:
    """A JSON body; an empty one is `{}`. Raises `InvalidInputError`."""
    try:
        return msgspec.json.decode(raw or b"{}", type=type)
    except msgspec.ValidationError as error:
        raise _invalid("body", str(error), type) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"expected JSON: {error}", where="body") from None
    except RecursionError:
        raise InvalidInputError("expected JSON of less depth", where="body") from None


async def read_body(request: Request) -> bytes:
    """The whole body, at most `HTTP_BODY_BYTES_MAX`. Raises `HttpError` when it is larger or does not come."""
    if "content-length" not in request.headers and "transfer-encoding" not in request.headers:
        return b""  # RFC 9112, section 6.3
    body = bytearray()
    length = 0
    try:
        with anyio.fail_after(BODY_S_MAX):
            async for chunk in request.stream():
                length += len(chunk)
                if length <= HTTP_BODY_BYTES_MAX:
                    body += chunk
                elif length > DISCARD_BYTES_MAX:
                    break
    except TimeoutError:
        raise HttpError(
            "body_timeout", f"expected the body within {BODY_S_MAX:.0f} s", headers={"connection": "close"}
        ) from None
    except ClientDisconnect:
        raise UnavailableError("the client went away before it had sent the body") from None
    if length > HTTP_BODY_BYTES_MAX:
        message = f"expected a body of at most {HTTP_BODY_BYTES_MAX} bytes, got more"
        raise HttpError("payload_too_large", message, where="body", headers={"connection": "close"})
    return bytes(body)


def _invalid(place: str, message: str, type: type[T]) -> InvalidInputError:
    """msgspec's complaint, with the path of the field as `where` and the nearest name for a wrong one."""
    at = _AT.search(message)
    where = place + (at[1] if at else "")
    message = _AT.sub("", message)
    unknown = _UNKNOWN.search(message)
    if unknown and where == place:
        known = type.__struct_fields__
        expected = f"expected {', '.join(known)}" if known else "expected none"
        message = f"unknown field {unknown[1]!r}{did_you_mean(unknown[1], known)} ({expected})"
    return InvalidInputError(message, where=where)
