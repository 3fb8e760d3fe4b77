"""What a request or a reply carries, as bytes: JSON text."""

import msgspec

from mpreg_core.contracts.api import Body, Json
from mpreg_core.errors import HandlerError

_NO_JSON = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


def encode_payload(payload: Body) -> bytes:
    """A payload on the wire is JSON text. Bytes that are no JSON go as a JSON string of their text."""
    if isinstance(payload, bytes):
        return msgspec.json.encode(payload.decode("utf-8", "replace"))
    return msgspec.json.encode(payload)


def is_json(payload: bytes) -> bool:
    """True if a message's payload can be decoded wherever it gets to."""
    try:
        msgspec.json.decode(payload)
    except _NO_JSON:
        return False
    return True


def decode_payload(payload: bytes) -> Json:
    """Raises `HandlerError` when it is no JSON."""
    try:
        decoded: Json = msgspec.json.decode(payload)
    except _NO_JSON as error:
        raise HandlerError(f"expected JSON, got {payload[:40]!r}: {error}") from error
    return decoded
