"""Which requests wait where no way is left.

While hubs fail over and clusters move, a request that can wait is worth more to its caller than a refusal at once: it
waits while this node itself is between two hubs, while its routers have not seen yet how a pool has changed, or if
somebody answered there a moment ago. One for what nobody has served of late is refused at once; so is one that another
node sent to a place of its own choice, for it may know a second, and any at a node that drains.
"""

from typing import TypeAlias

from mpreg_core.node.hierarchy import VIEW_NS
from mpreg_core.node.joining import Joining
from mpreg_core.node.pending import Pending
from mpreg_core.node.state import NodeState
from mpreg_core.units import NS_PER_MS, NS_PER_S
from mpreg_core.wire.request import RequestFrame

LOST_NS = 5 * NS_PER_S
"""Where a service is is known, but no way there: what answered so lately is likely to answer again soon, for in that
time a federation mends itself."""

GONE_NS = NS_PER_S
"""It is known nowhere any more: withdrawn, or on its way from one hub's summary to another's."""

WAITS_NS = (50 * NS_PER_MS, 100 * NS_PER_MS, 200 * NS_PER_MS)
"""Until a request looks for a way again; the last one repeats."""

VIEW_WAITS = 2
"""How often, by `VIEW_NS` each, a request waits for the routers' view of a pool that is changing."""

REMEMBERED_MAX = 4_096

_Asked: TypeAlias = tuple[str, str | None, str | None]


class Holding:
    """When each service, cluster or node answered last through this node."""

    def __init__(self, state: NodeState, joining: Joining) -> None:
        self._state = state
        self._joining = joining
        self._answered_ns: dict[_Asked, int] = {}

    def answered(self, frame: RequestFrame) -> None:
        """What a request asked for is there."""
        if len(self._answered_ns) >= REMEMBERED_MAX:
            self._answered_ns.clear()
        self._answered_ns[_asked(frame)] = self._state.now_ns

    def wait_ns(self, pending: Pending) -> int | None:
        """How long a request without a way waits until it looks again; None if it is to be refused."""
        if pending.holds < VIEW_WAITS and any(stack.view_dirty for stack in self._state.stacks.values()):
            return VIEW_NS
        if not self._joining.is_moving() and not self._is_expected(pending):
            return None
        return WAITS_NS[min(pending.holds, len(WAITS_NS) - 1)]

    def _is_expected(self, pending: Pending) -> bool:
        frame = pending.frame
        if pending.previous is not None and (frame.node is not None or frame.hub is not None or self._state.draining):
            return False
        answered_ns = self._answered_ns.get(_asked(frame))
        allowed_ns = LOST_NS if pending.is_known else GONE_NS
        return answered_ns is not None and self._state.now_ns - answered_ns < allowed_ns


def _asked(frame: RequestFrame) -> _Asked:
    return frame.service, frame.cluster, frame.node
