"""What members of a `phi` pool say to each other. Fields are only ever appended, with defaults."""

from typing import Annotated

from msgspec import Meta, Struct

from mpreg_core import NodeId

Id = Annotated[NodeId, Meta(max_length=63)]
Seq = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Incarnation = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Accused = Annotated[int, Meta(ge=-1, le=2**63 - 1)]

NOT_ACCUSED = -1


class Heartbeat(Struct, frozen=True, array_like=True, tag=1):
    """Are you alive? `accused` is the incarnation at which the receiver is suspect or failed to the sender, or -1."""

    seq: Seq
    stream: bool = False
    accused: Accused = NOT_ACCUSED


class Answer(Struct, frozen=True, array_like=True, tag=2):
    """The sender lives at `incarnation`; under `seq` 0 nobody asked. `stream` and `accused` as in the heartbeat."""

    seq: Seq
    incarnation: Incarnation
    stream: bool = False
    accused: Accused = NOT_ACCUSED


class Doubt(Struct, frozen=True, array_like=True, tag=3):
    """One watcher of `peer` to the others: its phi is over the threshold here."""

    peer: Id
    incarnation: Incarnation


PhiMessage = Heartbeat | Answer | Doubt
