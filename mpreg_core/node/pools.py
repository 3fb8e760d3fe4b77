"""The pools that a node is in: entering, finding its place above, and leaving."""

from collections.abc import Callable, Sequence

from msgspec import structs

from mpreg_core.contracts.events import PoolJoined, PoolLeft, RegionContested, RegionDoubted
from mpreg_core.contracts.members import Member
from mpreg_core.ids import NodeId, PoolId, PoolTier
from mpreg_core.limits import POOLS_MAX
from mpreg_core.node.hosted import Hosted
from mpreg_core.node.joining import Joining
from mpreg_core.node.merging import Merging
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.node.registry import NodeRegistry
from mpreg_core.node.state import NodeState
from mpreg_core.node.topics import INTEREST, MEMBER
from mpreg_core.registry.selection import great_circle_km
from mpreg_core.state.items import ItemStore
from mpreg_core.wire.control import Goodbye, Welcome
from mpreg_core.wire.envelope import CONTROL_CHANNEL

REGION_KM_MAX = 5_000.0
"""A node further from its region's hub than this is in another part of the world: Lisbon to Moscow are 3,900 km."""


class Pools:
    """`channels` are the machines of all pools by the channel of their frames; `entered` is told of each new pool.

    `drain` has the facts of this step wired at once: a pool that is left must have heard the last of them.
    """

    def __init__(
        self, state: NodeState, merging: Merging, joining: Joining, registry: NodeRegistry, drain: Callable[[], None]
    ) -> None:
        self._state = state
        self._merging = merging
        self._joining = joining
        self._registry = registry
        self._drain = drain
        joining.take_parent = self.attach
        self._rivals: set[NodeId] = set()
        self._told: set[NodeId] = set()
        self.channels: dict[int, tuple[PoolStack, Hosted]] = {}
        self.entered: Sequence[Callable[[PoolStack], None]] = ()

    def on_welcome(self, source: NodeId, welcome: Welcome) -> None:
        """A pool takes this node in."""
        state = self._state
        if state.life == "stopped":
            return
        tier = state.upper
        stack = state.stacks.get(welcome.pool)
        if stack is None:
            if welcome.pool.partition(":")[0] != tier:
                return
            if self._joining.attached() and (self._joining.at_home() or not self._is_home(source, welcome)):
                self._decline(source, welcome)
                return
            stack = self.enter(welcome.pool, tier, via=source)
        self._merging.take_all(stack, welcome.members, "welcome")
        if stack.tier == tier and state.parent_tier is not None:
            self.attach(stack, source)
        elif stack.tier == tier:
            self._settle()

    def _is_home(self, source: NodeId, welcome: Welcome) -> bool:
        """True if the configured hub leads the pool that takes this node in."""
        home = self._state.home_hub
        return source == home or any(member.id == home and member.status == "alive" for member in welcome.members)

    def _decline(self, source: NodeId, welcome: Welcome) -> None:
        """Another hub has taken this node in meanwhile: the pool must not count on it."""
        gone = structs.replace(self._state.own_record(self._state.upper), status="left")
        addresses = tuple(member.address for member in welcome.members if member.id == source)
        if addresses:
            self._state.transmit(addresses, CONTROL_CHANNEL, "membership", Goodbye(welcome.pool, gone))

    def attach(self, stack: PoolStack, source: NodeId) -> None:
        """The hub that leads the pool is the parent now; pools of the same tier joined before are left."""
        state = self._state
        leader = stack.table.member(source)
        if leader is None or not leader.leads(stack.tier):
            leading = [member for member in stack.table.present() if member.leads(stack.tier)]
            leader = leading[0] if leading else None
        if leader is None or (self._joining.attached() and state.parent != leader.id and self._joining.at_home()):
            return
        previous = state.parent
        if previous != leader.id:
            self._doubt_region(leader)
        self._joining.attach(leader.id, "joined")
        self._joining.on_accepted()
        for other in [other for other in state.stacks.values() if other.tier == stack.tier and other is not stack]:
            self.leave(other, f"attached to {leader.id}")
        if previous != leader.id:
            self._merging.announce()
            self._registry.publish(stack)
        self._settle()

    def _doubt_region(self, hub: Member) -> None:
        """A place and a region that do not go together send requests over half the globe, quietly."""
        settings = self._state.settings
        here, there = settings.coordinates, hub.coordinates
        if here is None or there is None or hub.region != settings.region:
            return
        away_km = great_circle_km(here, there)
        if away_km > REGION_KM_MAX:
            self._state.emit(None, RegionDoubted(hub.id, hub.region, round(away_km, 1)))

    def _settle(self) -> None:
        """The node has found its place above; that is worth writing down."""
        if self._state.life == "joining":
            self._state.set_life("ready")
            self._state.maintain_ns = self._state.now_ns

    def enter(self, pool: PoolId, tier: PoolTier, via: NodeId) -> PoolStack:
        """Be in a pool from now on."""
        state = self._state
        existing = state.stacks.get(pool)
        if existing is not None:
            return existing
        assert len(state.stacks) < POOLS_MAX
        holder: list[PoolStack] = []
        items = ItemStore(self._merging.judges(lambda: holder[0]))
        stack = PoolStack(state, pool, tier, state.parts_of(tier), items)
        holder.append(stack)
        state.add_stack(stack)
        for hosted in stack.hosted:
            self.channels[hosted.channel] = (stack, hosted)
        self._merging.introduce(stack)
        for told in self.entered:
            told(stack)
        state.emit(stack, PoolJoined(via, len(stack.table)))
        return stack

    def leave(self, stack: PoolStack, reason: str) -> None:
        """Say good-bye to a pool, and be in it no more."""
        self._merging.say_goodbye(stack)
        self._drain()
        for hosted in stack.hosted:
            self.channels.pop(hosted.channel, None)
        self._state.remove_stack(stack)
        self._state.notify(stack, PoolLeft(reason))

    def look_for_rivals(self) -> None:
        """Called now and then: a regional hub that is seen twice to lead this one's region is told of, once."""
        state = self._state
        upper, settings = state.upper_stack(), state.settings
        if settings.tier != "regional" or settings.stands_by_for is not None or upper is None:
            return
        seen = {
            member.id
            for member in upper.table.present()
            if member.leads("regional") and member.region == settings.region and member.id != settings.id
        }
        for rival in sorted(seen & self._rivals - self._told):
            state.emit(upper, RegionContested(rival, settings.region))
        self._told = (self._told | self._rivals) & seen
        self._rivals = seen

    def reap(self) -> None:
        """Forget members that are long gone, and what they said of themselves."""
        for stack in self._state.lowest_first():
            for node in stack.table.reap(self._state.now_ns):
                stack.items.remove(f"{MEMBER}/{node}")
                stack.items.remove(f"{INTEREST}/{node}")
                stack.hubs.pop(node, None)
                stack.wants.pop(node, None)
