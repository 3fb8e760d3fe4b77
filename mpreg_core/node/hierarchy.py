"""What a hub does because it is one: it sums up what lies below for the pool above, and hands down what it sees there.

Both are items that only change when their content does, looked at soon after something below or above changed, and once
a `REVIEW_NS` for what changes without a fact of its own (a load). The views for the routers are made here too.
"""

from msgspec import structs

from mpreg_core.contracts.router import View
from mpreg_core.ids import ZONE, NodeId
from mpreg_core.membership.federation import HubSummary, bounded_ids, order, relayed
from mpreg_core.node import topics
from mpreg_core.node.admission import children_of
from mpreg_core.node.merging import Merging
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.node.registry import NodeRegistry
from mpreg_core.node.state import NodeState
from mpreg_core.units import NS_PER_MS, NS_PER_S

REVIEW_NS = NS_PER_S
SOON_NS = 25 * NS_PER_MS
VIEW_NS = 10 * NS_PER_MS
VIEW_REFRESH_NS = 5 * NS_PER_S


class Hierarchy:
    """Summaries up, summaries down, views for the routers."""

    def __init__(self, state: NodeState, merging: Merging, registry: NodeRegistry) -> None:
        self._state = state
        self._merging = merging
        self._registry = registry
        self._sequence = 0
        self._published: HubSummary | None = None
        self._views_ns = 0
        self._refresh_ns = 0

    def start(self) -> None:
        """Begin to review."""
        self._state.review_ns = self._state.now_ns
        self._views_ns = self._state.now_ns

    def next_deadline(self) -> int | None:
        """When to call `on_deadline`."""
        review_ns = self._state.review_ns
        if review_ns is not None and self._views_ns < review_ns:
            for stack in self._state.stacks.values():
                if stack.view_dirty:
                    return self._views_ns
        return review_ns

    def on_deadline(self) -> None:
        """Refresh the views that are out of date, then the summaries."""
        now_ns = self._state.now_ns
        if self._views_ns <= now_ns:
            self.refresh_views()
        review_ns = self._state.review_ns
        if review_ns is not None and review_ns <= now_ns:
            usual_ns = REVIEW_NS if self._state.lower is not None else VIEW_REFRESH_NS
            self._state.review_ns = now_ns + round(usual_ns * self._state.rng.uniform(0.8, 1.2))
            if self._state.lower is not None:
                self._sum_up()
                self._hand_down()

    def refresh_views(self) -> None:
        """Give each router whose pool changed its new view; all of them now and then, for the round trips."""
        now_ns = self._state.now_ns
        everything = now_ns >= self._refresh_ns
        if everything:
            self._refresh_ns = now_ns + VIEW_REFRESH_NS
        self._views_ns = now_ns + VIEW_NS
        for stack in self._state.lowest_first():
            if stack.view_dirty or everything:
                if stack.view_dirty:
                    self._state.review_by(now_ns + SOON_NS)
                stack.view_dirty = False
                stack.call(stack.router, "on_view", self.view_of(stack))

    def view_of(self, stack: PoolStack) -> View:
        """The pool as its router may use it."""
        present = {member.id: member for member in stack.table.present()}
        rtts = {entry.member.id: entry.rtt_ns for entry in stack.table if entry.rtt_ns is not None}
        below = {
            hub: frozenset(summary.ids).union(summary.services.ids if summary.services else ())
            for hub, summary in sorted(stack.hubs.items())
            if hub in present and summary.tier != stack.tier
        }
        stack.hub = self.hub_of(stack)
        return View(self._state.id, stack.tier, present, rtts, stack.hub, below)

    def hub_of(self, stack: PoolStack) -> NodeId | None:
        """The way up from a pool: its leading hub, the parent if that leads it; None if this node leads the pool."""
        if self._state.settings.tier == stack.tier and not self._state.stands_by:
            return None
        leaders = [member for member in stack.table.present() if member.leads(stack.tier)]
        ids = [member.id for member in leaders if member.status == "alive"] or [member.id for member in leaders]
        if self._state.parent in ids:
            return self._state.parent
        return ids[0] if ids else None

    def _pools(self) -> tuple[PoolStack | None, PoolStack | None]:
        """The pools below and above this hub; the same for a global hub."""
        lower = self._state.lower
        return (self._state.stack_of(lower) if lower else None), self._state.upper_stack()

    def _sum_up(self) -> None:
        """Publish this hub's summary above, when it changed."""
        lower, upper = self._pools()
        if lower is None or upper is None:
            return
        summary = self.summary(lower)
        if (
            self._published is not None
            and structs.replace(summary, sequence=self._published.sequence) == self._published
        ):
            return
        self._sequence += 1
        self._published = structs.replace(summary, sequence=self._sequence)
        upper.publish(topics.hub_item(self._published, self._state.id, self._state.wall_ms))

    def summary(self, lower: PoolStack) -> HubSummary:
        """What lies below this hub, as of now."""
        settings = self._state.settings
        children = children_of(lower)
        alive = {member.id for member in children}
        summaries = [hub for name, hub in sorted(lower.hubs.items()) if name in alive and hub.tier != settings.tier]
        below = alive.union(*(hub.ids for hub in summaries))
        return HubSummary(
            hub=settings.id,
            tier=settings.tier,
            region=settings.region,
            address=settings.address,
            incarnation=self._state.incarnation,
            sequence=0,
            coordinates=settings.coordinates,
            draining=self._state.draining,
            children=len(children),
            capacity=settings.capacity,
            ids=bounded_ids(list(below)),
            services=self._registry.summary(lower, summaries),
            zone=settings.tags.get(ZONE, ""),
        )

    def _hand_down(self) -> None:
        """Relay the summaries of the pool above into the own one, with the status seen there."""
        lower, upper = self._pools()
        if lower is None or upper is None or lower is upper:
            return
        for name, summary in sorted(upper.hubs.items()):
            member = upper.table.member(name)
            status = member.status if member is not None else summary.status
            handed = relayed(summary, "alive" if status == "suspect" else status)
            held = lower.hubs.get(name)
            if name != self._state.id and (held is None or order(handed) > order(held)):
                self._merging.hold_hub(lower, handed)
                lower.publish(topics.hub_item(handed, self._state.id, self._state.wall_ms))
