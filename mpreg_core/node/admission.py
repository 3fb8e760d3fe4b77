"""The other side of joining: whom this node welcomes into its pools, and what it answers."""

from collections.abc import Callable

from mpreg_core.contracts.members import Address, Member
from mpreg_core.ids import LOWER_POOL, UPPER_POOL, PoolTier, Tier
from mpreg_core.limits import SIBLING_HUBS_MAX, WELCOME_MEMBERS_MAX, WIRE_VERSION
from mpreg_core.membership.federation import HubSummary
from mpreg_core.membership.member import is_credible
from mpreg_core.node.joining import Joining
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.node.state import NodeState
from mpreg_core.wire.control import Hello, Refused, Welcome
from mpreg_core.wire.envelope import CONTROL_CHANNEL

Take = Callable[[PoolStack, Member, str], None]
"""Merge a record into a pool: stack, record, cause."""


class Admission:
    """Answers `Hello`. Idempotent: a member that asks again is welcomed again."""

    def __init__(self, state: NodeState, joining: Joining, take: Take) -> None:
        self._state = state
        self._joining = joining
        self._take = take

    def on_hello(self, hello: Hello) -> None:
        """Welcome the node into the pool it wants, or say why not and whom to ask."""
        member = hello.member
        if not is_credible(member) or member.id == self._state.id:
            self._state.count("mpreg_frames_dropped_total", plane="membership", reason="bad_hello")
            return
        if hello.has_hub and not self._joining.is_settled():
            return  # it is better off where it is, and asks again
        stack = self._state.stack_of(hello.wants)
        refusal = self._refusal(hello, stack)
        if refusal is not None:
            self._state.count("mpreg_joins_refused_total", code=refusal.code)
            self._answer(member.address, refusal)
            return
        assert stack is not None
        held = stack.table.member(member.id)
        self._take(stack, member, "hello")
        self._answer(member.address, self._welcome(stack, held))

    def _refusal(self, hello: Hello, stack: PoolStack | None) -> Refused | None:
        state, member, wants = self._state, hello.member, hello.wants
        if hello.federation != state.settings.federation:
            ours = state.settings.federation
            return Refused(
                wants, "federation", f"expected federation {ours!r}, got {hello.federation!r}", "set federation.name"
            )
        if hello.wire != WIRE_VERSION:
            return Refused(wants, "wire", f"expected wire version {WIRE_VERSION}, got {hello.wire}", "upgrade")
        if stack is None or wants not in (UPPER_POOL[member.tier], LOWER_POOL[member.tier]):
            tier = state.settings.tier
            reason = f"{state.id} is of tier {tier} and has no {wants} pool for a node of tier {member.tier}"
            return Refused(wants, "tier", reason, "name a hub one tier above as parent", self._others(member.tier))
        if member.stands_by_for is not None and wants == "regional" and member.region != state.settings.region:
            reason = f"{member.id} of region {member.region} cannot stand by in region {state.settings.region}"
            return Refused(wants, "region", reason, "correct node.region or node.stands_by_for")
        held = stack.table.member(member.id)
        if held is not None and held.status in ("alive", "suspect") and held.address != member.address:
            at = f"{held.address.host}:{held.address.membership}"
            hint = "give this node another id, or wait until the other is known to be gone"
            return Refused(wants, "id_in_use", f"{member.id} is {held.status} at {at}", hint)
        if self._leads(stack) and (held is None or held.status in ("left", "failed")):
            return self._no_room(stack, member, wants)
        return None

    def _no_room(self, stack: PoolStack, member: Member, wants: PoolTier) -> Refused | None:
        state = self._state
        if member.tier == state.settings.tier:
            return None
        if state.draining:
            return Refused(wants, "draining", f"{state.id} is draining", hubs=self._others(member.tier))
        capacity = state.settings.capacity
        if capacity and len(children_of(stack)) >= capacity:
            reason = f"{state.id} has all {capacity} children it takes"
            return Refused(wants, "full", reason, "join another hub or raise its limit", self._others(member.tier))
        return None

    def _leads(self, stack: PoolStack) -> bool:
        return stack.tier == self._state.settings.tier and not self._state.stands_by

    def _others(self, tier: Tier) -> tuple[HubSummary, ...]:
        """Hubs a refused node of a tier could ask instead."""
        found = {
            hub.hub: hub
            for stack in self._state.stacks.values()
            for hub in stack.hubs.values()
            if UPPER_POOL[tier] == LOWER_POOL[hub.tier] and hub.status == "alive"
        }
        return tuple(found[name] for name in sorted(found))[:SIBLING_HUBS_MAX]

    def _welcome(self, stack: PoolStack, held: Member | None) -> Welcome:
        """The joiner's own old record first, so that it can raise its incarnation above it."""
        first = (held,) if held is not None else ()
        others = (entry.member for entry in stack.table if held is None or entry.member.id != held.id)
        page = (*first, *sorted(others, key=lambda member: (member.status != "alive", member.id)))
        return Welcome(stack.pool, page[:WELCOME_MEMBERS_MAX], self._siblings())

    def _siblings(self) -> tuple[HubSummary, ...]:
        """Other hubs of this node's tier, from the pool above."""
        upper = self._state.upper_stack()
        hubs = upper.hubs.values() if upper is not None else ()
        same = [hub for hub in hubs if hub.tier == self._state.settings.tier and hub.hub != self._state.id]
        return tuple(sorted(same, key=lambda hub: (hub.status != "alive", hub.load, hub.hub)))[:SIBLING_HUBS_MAX]

    def _answer(self, address: Address, message: Welcome | Refused) -> None:
        self._state.transmit((address,), CONTROL_CHANNEL, "membership", message)


def children_of(stack: PoolStack) -> list[Member]:
    """The present members of a pool below the hub that leads it, by id; among them those that stand by for it."""
    return [member for member in stack.table.present() if not member.leads(stack.tier)]
