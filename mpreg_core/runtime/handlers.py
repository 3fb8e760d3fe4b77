"""Handlers of services: user code, run beside the node, whose outcome goes back into it."""

import logging
from collections.abc import Callable

import anyio
import msgspec
from anyio.abc import TaskGroup

from mpreg_core.contracts.api import Body, Handler, Json, Request
from mpreg_core.errors import HandlerError, MpregError
from mpreg_core.limits import REQUEST_BYTES_MAX
from mpreg_core.node.actions import Invoke
from mpreg_core.runtime import clock
from mpreg_core.runtime.forward import Forwarder
from mpreg_core.units import seconds

logger = logging.getLogger("mpreg.handlers")

Handled = Callable[[str, str, bytes, str], None]
"""Told of the outcome: call, error code or empty, payload, message."""


def encode_payload(payload: Body) -> bytes:
    """A payload on the wire is JSON text. Bytes that are no JSON go as a JSON string of their text."""
    if isinstance(payload, bytes):
        return msgspec.json.encode(payload.decode("utf-8", "replace"))
    return msgspec.json.encode(payload)


def decode_payload(payload: bytes) -> Json:
    """Raises `HandlerError` when it is no JSON."""
    try:
        decoded: Json = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise HandlerError(f"expected JSON, got {payload[:40]!r}: {error}") from error
    return decoded


class Handlers:
    """The services of this node by name."""

    def __init__(self, tasks: TaskGroup, handled: Handled) -> None:
        self._tasks = tasks
        self._handled = handled
        self._by_name: dict[str, Handler] = {}
        self._forwarder = Forwarder()

    def add(self, service: str, handler: Handler) -> None:
        """Serve from now on; a later handler of the same name takes over."""
        self._by_name[service] = handler

    def start(self, invoke: Invoke) -> None:
        """Run the handler in a task of its own, or post the request to the cluster's endpoint."""
        if invoke.endpoint:
            self._tasks.start_soon(self._forward, invoke)
            return
        handler = self._by_name.get(invoke.service)
        if handler is None:
            self._handled(invoke.call, "not_found", b"", f"no handler of {invoke.service!r} here")
        else:
            self._tasks.start_soon(self._run, handler, invoke)

    async def close(self) -> None:
        """Let go of connections to endpoints."""
        await self._forwarder.close()

    async def _forward(self, invoke: Invoke) -> None:
        code, payload, message = await self._forwarder.post(invoke)
        if not code:
            try:
                msgspec.json.decode(payload)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                code, payload, message = "handler_failed", b"", f"{invoke.endpoint} answered no JSON"
        self._handled(invoke.call, code, payload, message)

    async def _run(self, handler: Handler, invoke: Invoke) -> None:
        left_s = seconds(invoke.deadline_ns - clock.now_ns())
        code, payload, message = "timeout", b"", "the handler took too long"
        with anyio.move_on_after(left_s):
            code, payload, message = await self._outcome(handler, invoke)
        self._handled(invoke.call, code, payload, message)

    async def _outcome(self, handler: Handler, invoke: Invoke) -> tuple[str, bytes, str]:
        try:
            asked = Request(invoke.call, invoke.service, decode_payload(invoke.payload), invoke.path[0], invoke.path)
            answer = encode_payload(await handler(asked))
        except MpregError as error:
            return error.code, b"", error.message
        except Exception as error:
            logger.exception("the handler of %s failed", invoke.service)
            return "handler_failed", b"", f"{type(error).__name__}: {error}"
        if len(answer) > REQUEST_BYTES_MAX:
            return "payload_too_large", b"", f"expected a reply of at most {REQUEST_BYTES_MAX} bytes, got {len(answer)}"
        return "", answer, ""
