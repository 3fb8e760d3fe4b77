"""Joining the pool above, and finding another hub when the own one is gone.

A node asks with `Hello`, by stream, at the membership port of: its configured home hub, the seeds, then hubs of the
right tier it has heard of (its last pool's summaries, or what it remembers from before a restart). Attempts back off
with jitter. It is attached while a live hub of the parent tier leads its upper pool; when that hub fails or drains it
asks the others, nearest and emptiest first, and goes home again once its home hub answers.
"""

from mpreg_core.contracts.events import JoinRefused, ParentChanged
from mpreg_core.contracts.members import Address, Member
from mpreg_core.ids import PARENT_TIER, UPPER_POOL, NodeId
from mpreg_core.limits import WIRE_VERSION
from mpreg_core.membership.federation import HubSummary
from mpreg_core.node.parts import NodeSettings
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

MOVED_NS = NS_PER_S
"""After a move: until the new pool has told the node what it knows."""


class Joining:
    """Who to ask and when. `hubs` are alternatives by id, bounded by what the pools summarise."""

    def __init__(self, state: NodeState) -> None:
        settings = state.settings
        self._state = state
        self._wants = UPPER_POOL[settings.tier]
        self._parent_tier = PARENT_TIER[settings.tier]
        self._remembered = tuple(hub for hub in settings.remembered.hubs if hub.tier == self._parent_tier)
        self._attempts = 0
        self._last_refusal: tuple[str, int] = ("", 0)
        self._lost = False
        self._attached_ns = state.now_ns
        self._moving_until_ns = 0
        self.refusal = ""
        self.deadline: int | None = None

    @property
    def needed(self) -> bool:
        """True if this node has anybody to join: all but a global hub without seeds."""
        settings = self._state.settings
        return self._parent_tier is not None or bool(settings.seeds)

    @property
    def configured(self) -> bool:
        """True if the configuration names anyone to ask."""
        settings = self._state.settings
        return settings.parent_address is not None or bool(settings.seeds) or bool(self._remembered)

    def start(self) -> None:
        """Begin to ask at once."""
        if self.needed:
            self._state.set_life("joining")
            self.on_deadline()

    def attached(self) -> bool:
        """True while a live, serving hub leads the pool above (or this node leads it itself)."""
        if self._parent_tier is None:
            return True
        parent = self._parent_record()
        return parent is not None and parent.status in ("alive", "suspect") and not parent.draining

    def is_moving(self) -> bool:
        """True between the loss of a hub and a moment after the next has taken this node in."""
        return self._state.now_ns < self._moving_until_ns

    def is_settled(self) -> bool:
        """True if this node has had its hub for a while: it knows what the federation serves."""
        return self.attached() and self._state.now_ns - self._attached_ns >= MOVED_NS

    def at_home(self) -> bool:
        """True if the parent is the configured one."""
        return self._state.settings.parent in (None, self._state.parent)

    def on_deadline(self) -> None:
        """Ask again, look for another hub, or check that all is well."""
        state = self._state
        if self._parent_tier is None:
            wait = self._look_for_peers()
        elif state.stack_of(self._wants) is not None and self.attached():
            self._attempts = 0
            if self._lost:
                self._lost, self._moving_until_ns = False, state.now_ns + MOVED_NS
            wait = CHECK_NS
            if not self.at_home() and state.settings.parent_address is not None:
                self._hello((state.settings.parent_address,))
                wait = HOME_PROBE_NS
        else:
            if self._attempts >= HOME_TRIES:
                self._say_alone()
            if not self._lost and state.parent is not None:
                self._lost, self._moving_until_ns = True, state.now_ns + MOVING_NS
            self._hello(self._whom_to_ask())
            wait = self._backoff()
        self.deadline = state.now_ns + round(wait * state.rng.uniform(0.8, 1.2))

    def _look_for_peers(self) -> int:
        """A global hub that is alone in its pool asks its seeds; when none answers it leads the pool, and asks on."""
        state = self._state
        upper = state.stack_of(self._wants)
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
        known = {hub.hub: hub for hub in (*self._remembered, *refused.hubs) if hub.tier == self._parent_tier}
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
        asked = ((settings.parent_address,) if settings.parent_address else ()) + settings.seeds
        places = ", ".join(f"{address.host}:{address.membership}" for address in asked)
        if not places:
            hint = "set node.parent_hub or federation.seeds"
            self._say("nobody", f"no_hub: this node of tier {settings.tier} knows no hub to join", hint)
        else:
            hint = "start it, or correct node.parent_hub, federation.peers or federation.seeds"
            self._say(settings.parent or places, f"no_answer: no hub answers at {places}", hint)

    def on_accepted(self) -> None:
        """A hub said yes."""
        self.refusal = ""
        self._attempts = 0

    def siblings(self) -> list[HubSummary]:
        """Hubs of the parent's tier that this node has heard of, best first: alive, with room, near."""
        state = self._state
        known = {hub.hub: hub for hub in self._remembered}
        for stack in state.stacks.values():
            known.update((hub.hub, hub) for hub in stack.hubs.values() if hub.tier == self._parent_tier)
        usable = [hub for hub in known.values() if hub.status == "alive" and not hub.draining and hub.hub != state.id]
        region = state.settings.region
        return sorted(
            usable, key=lambda hub: (hub.load >= 1.0, hub.region != region, self._far(hub), hub.load, hub.hub)
        )

    def _whom_to_ask(self) -> tuple[Address, ...]:
        """The home hub and the seeds first; others too once home was silent for a while or is known to be dead."""
        settings: NodeSettings = self._state.settings
        first = ((settings.parent_address,) if settings.parent_address else ()) + settings.seeds
        home = self._state.member(settings.parent) if settings.parent else None
        home_lost = home is not None and (home.status in ("failed", "left") or home.draining)
        others = [hub.address for hub in self.siblings() if hub.hub != settings.parent]
        if not others or (self._attempts < HOME_TRIES and not home_lost and first):
            return first
        turn = others[self._attempts % len(others)] if not home_lost else others[min(self._attempts, len(others) - 1)]
        return (*first, turn)

    def _hello(self, addresses: tuple[Address, ...]) -> None:
        self._attempts += 1
        state = self._state
        has_hub = self._parent_tier is not None and self.attached()
        hello = Hello(state.settings.federation, state.own_record(self._wants), self._wants, WIRE_VERSION, has_hub)
        if addresses:
            state.transmit(addresses, CONTROL_CHANNEL, "membership", hello)

    def _backoff(self) -> int:
        doubled: int = FIRST_WAIT_NS << min(self._attempts, 6)
        return min(doubled, WAIT_MAX_NS)

    def _parent_record(self) -> Member | None:
        upper = self._state.stack_of(self._wants)
        return upper.table.member(self._state.parent) if upper is not None and self._state.parent else None

    def _far(self, hub: HubSummary) -> float:
        here = self._state.settings.coordinates
        return great_circle_km(here, hub.coordinates) if here and hub.coordinates else 0.0
