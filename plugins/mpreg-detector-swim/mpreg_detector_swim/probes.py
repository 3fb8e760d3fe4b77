"""What is open: this node's own probes, and those it makes in another's stead; and what was counted."""

from msgspec import Struct, field

from mpreg_core import NodeId

PROBES_MAX = 1024
"""Own probes open at once; beyond it no new one starts. The round-robin comes back to whom it skipped."""

RELAYS_MAX = 256
"""Probes for others open at once; beyond it a request is answered with a nack."""


class Probe(Struct):
    """One probe of one member, under one `seq` for all its pings.

    `helpers` are those asked to ping in this node's stead, and whether each has sent its nack. `asker` wanted a second
    opinion. Until `confirm_until_ns` a refusal convicts (0: it would be the first). `heals` goes to a failed member:
    no answer proves nothing new.
    """

    seq: int
    target: NodeId
    sent_ns: int
    pings: int = 0
    helpers: dict[NodeId, bool] = field(default_factory=dict)
    asker: NodeId = ""
    confirm_until_ns: int = 0
    heals: bool = False


class Relay(Struct, frozen=True):
    """A ping in another member's stead: who asked, under which `seq` of its own, and about whom."""

    asker: NodeId
    asker_seq: int
    target: NodeId


class Counts(Struct):
    """What happened since the start."""

    probes: int = 0
    probes_failed: int = 0
    acks: int = 0
    acks_by_stream: int = 0
    acks_indirect: int = 0
    acks_unexpected: int = 0
    nacks: int = 0
    refusals: int = 0
    accusations: int = 0
    misdirected: int = 0
    strangers: int = 0
    relays_refused: int = 0
    pauses: int = 0
    sweeps: int = 0
