"""A handler's outcome as a code, a payload and a message, whatever the handler does."""

import logging

from mpreg_core.contracts.api import Handler, Request
from mpreg_core.errors import MpregError
from mpreg_core.ids import NodeId
from mpreg_core.limits import REQUEST_BYTES_MAX
from mpreg_core.wire.payload import decode_payload, encode_payload

logger = logging.getLogger("mpreg.handlers")


async def outcome_of(
    handler: Handler, call: str, service: str, payload: bytes, path: tuple[NodeId, ...]
) -> tuple[str, bytes, str]:
    """Run a handler: an empty code and its answer, or an error's code and message."""
    try:
        asked = Request(call, service, decode_payload(payload), path[0], path)
        answer = encode_payload(await handler(asked))
    except MpregError as error:
        return error.code, b"", error.message
    except Exception as error:
        logger.exception("the handler of %s failed", service)
        return "handler_failed", b"", f"{type(error).__name__}: {error}"
    if len(answer) > REQUEST_BYTES_MAX:
        return "payload_too_large", b"", f"expected a reply of at most {REQUEST_BYTES_MAX} bytes, got {len(answer)}"
    return "", answer, ""
