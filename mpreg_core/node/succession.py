"""A hub that stands by for another: a member of the other's pool, and its leader when the other is gone.

Who takes over is decided by the pool's consensus engine, as a decision under `LEAD_KEY` that must be the very next one
for it: of several that stand by, or of two halves of a pool, one at most is chosen. When the hub it stood in for is
back, it stands by again. A pool whose majority is gone decides nothing, and its members look for other hubs.
"""

from msgspec import Struct

from mpreg_core.contracts.api import Json, Scope
from mpreg_core.contracts.events import SuccessionChanged
from mpreg_core.contracts.members import Member
from mpreg_core.errors import MpregError
from mpreg_core.ids import LOWER_POOL, PoolTier
from mpreg_core.limits import WIRE_VERSION
from mpreg_core.node.decisions import DecisionMade, Decisions
from mpreg_core.node.joining import Joining
from mpreg_core.node.merging import Merging
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.node.pools import Pools
from mpreg_core.node.state import NodeState
from mpreg_core.units import NS_PER_MS, NS_PER_S
from mpreg_core.wire.control import Hello
from mpreg_core.wire.envelope import CONTROL_CHANNEL

LEAD_KEY = "mpreg.lead"
"""The replicated key, of the pool's region or the federation, that says who took over last."""

LOOK_NS = 250 * NS_PER_MS
PATIENCE_NS = 500 * NS_PER_MS
"""How long a pool is without a hub before another stands up; those that stand by take turns by their ids."""

DECIDE_NS = 5 * NS_PER_S
FORMING_NS = 10 * NS_PER_S
"""A hub that was never seen may still come: nobody stands up in its stead so soon after the own start."""

RETURNED_NS = 3 * NS_PER_S
"""How long the other must be back before this one steps down: its members go home first."""

PROBE_NS = 5 * NS_PER_S

SCOPES: dict[PoolTier, Scope] = {"regional": "region", "global": "federation"}


class Succession:
    """Nothing at all at a node that does not stand by for another."""

    def __init__(
        self, state: NodeState, joining: Joining, pools: Pools, merging: Merging, decisions: Decisions
    ) -> None:
        self._state = state
        self._tier: PoolTier = LOWER_POOL[state.settings.tier] or "global"
        self._joining = joining
        self._pools = pools
        self._merging = merging
        self._decisions = decisions
        self._look_ns: int | None = None
        self._since_ns: int | None = None  # the pool has no hub since then, or the other one is back
        self._formed_ns = 0
        self._probe_ns = 0
        self._stands_up = False

    def start(self) -> None:
        """Begin to look."""
        if self._state.stands_by:
            self._look_ns = self._state.now_ns + LOOK_NS
            self._formed_ns = self._state.now_ns + FORMING_NS

    def next_deadline(self) -> int | None:
        """When to look again."""
        return self._look_ns

    def on_deadline(self) -> None:
        """Look whether the pool has its hub."""
        state = self._state
        self._look_ns = state.now_ns + LOOK_NS
        stack = state.stack_of(self._tier)
        if stack is None or state.life == "stopped":
            return
        if state.stands_by:
            self._stand_by(stack)
        else:
            self._stand_in(stack)

    def _stand_by(self, stack: PoolStack) -> None:
        state, present = self._state, stack.table.present()
        has_hub = any(_leads(member, stack.tier) for member in present)
        is_alone = 2 * len(present) <= len(stack.voters.ids)
        if has_hub or is_alone or self._stands_up or state.draining or self._may_still_come(stack):
            self._since_ns = None
            return
        waiting = sorted(member.id for member in present if member.stands_by_for is not None)
        if self._is_over(PATIENCE_NS * (1 + waiting.index(state.id))):
            self._stand_up()

    def _may_still_come(self, stack: PoolStack) -> bool:
        """True while the other was never seen and the pool is young."""
        is_known = stack.table.member(self._state.settings.stands_by_for or "") is not None
        return not is_known and self._state.now_ns < self._formed_ns

    def _stand_in(self, stack: PoolStack) -> None:
        """It leads the pool: until the other is back, of whom it asks now and then."""
        state, primary_id = self._state, self._state.settings.stands_by_for
        primary = stack.table.member(primary_id) if primary_id is not None else None
        if primary is not None and primary.status == "alive" and _leads(primary, stack.tier):
            if self._is_over(RETURNED_NS):
                self._step_down(stack)
            return
        self._since_ns = None
        address = state.settings.primary_address
        if address is not None and self._probe_ns <= state.now_ns:
            self._probe_ns = state.now_ns + PROBE_NS
            me = state.own_record(stack.tier)
            hello = Hello(state.settings.federation, me, stack.tier, WIRE_VERSION, has_hub=True)
            state.transmit((address,), CONTROL_CHANNEL, "membership", hello)

    def _is_over(self, wait_ns: int) -> bool:
        """True once what is true now has been so for long enough."""
        if self._since_ns is None:
            self._since_ns = self._state.now_ns
        return self._state.now_ns - self._since_ns >= wait_ns

    def _stand_up(self) -> None:
        """Ask the pool to be led by this hub."""
        settings = self._state.settings
        value: Json = {"hub": settings.id, "instead_of": settings.stands_by_for}
        self._stands_up, self._since_ns = True, None
        try:
            self._decisions.propose(self._decided, SCOPES[self._tier], LEAD_KEY, value, DECIDE_NS, exactly_next=True)
        except MpregError:
            self._stands_up = False  # it tries again after as long

    def _decided(self, outcome: Struct | MpregError) -> None:
        self._stands_up = False
        stack = self._state.stack_of(self._tier)
        if stack is None or not self._state.stands_by or not isinstance(outcome, DecisionMade) or not outcome.applied:
            return
        if not any(_leads(member, stack.tier) for member in stack.table.present()):
            self._change(stack, stands_by=False, why=f"{self._state.settings.stands_by_for} is gone")
            self._joining.start_anew()

    def _step_down(self, stack: PoolStack) -> None:
        primary = self._state.settings.stands_by_for
        self._change(stack, stands_by=True, why=f"{primary} is back")
        assert primary is not None
        self._pools.attach(stack, primary)
        for other in [other for other in self._state.lowest_first() if other is not stack]:
            self._pools.leave(other, f"{primary} leads {stack.pool} again")

    def _change(self, stack: PoolStack, *, stands_by: bool, why: str) -> None:
        state = self._state
        state.stands_by, state.parent, self._since_ns = stands_by, None, None
        state.emit(stack, SuccessionChanged(leads=not stands_by, reason=why))
        stack.view_dirty = True
        self._merging.announce()
        state.review_by(state.now_ns)


def _leads(member: Member, tier: PoolTier) -> bool:
    return member.leads(tier) and not member.draining
