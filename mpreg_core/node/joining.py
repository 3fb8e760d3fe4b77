"""Joining the pool above, and finding another hub when the own one is gone.

A node asks with `Hello`, by stream, at the membership port of: its configured home hub, the seeds, then hubs of the
right tier it has heard of (its last pool's summaries, or what it remembers from before a restart). Attempts back off
with jitter. It is attached while a live hub of the parent tier leads its upper pool; when that hub fails or drains it
asks the others, nearest and emptiest first, and goes home again once its home hub answers. A hub that stands by in its
pool is given a moment to take over before it asks elsewhere.
"""

from collections.abc import Callable

from mpreg_core.contracts.events import JoinRefused, ParentChanged
from mpreg_core.contracts.members import Address, Member
from mpreg_core.ids import ZONE, NodeId, PoolTier
from mpreg_core.limits import WIRE_VERSION
from mpreg_core.membership.federation import HubSummary
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.node.state import NodeState
from mpreg_core.registry.selection import great_circle_km
from mpreg_core.units import NS_PER_MS, NS_PER_S
from mpreg_core.wire.control import Hello, Refused
from mpreg_core.wire.envelope import CONTROL_CHANNEL

FIRST_WAIT_NS = 250 * NS_PER_MS
WAIT_MAX_NS = 5 * NS_PER_S
CHECK_NS = 2 * NS_PER_S
"""A net below `hurry`, which is called when the parent's record changes."""

HOME_PROBE_NS = 5 * NS_PER_S
HOME_TRIES = 3
REFUSED_LOG_NS = 30 * NS_PER_S

MOVING_NS = 10 * NS_PER_S
"""How long a node that lost its hub counts as on its way to another."""

STAND_IN_NS = 3 * NS_PER_S
"""How long a node waits for a hub that stands by to take over, before it asks those of other pools."""

MOVED_NS = NS_PER_S
"""After a move: until the new pool has told the node what it knows."""


class Joining:
    """Who to ask and when. `hubs` are alternatives by id, bounded by what the pools summarise."""

    def __init__(self, state: NodeState) -> None:
        self._state = state
        self._remembered = state.settings.remembered.hubs
        self._attempts = 0
        self._last_refusal: tuple[str, int] = ("", 0)
        self._lost_ns: int | None = None
        self._attached_ns = state.now_ns
        self._moving_until_ns = 0
        self.refusal = ""
        self.deadline: int | None = None
        self.take_parent: Callable[[PoolStack, NodeId], None] = lambda stack, hub: None

    @property
    def needed(self) -> bool:
        """True if this node has anybody to join: all but a global hub without seeds."""
        return self._state.parent_tier is not None or bool(self._state.settings.seeds)

    @property
    def configured(self) -> bool:
        """True if the configuration names anyone to ask."""
        settings = self._state.settings
        return self._state.home_address is not None or bool(settings.seeds) or bool(self._remembered)

    def start(self) -> None:
        """Begin to ask at once."""
        if self.needed:
            self._state.set_life("joining")
            self.on_deadline()

    def start_anew(self) -> None:
        """This node has another place than before: look for its hub there."""
        self._attempts, self._lost_ns = 0, None
        self._moving_until_ns = self._state.now_ns + MOVING_NS
        if self._state.parent_tier is None and self._state.life == "joining":
            self._state.set_life("ready")
        self.hurry()

    def attached(self) -> bool:
        """True while a live, serving hub leads the pool above (or this node leads it itself)."""
        if self._state.parent_tier is None:
            return True
        parent = self._parent_record()
        return parent is not None and _serves(parent, self._state.upper)

    def is_moving(self) -> bool:
        """True between the loss of a hub and a moment after the next has taken this node in."""
        return self._state.now_ns < self._moving_until_ns

    def is_settled(self) -> bool:
        """True if this node has had its hub for a while: it knows what the federation serves."""
        return self.attached() and self._state.now_ns - self._attached_ns >= MOVED_NS

    def at_home(self) -> bool:
        """True if the parent is the configured one."""
        return self._state.home_hub in (None, self._state.parent)

    def on_deadline(self) -> None:
        """Ask again, look for another hub, or check that all is well."""
        state = self._state
        if state.parent_tier is None:
            wait = self._look_for_peers()
        elif self.attached() or self._follow():
            wait = self._look_home()
        else:
            if self._attempts >= HOME_TRIES:
                self._say_alone()
            if self._lost_ns is None and state.parent is not None:
                self._lost_ns, self._moving_until_ns = state.now_ns, state.now_ns + MOVING_NS
            self._hello(self._whom_to_ask())
            wait = self._backoff()
        self.deadline = state.now_ns + round(wait * state.rng.uniform(0.8, 1.2))

    def _look_home(self) -> int:
        """All is well; but home would be better."""
        state = self._state
        self._attempts = 0
        if self._lost_ns is not None:
            self._lost_ns, self._moving_until_ns = None, state.now_ns + MOVED_NS
        if self.at_home() or state.home_address is None or not state.settings.goes_home:
            return CHECK_NS
        self._hello((state.home_address,))
        return HOME_PROBE_NS

    def _follow(self) -> bool:
        """Be attached to another hub that leads the pool this node is in, if there is one."""
        upper = self._state.upper_stack()
        if upper is None:
            return False
        for member in upper.table.present():
            if member.id != self._state.id and _serves(member, upper.tier):
                self.take_parent(upper, member.id)
                return self.attached()
        return False

    def _look_for_peers(self) -> int:
        """A global hub that is alone in its pool asks its seeds; when none answers it leads the pool, and asks on."""
        state = self._state
        upper = state.upper_stack()
        if upper is not None and len(upper.table) > 1:
            self._attempts = 0
            return CHECK_NS
        if self._attempts >= HOME_TRIES:
            self._say_alone()
            if state.life == "joining":
                state.set_life("ready", "no seed answers: it leads the pool alone")
        self._hello(state.settings.seeds)
        return self._backoff()

    def hurry(self) -> None:
        """Something happened to the parent: look at once."""
        self.deadline = self._state.now_ns

    def on_hub(self) -> None:
        """A hub of the pool above changed: it may be the next one of a node that has none."""
        if not self.attached():
            self.hurry()

    def attach(self, parent: NodeId | None, reason: str) -> None:
        """This node is attached to another hub."""
        previous = self._state.parent
        if parent != previous:
            self._state.parent = parent
            self._attached_ns = self._state.now_ns
            if previous is not None:
                self._moving_until_ns = self._state.now_ns + MOVED_NS
            self._state.emit(None, ParentChanged(parent, previous, reason))

    def on_refused(self, by: str, refused: Refused) -> None:
        """A hub said no: keep its hint for people and ask others next."""
        self._say(by, f"{refused.code}: {refused.reason}", refused.hint)
        known = {hub.hub: hub for hub in (*self._remembered, *refused.hubs) if hub.tier == self._state.parent_tier}
        self._remembered = tuple(known[name] for name in sorted(known))[:64]

    def _say(self, by: str, reason: str, hint: str) -> None:
        """State why this node is not attached; the same again only now and then."""
        self.refusal = f"{reason} ({hint})" if hint else reason
        last, at_ns = self._last_refusal
        if last != reason or self._state.now_ns - at_ns >= REFUSED_LOG_NS:
            self._last_refusal = (reason, self._state.now_ns)
            self._state.emit(None, JoinRefused(by, reason, hint))

    def _say_alone(self) -> None:
        """Say that nobody answers, unless somebody has just refused."""
        settings = self._state.settings
        if self._state.now_ns - self._last_refusal[1] < REFUSED_LOG_NS and self._last_refusal[0]:
            return
        asked = self._first()
        places = ", ".join(f"{address.host}:{address.membership}" for address in asked)
        if not places:
            hint = "set node.parent_hub or federation.seeds"
            self._say("nobody", f"no_hub: this node of tier {settings.tier} knows no hub to join", hint)
        else:
            hint = "start it, or correct node.parent_hub, federation.peers or federation.seeds"
            self._say(self._state.home_hub or places, f"no_answer: no hub answers at {places}", hint)

    def on_accepted(self) -> None:
        """A hub said yes."""
        self.refusal = ""
        self._attempts = 0

    def siblings(self) -> list[HubSummary]:
        """Hubs of the parent's tier that this node has heard of: first with room, of the region, of the zone, near."""
        state = self._state
        known = {hub.hub: hub for hub in self._remembered if hub.tier == state.parent_tier}
        for stack in state.stacks.values():
            known.update((hub.hub, hub) for hub in stack.hubs.values() if hub.tier == state.parent_tier)
        usable = [hub for hub in known.values() if hub.status == "alive" and not hub.draining and hub.hub != state.id]
        region, zone = state.settings.region, state.settings.tags.get(ZONE, "")

        def order(hub: HubSummary) -> tuple[bool, bool, bool, float, float, str]:
            is_away = bool(zone) and hub.zone != zone
            return hub.load >= 1.0, hub.region != region, is_away, self._far(hub), hub.load, hub.hub

        return sorted(usable, key=order)

    def _whom_to_ask(self) -> tuple[Address, ...]:
        """The home hub and the seeds first; others too once home was silent for a while or is known to be dead."""
        first, home_hub = self._first(), self._state.home_hub
        home = self._state.member(home_hub) if home_hub else None
        home_lost = home is not None and (home.status in ("failed", "left") or home.draining)
        others = [hub.address for hub in self.siblings() if hub.hub != home_hub]
        if not others or self._state.stands_by or (self._attempts < HOME_TRIES and not home_lost and first):
            return first
        if self._lost_ns is not None and self._state.now_ns - self._lost_ns < STAND_IN_NS and self._is_stood_in_for():
            return first
        turn = others[self._attempts % len(others)] if not home_lost else others[min(self._attempts, len(others) - 1)]
        return (*first, turn)

    def _first(self) -> tuple[Address, ...]:
        home = self._state.home_address
        return ((home,) if home else ()) + self._state.settings.seeds

    def _is_stood_in_for(self) -> bool:
        upper = self._state.upper_stack()
        return upper is not None and any(member.stands_by_for is not None for member in upper.table.present())

    def _hello(self, addresses: tuple[Address, ...]) -> None:
        self._attempts += 1
        state = self._state
        has_hub = state.parent_tier is not None and self.attached()
        hello = Hello(state.settings.federation, state.own_record(state.upper), state.upper, WIRE_VERSION, has_hub)
        if addresses:
            state.transmit(addresses, CONTROL_CHANNEL, "membership", hello)

    def _backoff(self) -> int:
        doubled: int = FIRST_WAIT_NS << min(self._attempts, 6)
        return min(doubled, WAIT_MAX_NS)

    def _parent_record(self) -> Member | None:
        upper = self._state.upper_stack()
        return upper.table.member(self._state.parent) if upper is not None and self._state.parent else None

    def _far(self, hub: HubSummary) -> float:
        here = self._state.settings.coordinates
        return great_circle_km(here, hub.coordinates) if here and hub.coordinates else 0.0


def _serves(hub: Member, tier: PoolTier) -> bool:
    """True if a member of a pool of a tier leads it now, and goes on doing so."""
    return hub.leads(tier) and hub.status in ("alive", "suspect") and not hub.draining
