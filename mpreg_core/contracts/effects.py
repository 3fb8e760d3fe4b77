"""What a machine may ask for: send a message, make a record durable, state a fact. Nothing else, on purpose.

Effects are a list or tuple (never a generator), carried out in order by the node that hosts the machine.
"""

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from mpreg_core.contracts.events import Event
from mpreg_core.ids import Lane, NodeId


class Send(Struct, frozen=True, tag="send"):
    """Send one message to one or many members; it is encoded once.

    `message` is an instance of a class in the spec's `messages`. On the `datagram` lane it may be lost, doubled or
    overtaken; one whose encoding is over `limits.DATAGRAM_BYTES_MAX` goes by stream instead. On the `stream` lane the
    messages to one peer keep their order while the connection lives. An unknown or left member is skipped and counted.
    """

    to: tuple[NodeId, ...]
    message: Struct
    lane: Lane = "datagram"


class Persist(Struct, frozen=True, tag="persist"):
    """Append a record to this machine's journal: a barrier, the later effects of the same list wait for the disk.

    Then the machine's `on_persisted(token)` is called. Several records may be on their way at once; they become
    durable in order and share a sync. With `checkpoint` the record replaces all earlier ones of this machine, at once
    or not at all. If the disk fails, neither the effects nor the call ever come. Consensus engines only.
    """

    token: int
    record: bytes
    checkpoint: bool = False


class Emit(Struct, frozen=True, tag="emit"):
    """State a fact for sibling machines and observers."""

    event: Event


Effect: TypeAlias = Send | Persist | Emit
Effects: TypeAlias = Sequence[Effect]

NOTHING: Effects = ()
