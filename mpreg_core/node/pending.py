"""A request that waits at a node, and what its caller gets."""

from collections.abc import Callable
from functools import lru_cache

from msgspec import Struct

from mpreg_core.errors import InvalidInputError
from mpreg_core.ids import NodeId
from mpreg_core.limits import REQUEST_TIMEOUT_S_MAX
from mpreg_core.node.state import CounterKey
from mpreg_core.units import NS_PER_MS
from mpreg_core.wire.request import ReplyFrame, RequestFrame

HEDGE_S_MIN = 0.001
STAYS_COUNTED = 256
RETRY_AFTER_MS_MIN, RETRY_AFTER_MS_MAX = 50, 5_000


class Pending(Struct):
    """A request this node handed on or runs. `previous` is who waits for the reply, or `answer` a caller here.

    At `hedge_ns` it goes a second way as well; `also` is then the next hop of the first one. While it waits for a way,
    `held` is why there is none; `holds` counts; `is_known` says that it is known where to. `cluster` is the one whose
    endpoint it was posted to. `delivered` says that an earlier try may have been.
    """

    frame: RequestFrame
    deadline_ns: int
    started_ns: int
    previous: NodeId | None
    answer: Callable[["Outcome"], None] | None
    next_hop: NodeId | None = None
    pool: str = ""
    sent_ns: int = 0
    tried: frozenset[NodeId] = frozenset()
    running: bool = False
    cluster: str = ""
    hedge_ns: int | None = None
    also: NodeId | None = None
    held: str = ""
    holds: int = 0
    is_known: bool = False
    delivered: bool = False

    def reply(
        self, where: NodeId, code: str, message: str, payload: bytes = b"", *, delivered: bool = False
    ) -> ReplyFrame:
        """The end of it, as of this node."""
        return ReplyFrame(
            id=self.frame.id,
            code=code,
            payload=payload,
            where=where,
            path=self.frame.path,
            message=message,
            delivered=delivered,
        )


class Stays:
    """How long requests stay at this node, on average of the last ones."""

    def __init__(self) -> None:
        self._mean_ns = 0.0

    def note(self, duration_ns: int) -> None:
        """One has ended."""
        self._mean_ns += (duration_ns - self._mean_ns) / STAYS_COUNTED

    @property
    def retry_after_ms(self) -> int:
        """When those that are here now will have made room."""
        return round(min(RETRY_AFTER_MS_MAX, max(RETRY_AFTER_MS_MIN, self._mean_ns / NS_PER_MS)))


class Outcome(Struct, frozen=True):
    """What the caller at this node gets."""

    reply: ReplyFrame
    duration_ns: int


def check_hedge(hedge_s: float | None, *, idempotent: bool) -> None:
    """Raises `InvalidInputError` for a second way that may not be, or a time that is none."""
    if hedge_s is None:
        return
    if not idempotent:
        raise InvalidInputError("only an idempotent request may go two ways: say so, or ask without hedge")
    if not HEDGE_S_MIN <= hedge_s <= REQUEST_TIMEOUT_S_MAX:
        raise InvalidInputError(f"expected a hedge of {HEDGE_S_MIN} to {REQUEST_TIMEOUT_S_MAX} s, got {hedge_s}")


@lru_cache(maxsize=64)
def ended_key(outcome: str) -> CounterKey:
    """The counter of requests that ended so."""
    return "mpreg_requests_total", (("outcome", outcome),)
