"""One strategy's machine in its place: its channel, its deadline, and what happens when it breaks."""

from typing import Any

from mpreg_core.ids import PLANE_OF, NodeId
from mpreg_core.node.parts import Part
from mpreg_core.units import NS_PER_S
from mpreg_core.wire.codec import FrameEncoder, MessageDecoder
from mpreg_core.wire.envelope import channel_id

REBUILDS_MAX = 3
REBUILD_WINDOW_NS = 60 * NS_PER_S


class Hosted:
    """A machine with its channel. `deadline` is what it asked for after the last call, `heard_ns` when a
    message for it last came in.

    A machine that raises is a bug: it is discarded, for its state is unknown, and built anew; a consensus engine, or
    one that breaks more than `REBUILDS_MAX` times a minute, is stopped instead.
    """

    __slots__ = (
        "_breaks", "channel", "deadline", "decoder", "encode", "heard_ns", "machine", "part", "plane", "stopped",
    )  # fmt: skip

    def __init__(self, federation: str, pool: str, me: NodeId, part: Part, machine: Any) -> None:
        self.part = part
        self.plane = PLANE_OF[part.family]
        self.machine = machine
        self.channel = channel_id(federation, pool, part.family, part.protocol)
        self.decoder = MessageDecoder(part.messages)
        self.encode = FrameEncoder(self.channel, me).encode
        self.deadline: int | None = machine.next_deadline()
        self.stopped = False
        self.heard_ns = 0
        self._breaks: list[int] = []

    def broke(self, now_ns: int) -> bool:
        """Count a break; True if the strategy must be stopped for good."""
        self._breaks = [at for at in self._breaks if now_ns - at < REBUILD_WINDOW_NS][-REBUILDS_MAX:]
        self._breaks.append(now_ns)
        self.stopped = self.part.family == "consensus" or len(self._breaks) > REBUILDS_MAX
        if self.stopped:
            self.deadline = None
        return self.stopped

    def replace(self, machine: Any) -> None:
        """Go on with a machine built anew."""
        self.machine = machine
        self.deadline = machine.next_deadline()
