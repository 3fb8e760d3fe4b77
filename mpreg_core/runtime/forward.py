"""Requests to clusters that are no members: the hub posts them to the endpoint the cluster registered with."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio

from mpreg_core.limits import REQUEST_BYTES_MAX
from mpreg_core.node.actions import Invoke
from mpreg_core.runtime import clock
from mpreg_core.units import seconds

if TYPE_CHECKING:
    import httpx2

CONNECTIONS_MAX = 100


class Forwarder:
    """Posts JSON and takes JSON. One client, made at the first use; redirects are not followed."""

    def __init__(self) -> None:
        self._client: httpx2.AsyncClient | None = None

    async def post(self, invoke: Invoke) -> tuple[str, bytes, str]:
        """The outcome: an error's code or empty, the answer's bytes, a message."""
        import httpx2

        if urlsplit(invoke.endpoint).scheme not in ("http", "https"):
            return "handler_failed", b"", f"expected an http or https endpoint, got {invoke.endpoint!r:.100}"
        if self._client is None:
            limits = httpx2.Limits(max_connections=CONNECTIONS_MAX)
            self._client = httpx2.AsyncClient(limits=limits, follow_redirects=False, trust_env=False)
        left_s = max(0.001, seconds(invoke.deadline_ns - clock.now_ns()))
        headers = {
            "content-type": "application/json",
            "x-mpreg-service": invoke.service,
            "x-mpreg-request": invoke.call,
        }
        try:
            with anyio.fail_after(left_s):
                async with self._client.stream(
                    "POST", invoke.endpoint, content=invoke.payload, headers=headers, timeout=left_s
                ) as response:
                    body = await _bounded(response)
        except httpx2.ConnectError as error:
            return "unavailable", b"", f"{invoke.endpoint} cannot be reached: {error}"
        except (httpx2.TimeoutException, TimeoutError):
            return "timeout", b"", f"{invoke.endpoint} did not answer in time"
        except httpx2.HTTPError as error:
            return "handler_failed", b"", f"{invoke.endpoint}: {type(error).__name__}: {error}"
        if body is None:
            return "payload_too_large", b"", f"expected an answer of at most {REQUEST_BYTES_MAX} bytes"
        if not response.is_success:
            return "handler_failed", b"", f"{invoke.endpoint} answered {response.status_code}"
        return "", body or b"null", ""

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()


async def _bounded(response: "httpx2.Response") -> bytes | None:
    """The body, or None when it is over the limit."""
    if int(response.headers.get("content-length", 0)) > REQUEST_BYTES_MAX:
        return None
    body = bytearray()
    size = 0
    async for part in response.aiter_bytes():  # to its end: the client cannot be left in the middle on every backend
        size += len(part)
        if size <= REQUEST_BYTES_MAX:
            body += part
    return bytes(body) if size <= REQUEST_BYTES_MAX else None
