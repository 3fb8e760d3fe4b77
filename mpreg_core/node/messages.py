"""Published messages on their way: to the pools, and there to the members, behind which somebody waits for them.

Where a few members of a pool want a message it goes to them straight; where many do, by the pool's gossip. Of a queue
group one member gets it: one of this node if there is any, else one behind another member, which chooses in its turn.
"""

from collections.abc import Iterable

from msgspec import structs

from mpreg_core.contracts.events import Published
from mpreg_core.contracts.gossip import Item
from mpreg_core.ids import NodeId
from mpreg_core.limits import MESSAGE_BYTES_MAX
from mpreg_core.node import topics
from mpreg_core.node.audience import Audience, is_expected, is_present
from mpreg_core.node.custody import Custody
from mpreg_core.node.interests import Local, Wants, record_of
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.node.state import NodeState
from mpreg_core.units import NS_PER_MS, NS_PER_S
from mpreg_core.wire.control import Deliver, TookCustody
from mpreg_core.wire.envelope import CONTROL_CHANNEL

STRAIGHT_MAX = 3
"""Members of a pool that a message goes to straight; to more it goes by gossip."""

FRESH_NS = 5 * NS_PER_S
"""So long after a node entered a pool its messages go to all there: it may not know yet who wants them."""

TELL_NS = 5 * NS_PER_MS
"""What is wanted is told so soon after it changed: subscriptions that come together are told together."""

TOPICS_REMEMBERED_MAX = 4_096


class Messages:
    """The subscribers of this node, the wishes of its pools' members, and where a message goes."""

    def __init__(self, state: NodeState) -> None:
        self._state = state
        self._local = Local()
        self._told: dict[str, topics.InterestRecord] = {}
        self._sequence = 0
        self._tell_ns: int | None = None
        self._wanting: dict[tuple[str, str], tuple[NodeId, ...]] = {}
        self.audience = Audience(state, self._local)
        self.custody = Custody(state, self.audience)

    # who wants what

    def subscribe(self, pattern: str, queue: str = "") -> int:
        """Somebody at this node wants messages, of a `queue` group its share; gives a token. Raises `MpregError`."""
        token = self._local.add(pattern, queue)
        self._changed()
        return token

    def unsubscribe(self, token: int) -> None:
        """No longer."""
        self._local.remove(token)
        self._changed()

    def on_record(self, stack: PoolStack, item: Item) -> None:
        """A member says what is wanted behind it. Raises `ValueError` for a record that is not its own."""
        record = topics.interests.decode(item.payload)
        if item.key != f"{topics.INTEREST}/{record.node}":
            raise ValueError("a record of wishes under another key")
        if record.node != self._state.id and self.is_news(stack, record):
            stack.items.put(item)
            stack.wants[record.node] = Wants(record)
            self._changed()

    def is_news(self, stack: PoolStack, record: topics.InterestRecord) -> bool:
        """True if a record is newer than the one held."""
        held = stack.wants.get(record.node)
        newest = (held.record.life, held.record.sequence) if held is not None else (-1, -1)
        return record.node != self._state.id and (record.life, record.sequence) > newest

    def on_members(self) -> None:
        """Members came or went, or this node entered one more pool, which is to be told what is wanted."""
        if self._told or self._local or any(stack.wants for stack in self._state.stacks.values()):
            self._changed()

    def _changed(self) -> None:
        self._wanting.clear()
        if self._tell_ns is None:
            self._tell_ns = self._state.now_ns + TELL_NS

    def next_deadline(self) -> int | None:
        """When to tell the pools what changed."""
        return self._tell_ns

    def on_deadline(self) -> None:
        """Tell each pool what is wanted here and beyond, where that changed."""
        self._tell_ns = None
        state = self._state
        for stack in state.lowest_first():
            others = [
                wants.record
                for other in state.lowest_first()
                for node, wants in sorted(other.wants.items())
                if other is not stack and is_expected(other, node) and stack.table.get(node) is None
            ]
            told = self._told.get(stack.pool) or topics.InterestRecord(state.id, state.settings.started_ms, 0)
            record = record_of(state.id, told.life, told.sequence, self._local, others)
            if record != told:
                self._sequence += 1
                self._told[stack.pool] = record = structs.replace(record, sequence=self._sequence)
                stack.publish(topics.interest_item(record, state.wall_ms))
        self._told = {pool: record for pool, record in self._told.items() if pool in state.stacks}

    def _wanting_in(self, stack: PoolStack, topic: str) -> tuple[NodeId, ...]:
        key = (stack.pool, topic)
        found = self._wanting.get(key)
        if found is None:
            if len(self._wanting) >= TOPICS_REMEMBERED_MAX:
                self._wanting.clear()
            nodes = (node for node, wants in stack.wants.items() if wants.topic(topic) and is_present(stack, node))
            found = self._wanting[key] = tuple(sorted(nodes))
        return found

    # on the way

    def send(self, record: topics.MessageRecord) -> None:
        """A message of this node."""
        item = topics.message_item(record, self._state.wall_ms)
        if not record.at_least_once:
            self._forward(record, item, None)
            return
        self._is_new_everywhere(item)
        self._tell(None, record, ())
        self.custody.begin(record, item.born_ms)

    def on_gossip(self, stack: PoolStack, item: Item) -> None:
        """A message came by a pool's gossip. It goes on into the other pools."""
        record = topics.read_message(item.payload)
        stack.items.mark_seen(item.stamp)
        self._forward(record, item, stack)

    def on_deliver(self, source: NodeId, deliver: Deliver) -> None:
        """A message came straight."""
        stack = self._state.stacks.get(deliver.pool)
        try:
            if stack is None or len(deliver.payload) > 2 * MESSAGE_BYTES_MAX:
                raise ValueError("a message of another pool, or too large")
            record = topics.read_message(deliver.payload)
        except topics.UNREADABLE:
            self._state.count("mpreg_items_rejected_total", pool=deliver.pool if stack is not None else "")
            return
        item = topics.message_item(record, deliver.born_ms)
        if item.key != deliver.key:
            return
        if record.at_least_once:
            self._take_on(source, stack, record, item, deliver)
        elif stack.items.mark_seen(item.stamp):
            self._forward(record, item, stack, deliver.served)

    def _take_on(
        self, source: NodeId, stack: PoolStack, record: topics.MessageRecord, item: Item, deliver: Deliver
    ) -> None:
        """A message that is to arrive at least once came; a full node lets the source send it again later."""
        if not self.custody.has_room(len(record.payload)):
            return
        took = TookCustody(stack.pool, record.id, deliver.group)
        if deliver.group:
            if not self.custody.take_for_group(record, source, deliver):
                return
        elif self._is_new_everywhere(item):
            self.custody.take(record, deliver)
            self._tell(stack, record, ())
        self.custody.acknowledge(source, took)

    def _is_new_everywhere(self, item: Item) -> bool:
        news = [stack.items.mark_seen(item.stamp) for stack in self._state.lowest_first()]
        return all(news)

    def _forward(
        self, record: topics.MessageRecord, item: Item, came: PoolStack | None, served: tuple[str, ...] = ()
    ) -> None:
        others = [stack for stack in self._state.lowest_first() if stack is not came and stack.items.is_news(item)]
        is_new = came is None or len(others) == len(self._state.stacks) - 1
        share = self._share(record.topic, others, served) if is_new or others else {}
        for stack in others:
            self._into(stack, record.topic, item, share, served)
        if is_new:
            self._tell(came, record, (token for token in share.get(self._state.id, ()) if isinstance(token, int)))

    def _tell(self, came: PoolStack | None, record: topics.MessageRecord, chosen: Iterable[int]) -> None:
        event = Published(record.id, record.topic, record.payload, record.origin, tuple(sorted(chosen)))
        self._state.emit(came, event)

    def _share(self, topic: str, stacks: list[PoolStack], served: tuple[str, ...]) -> dict[NodeId, set[str | int]]:
        """Who is to serve which queue group: this node by its subscribers' tokens, others by the groups' names."""
        share: dict[NodeId, set[str | int]] = {}
        behind: dict[str, list[NodeId]] = {}
        for stack in stacks:
            for node, wants in sorted(stack.wants.items()):
                if wants.record.groups and is_present(stack, node):
                    for queue in wants.groups(topic):
                        behind.setdefault(queue, []).append(node)
        local = {queue for pattern, queue in self._local.groups if topics.matches(pattern, topic)}
        for queue in sorted((local | behind.keys()) - set(served)):
            token = self._local.choose(queue, topic)
            if token is not None:
                share.setdefault(self._state.id, set()).update((token, queue))
            else:
                share.setdefault(self._state.rng.choice(behind[queue]), set()).add(queue)
        return share

    def _into(
        self,
        stack: PoolStack,
        topic: str,
        item: Item,
        share: dict[NodeId, set[str | int]],
        served: tuple[str, ...],
    ) -> None:
        plain = self._wanting_in(stack, topic)
        groups = {queue for queues in share.values() for queue in queues if isinstance(queue, str)} | set(served)
        is_fresh = self._state.now_ns - stack.entered_ns < FRESH_NS
        if not groups and (is_fresh or len(plain) > STRAIGHT_MAX):
            stack.publish(item)
            return
        stack.items.mark_seen(item.stamp)
        for node in sorted({*plain, *(node for node in share if stack.table.get(node) is not None)} - {self._state.id}):
            member = stack.table.member(node)
            if member is not None:
                given = tuple(sorted(groups - {queue for queue in share.get(node, ()) if isinstance(queue, str)}))
                deliver = Deliver(stack.pool, item.key, item.payload, item.born_ms, given)
                self._state.transmit((member.address,), CONTROL_CHANNEL, "gossip", deliver)
