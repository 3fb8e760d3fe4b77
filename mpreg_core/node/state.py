"""What the parts of a node share: who it is, its pools, and the actions of the step under way."""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from msgspec import Struct

from mpreg_core.contracts.events import Event, NodeStateChanged, Occurrence
from mpreg_core.contracts.members import Address, Member, Speaks
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.errors import MpregError
from mpreg_core.ids import LOWER_POOL, PARENT_TIER, UPPER_POOL, Lane, NodeId, Plane, PoolId, PoolTier, Tier
from mpreg_core.node.actions import Action, Complete, Notify, Transmit, WriteRecord
from mpreg_core.node.parts import NodeSettings, PartsOf
from mpreg_core.node.vivaldi import Vivaldi
from mpreg_core.units import NS_PER_MS
from mpreg_core.wire.codec import FrameEncoder, FrameError

if TYPE_CHECKING:
    from mpreg_core.node.pool_stack import PoolStack

CounterKey = tuple[str, tuple[tuple[str, str], ...]]


class NodeState:
    """Mutable, owned by `NodeCore`. `life` is starting, joining, ready, draining or stopped.

    `review_ns` is when a hub next looks whether its summary changed; None before the start. `maintain_ns` is when the
    node next forgets what is long gone and writes down what a restart needs.
    """

    def __init__(self, settings: NodeSettings, parts_of: PartsOf) -> None:
        self.settings = replace(settings, records={})  # they are in `_journals`
        self.id = settings.id
        self.parts_of = parts_of
        self.stacks: dict[PoolId, PoolStack] = {}
        self._lowest_first: tuple[PoolStack, ...] = ()
        self.incarnation = settings.remembered.incarnation
        self._journals = {name: list(records) for name, records in settings.records.items()}
        self._writes = 0
        self._encoders: dict[int, FrameEncoder] = {}
        self.stands_by = settings.stands_by_for is not None
        self._former: dict[NodeId, Address] = {}
        self.parent: NodeId | None = None
        self.life = "starting"
        self.now_ns = 0
        self.wall_offset_ns = 0
        self.counters: dict[CounterKey, int] = {}
        self.actions: list[Action] = []
        self.events: deque[tuple[PoolStack | None, Event]] = deque()
        self.review_ns: int | None = None
        self.maintain_ns = 0
        self.rng = self.stream("node")
        self.vivaldi = Vivaldi(settings.coordinates, self.stream("vivaldi"))

    def stream(self, *names: str) -> Random:
        """A random stream of its own for each use, from the node's seed."""
        return Random(f"{self.settings.seed}/{self.settings.id}/{'/'.join(names)}")

    def write(self, journal: str, record: bytes, *, checkpoint: bool) -> int:
        """Have a record of a pool's journal written. Gives a token that no other write of this process has.

        The records are held here as well: a node that leaves a pool and comes back, without a restart, must find in
        its engine all that the one before promised. An engine's checkpoints bound them.
        """
        held = self._journals.setdefault(journal, [])
        if checkpoint:
            held.clear()
        held.append(record)
        self._writes += 1
        self.actions.append(WriteRecord(journal, self._writes, record, checkpoint))
        return self._writes

    def journal(self, name: str) -> tuple[bytes, ...]:
        """A pool's journal as of now."""
        return tuple(self._journals.get(name, ()))

    def take_journal(self, name: str) -> tuple[bytes, ...]:
        """A journal as it was found, for whoever holds from now on what is in it."""
        return tuple(self._journals.pop(name, ()))

    @property
    def wall_ms(self) -> int:
        """The wall clock of this step."""
        return (self.now_ns + self.wall_offset_ns) // NS_PER_MS

    @property
    def draining(self) -> bool:
        """True once the node takes no new work."""
        return self.life in ("draining", "stopped")

    def own_record(self, tier: PoolTier) -> Member:
        """This node's record, as of now, for its pool of a tier."""
        settings = self.settings
        speaks = tuple(Speaks(part.family, part.protocol, *part.wire) for part in self.parts_of(tier).all())
        return Member(
            id=settings.id,
            incarnation=self.incarnation,
            status="alive",
            tier=settings.tier,
            region=settings.region,
            address=settings.address,
            started_ms=settings.started_ms,
            coordinates=settings.coordinates,
            parent=self.parent,
            speaks=speaks,
            version=settings.version,
            draining=self.draining,
            tags=settings.tags,
            network=self.vivaldi.published,
            home=self.home_hub,
            stands_by_for=settings.stands_by_for if self.stands_by else None,
        )

    # its place: a hub that stands by is a member of its pool like those below it

    @property
    def upper(self) -> PoolTier:
        """The tier of the pool that the node joins through another."""
        tier = self.settings.tier
        return (LOWER_POOL[tier] or UPPER_POOL[tier]) if self.stands_by else UPPER_POOL[tier]

    @property
    def lower(self) -> PoolTier | None:
        """The tier of the pool that the node leads beside that."""
        return None if self.stands_by else LOWER_POOL[self.settings.tier]

    @property
    def parent_tier(self) -> Tier | None:
        """The tier of the hub to be attached to."""
        return self.settings.tier if self.stands_by else PARENT_TIER[self.settings.tier]

    @property
    def home_hub(self) -> NodeId | None:
        """The configured hub to be attached to."""
        return self.settings.stands_by_for if self.stands_by else self.settings.parent

    @property
    def home_address(self) -> Address | None:
        """Where that one listens."""
        return self.settings.primary_address if self.stands_by else self.settings.parent_address

    def upper_stack(self) -> "PoolStack | None":
        """The pool that the node joins through another, once it is in it."""
        return self.stack_of(self.upper)

    def stack_of(self, tier: PoolTier) -> "PoolStack | None":
        """This node's pool of a tier, if it is in one."""
        for stack in self.stacks.values():
            if stack.tier == tier:
                return stack
        return None

    def home(self) -> "PoolStack | None":
        """The pool meant by scope `pool`: the one this node leads, else the one it is in."""
        return self._lowest_first[0] if self._lowest_first else None

    def lowest_first(self) -> "tuple[PoolStack, ...]":
        """The pools, from the lowest tier up."""
        return self._lowest_first

    def add_stack(self, stack: "PoolStack") -> None:
        """The node is in one more pool."""
        self.stacks[stack.pool] = stack
        self._order()

    def remove_stack(self, stack: "PoolStack") -> None:
        """The node is in a pool no more."""
        del self.stacks[stack.pool]
        self._former = {entry.member.id: entry.member.address for entry in stack.table}
        self._order()

    def _order(self) -> None:
        order: tuple[PoolTier, ...] = ("local", "regional", "global")
        self._lowest_first = tuple(stack for tier in order for stack in self.stacks.values() if stack.tier == tier)

    def count(self, name: str, n: int = 1, **labels: str) -> None:
        """Add to a counter."""
        key = (name, tuple(sorted(labels.items()) if len(labels) > 1 else labels.items()))
        self.counters[key] = self.counters.get(key, 0) + n

    def emit(self, stack: "PoolStack | None", event: Event) -> None:
        """State a fact: wired and shown to observers later in this step."""
        self.events.append((stack, event))

    def notify(self, stack: "PoolStack | None", event: Event) -> None:
        """Show a fact to observers."""
        pool = stack.pool if stack is not None else ""
        self.actions.append(Notify(Occurrence(self.now_ns, self.id, pool, event)))

    def review_by(self, due_ns: int) -> None:
        """What this node sums up for the pool above may have changed: look at the latest then."""
        if self.review_ns is not None and due_ns < self.review_ns:
            self.review_ns = due_ns

    def complete(self, token: int, result: Struct | MpregError | None) -> None:
        """A command has its outcome."""
        self.actions.append(Complete(token, result))

    def set_life(self, life: str, reason: str = "") -> None:
        """Move on in the life cycle."""
        if life != self.life:
            self.life = life
            self.emit(None, NodeStateChanged(life, reason))

    def transmit(
        self, to: Iterable[Address], channel: int, plane: Plane, message: Struct, lane: Lane = "stream"
    ) -> None:
        """Send one of core's own messages. One over the frame limit is dropped and counted."""
        endpoints = tuple([Endpoint(address.host, address.port(plane)) for address in to])
        encoder = self._encoders.get(channel)
        if encoder is None:
            encoder = self._encoders[channel] = FrameEncoder(channel, self.id)
        try:
            frame = encoder.encode(message)
        except FrameError as error:
            self.count("mpreg_frames_dropped_total", plane=plane, reason=error.code)
            return
        self.actions.append(Transmit(endpoints, plane, lane, frame))

    def address_of(self, node: NodeId) -> Address | None:
        """Where a member of any of the pools listens, or of the pool left last: it may still wait for a reply."""
        member = self.member(node)
        return member.address if member is not None else self._former.get(node)

    def member(self, node: NodeId) -> Member | None:
        """The record of a member of any of the pools, an alive one first."""
        found: Member | None = None
        for stack in self.stacks.values():
            member = stack.table.member(node)
            if member is not None and (found is None or member.status == "alive"):
                found = member
        return found
