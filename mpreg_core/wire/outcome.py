"""The code of an answer as the error it stands for, at a node or at a client."""

from mpreg_core.errors import (
    BudgetSpentError,
    ConflictError,
    ForbiddenError,
    HandlerError,
    InvalidInputError,
    MpregError,
    NoQuorumError,
    NoRouteError,
    NotFoundError,
    OverloadedError,
    PayloadTooLargeError,
    ProposalError,
    RequestError,
    RequestTimeoutError,
    UnauthenticatedError,
    UnavailableError,
)
from mpreg_core.units import MS_PER_S
from mpreg_core.wire.client import Answer
from mpreg_core.wire.request import ReplyFrame

_ERRORS: dict[str, type[MpregError]] = {
    error.code: error
    for error in (
        BudgetSpentError, ConflictError, ForbiddenError, HandlerError, InvalidInputError, NoQuorumError, NoRouteError,
        NotFoundError, OverloadedError, PayloadTooLargeError, ProposalError, RequestError, RequestTimeoutError,
        UnauthenticatedError, UnavailableError,
    )
}  # fmt: skip


def error_in(reply: ReplyFrame | Answer) -> MpregError:
    """The failure that a reply tells of."""
    error = error_of(reply.code, reply.message, reply.where, delivered=reply.delivered)
    if reply.retry_after_ms > 0:
        error.retry_after_s = reply.retry_after_ms / MS_PER_S
    return error


def error_of(code: str, message: str, where: str, *, delivered: bool = False) -> MpregError:
    """A failure as an error; `where` is the node that gave up. Definite if no handler can have run."""
    error = _ERRORS.get(code, RequestError)(message or code, where=where)
    error.code = code
    error.definite = error.definite or not delivered
    return error
