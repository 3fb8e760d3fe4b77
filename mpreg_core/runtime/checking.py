"""Asking a registered cluster how it is: over HTTP, TCP, gRPC, or with a command of this host."""

import shlex
from collections.abc import Awaitable, Callable
from subprocess import DEVNULL, STDOUT
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio

from mpreg_core.runtime.grpc_health import grpc_status

if TYPE_CHECKING:
    import httpx2

AT_ONCE_MAX = 100
OUTPUT_BYTES_MAX = 4096


class Checker:
    """Runs checks, at most `AT_ONCE_MAX` at once. One HTTP client, made at the first use."""

    def __init__(self) -> None:
        self._client: httpx2.AsyncClient | None = None
        self._limit = anyio.CapacityLimiter(AT_ONCE_MAX)
        self._kinds: dict[str, Callable[[str], Awaitable[str]]] = {
            "http": self._http,
            "https": self._http,
            "tcp": _tcp,
            "grpc": _grpc,
            "command": _command,
        }

    async def check(self, check: str, timeout_s: float) -> str:
        """Ask; gives what is wrong, or an empty text."""
        error = f"no answer within {timeout_s:g} s"
        with anyio.move_on_after(timeout_s):
            try:
                async with self._limit:
                    error = await self._kinds[check.partition(":")[0]](check)
            except OSError as failure:
                error = str(failure) or type(failure).__name__
            except Exception as failure:  # whatever is at the other end, a check ends in words
                error = f"{type(failure).__name__}: {failure}"
        return error

    async def _http(self, url: str) -> str:
        import httpx2

        if self._client is None:
            self._client = httpx2.AsyncClient(follow_redirects=False, trust_env=False)
        try:
            async with self._client.stream("GET", url) as response:
                return "" if response.is_success else f"expected a status of 2xx, got {response.status_code}"
        except httpx2.HTTPError as error:
            return f"{type(error).__name__}: {error}"

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()


def _place(check: str) -> tuple[str, int, str]:
    parts = urlsplit(check)
    return parts.hostname or "", parts.port or 0, parts.path.strip("/")


async def _tcp(check: str) -> str:
    host, port, _ = _place(check)
    async with await anyio.connect_tcp(host, port):
        return ""


async def _grpc(check: str) -> str:
    host, port, service = _place(check)
    async with await anyio.connect_tcp(host, port) as stream:
        status = await grpc_status(stream, f"{host}:{port}", service)
    return "" if status == "SERVING" else f"expected SERVING, got {status}"


async def _command(check: str) -> str:
    words = shlex.split(check.partition(":")[2])
    said = b""
    async with await anyio.open_process(words, stdin=DEVNULL, stderr=STDOUT) as process:
        assert process.stdout is not None
        async for part in process.stdout:  # to its end, else the command would wait for a reader
            said += part[: OUTPUT_BYTES_MAX - len(said)]
        code = await process.wait()
    return f"exit code {code}: {said.decode(errors='replace').strip()}".rstrip(": ") if code else ""
