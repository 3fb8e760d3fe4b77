"""Errors as HTTP answers: one table from an error's code to its status, one shape for all."""

import math
from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from mpreg_core import MpregError

STATUS_OF: Mapping[str, int] = {
    "invalid": 400,
    "invalid_configuration": 400,
    "protocol": 400,
    "unknown_strategy": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "forbidden_origin": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "body_timeout": 408,
    "conflict": 409,
    "compacted": 410,
    "payload_too_large": 413,
    "wrong_host": 421,
    "internal": 500,
    "budget_spent": 502,
    "handler_failed": 502,
    "request_failed": 502,
    "transport": 502,
    "no_quorum": 503,
    "no_route": 503,
    "overloaded": 503,
    "proposal_failed": 503,
    "storage": 503,
    "unavailable": 503,
    "timeout": 504,
}
"""A code that is not here is a bug of ours or of a plugin: 500."""

HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
"""On every answer: what a node knows is stale in a second, and nothing here is to be guessed at by a browser."""


class HttpError(MpregError):
    """What only HTTP can get wrong. Nothing was done."""

    def __init__(self, code: str, message: str, *, where: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message, where=where)
        self.code = code
        self.headers = headers or {}


def error_body(error: MpregError) -> bytes:
    """The JSON that tells of an error."""
    return msgspec.json.encode(
        {
            "error": {
                "code": error.code,
                "message": error.message,
                "where": error.where,
                "retryable": error.retryable,
                "definite": error.definite,
            }
        }
    )


def error_response(error: MpregError) -> Response:
    """The answer that tells of an error."""
    status = STATUS_OF.get(error.code, 500)
    headers = HEADERS | dict(error.headers if isinstance(error, HttpError) else {})
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if status == 503 and error.retryable:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))  # whole seconds: RFC 9110, 10.2.3
    return Response(error_body(error), status, headers, "application/json")
