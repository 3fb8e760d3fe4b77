"""Parts of bodies: how large, how many at once, and what the two ends say to each other about them."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AsyncExitStack, aclosing
from typing import Any

from msgspec import Struct

PART_BYTES = 256 * 1024
AHEAD = 4
"""Parts under way at once, and parts that wait for their reader at most."""

IDLE_S = 30.0
"""A body whose next part does not come, or is not asked for, for so long is given up."""


class Open(Struct, forbid_unknown_fields=True):
    """Begins a body; `payload` is what the handler's request has."""

    body_follows: bool
    payload: Any


class Opened(Struct):
    """Where its parts go."""

    body: str
    parts: str


class Part(Struct, tag="part", forbid_unknown_fields=True):
    """One part, in base64 on the wire. The `last` one has no data; that of a request is answered by `Ended`."""

    body: str
    number: int
    data: bytes = b""
    last: bool = False


class Ended(Struct):
    """The handler returned: a payload, or a body to `Fetch`."""

    payload: Any
    body_follows: bool = False


class Fetch(Struct, tag="fetch", forbid_unknown_fields=True):
    """Asks for a part of the reply; with `stop` for no more of it."""

    body: str
    number: int
    stop: bool = False


async def pieces(body: AsyncIterator[bytes] | Iterable[bytes]) -> AsyncGenerator[bytes]:
    """The same bytes in parts of a size that fits."""
    async with aclosing(_chunks(body)) as chunks:
        async for chunk in chunks:
            for at in range(0, len(chunk), PART_BYTES):
                yield chunk[at : at + PART_BYTES]


async def _chunks(body: AsyncIterator[bytes] | Iterable[bytes]) -> AsyncGenerator[bytes]:
    if isinstance(body, AsyncIterator):
        async with AsyncExitStack() as stack:
            if isinstance(body, AsyncGenerator):
                await stack.enter_async_context(aclosing(body))
            async for chunk in body:
                yield chunk
    else:
        for chunk in body:
            yield chunk
