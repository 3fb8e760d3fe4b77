"""What is dropped is counted always, and told now and then: a flood must not become a flood of events."""

from mpreg_core.contracts.events import FrameDropped
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.ids import Plane
from mpreg_core.limits import DROP_EVENTS_PER_S
from mpreg_core.node.state import NodeState
from mpreg_core.units import NS_PER_S


class Drops:
    """By plane and reason: when it was told last, and how many there were since."""

    def __init__(self, state: NodeState) -> None:
        self._state = state
        self._told: dict[tuple[Plane, str], tuple[int, int]] = {}

    def add(self, plane: Plane, reason: str, source: Endpoint, count: int) -> None:
        """So many frames were dropped."""
        state = self._state
        state.count("mpreg_frames_dropped_total", count, plane=plane, reason=reason)
        since, total = self._told.get((plane, reason), (-NS_PER_S, 0))
        if state.now_ns - since >= NS_PER_S // DROP_EVENTS_PER_S:
            state.emit(None, FrameDropped(plane, reason, str(source), total + count))
            self._told[plane, reason] = (state.now_ns, 0)
        else:
            self._told[plane, reason] = (since, total + count)
