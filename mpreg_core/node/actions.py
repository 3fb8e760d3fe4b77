"""What a node asks of its driver. Carried out in order; none of them blocks the node."""

from typing import TypeAlias

from msgspec import Struct

from mpreg_core.contracts.events import Occurrence
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.errors import MpregError
from mpreg_core.ids import ClusterId, Lane, NodeId, Plane


class Transmit(Struct, frozen=True, gc=False):
    """Put a frame on its way to each endpoint. Under pressure it may be dropped, by plane and lane, and counted."""

    to: tuple[Endpoint, ...]
    plane: Plane
    lane: Lane
    frame: bytes


class WriteRecord(Struct, frozen=True):
    """Append a record to the named journal; once it is durable call `on_persisted(journal, token)`.

    Records of a journal become durable in order. A `checkpoint` replaces all that the journal holds, atomically.
    """

    journal: str
    token: int
    record: bytes
    checkpoint: bool


class Notify(Struct, frozen=True):
    """Show an event to observers and waiters."""

    occurrence: Occurrence


class Invoke(Struct, frozen=True):
    """Run this node's handler of a service, then call `on_handled(call, ...)`. After `deadline_ns` nobody waits.

    With `endpoint` the request goes to that URL instead: a cluster registered here that is no member.
    """

    call: str
    service: str
    payload: bytes
    path: tuple[NodeId, ...]
    deadline_ns: int
    endpoint: str = ""


class Abandon(Struct, frozen=True):
    """Nobody waits for a call's outcome any more: stop its handler if it still runs."""

    call: str


class CheckHealth(Struct, frozen=True):
    """Ask a registered cluster how it is by its `check`; call `on_checked(cluster, error)` within `timeout_ns`."""

    cluster: ClusterId
    check: str
    timeout_ns: int


class Complete(Struct, frozen=True):
    """A command that was given a token has its outcome."""

    token: int
    result: Struct | MpregError | None


class StopNode(Struct, frozen=True):
    """The node must not go on: stop the process and say why."""

    reason: str


Action: TypeAlias = Transmit | WriteRecord | Notify | Invoke | Abandon | CheckHealth | Complete | StopNode
"""All that a driver needs to carry out."""
