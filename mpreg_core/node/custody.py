"""Messages that this node has taken custody of: kept, and repeated, until the next nodes have taken them on.

A message that is to arrive at least once goes from node to node like any other, but straight, and whoever has one keeps
it in a journal until those that want it next say that they took it on in their turn (custody transfer, RFC 4838 section
3.10). So it survives lost frames, and the crash and restart of any node on its way that has a disk; it may come twice.
Who wants it is looked up each time it is sent again, for hubs fail over and subscribers move meanwhile.

The plain subscribers and each queue group are cared for apart. For a group it goes to one next node, which takes it on
only if it knows a member itself, or another node that does: else whoever asked it asks another.
"""

from collections import OrderedDict
from collections.abc import Sequence
from heapq import heappop, heappush

from msgspec import Struct, field, structs

from mpreg_core.ids import NodeId, PoolId
from mpreg_core.limits import CUSTODY_BYTES_MAX, CUSTODY_MESSAGES_MAX, CUSTODY_S_MAX
from mpreg_core.node import topics
from mpreg_core.node.audience import Audience
from mpreg_core.node.custody_log import CustodyLog, Kept, Key
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.node.state import NodeState
from mpreg_core.units import NS_PER_MS, NS_PER_S
from mpreg_core.wire.control import Deliver, TookCustody
from mpreg_core.wire.envelope import CONTROL_CHANNEL

AGAIN_NS = (NS_PER_S, 2 * NS_PER_S, 5 * NS_PER_S, 10 * NS_PER_S)
"""Until it is sent again; the last one repeats."""

OPEN_AGAIN_NS = NS_PER_S // 2
YOUNG_NS = 15 * NS_PER_S
"""So long after this node entered a pool it may not know who wants what: those that lost it come back at leisure."""

UNSETTLED_NS = 5 * NS_PER_S
"""The same, after members came or went."""

LINGER_NS = 2 * NS_PER_S
"""The first node keeps a message so long in any case: somebody who is on the way to another hub is not forgotten."""

BACK_TRIES = 2
"""After so many tries a group is looked for in the pool that its message came from, too."""

CLIENT = "client"
"""In place of a pool, where a client is to acknowledge."""

CLIENT_NS = 60 * NS_PER_S
"""How long a client may be about it before another member of its group gets the message as well."""

ASKED_MAX = 16_384


class Entry(Struct):
    """A message in custody. `waiting` and `taken` are the next nodes by pool. Before `open_ns` it is not done.

    Until `client_ns` a client has it, and may say that it is done with it.
    """

    kept: Kept
    expires_ns: int
    due_ns: int
    open_ns: int = 0
    tries: int = 0
    client_ns: int = 0
    waiting: set[tuple[PoolId, NodeId]] = field(default_factory=set)
    taken: set[tuple[PoolId, NodeId]] = field(default_factory=set)


class Custody:
    """By message and queue group, oldest first."""

    def __init__(self, state: NodeState, audience: Audience) -> None:
        self._state = state
        self._audience = audience
        self.log = CustodyLog(state)
        self._asked: OrderedDict[Key, NodeId] = OrderedDict()  # who asked for a group's messages that were taken on
        self._entries: dict[Key, Entry] = {}
        self._bytes = 0
        self._purged_ns = -NS_PER_S
        self._at_clients: dict[str, set[Key]] = {}
        self._due: list[tuple[int, Key]] = []  # each entry's time, and outdated ones

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> list[Entry]:
        """The messages in custody, oldest first."""
        return list(self._entries.values())

    def has_room(self, size: int) -> bool:
        """True if one more can be taken on. Messages that wait for failed members only make room, the oldest first."""
        if self._fits(size):
            return True
        if self._state.now_ns - self._purged_ns < NS_PER_S:
            return False
        for entry in self.entries():
            if not any(self._status(*place) in ("alive", "suspect") for place in entry.waiting):
                if entry.waiting:
                    self._state.count("mpreg_messages_expired_total")
                self._forget(entry)
                if self._fits(size):
                    return True
        self._purged_ns = self._state.now_ns  # all wait for somebody alive: not looked through for each message
        return False

    def _fits(self, size: int) -> bool:
        return len(self._entries) < CUSTODY_MESSAGES_MAX and self._bytes + size <= CUSTODY_BYTES_MAX

    def _status(self, pool: PoolId, node: NodeId) -> str:
        """Of a member; one that is none has left. A failed cluster node's subscribers are gone with it."""
        if pool == CLIENT:
            return "alive"
        stack = self._state.stacks.get(pool)
        member = stack.table.member(node) if stack is not None else None
        if member is None or (member.status == "failed" and member.tier == "cluster"):
            return "left"
        return member.status

    # taking on

    def begin(self, record: topics.MessageRecord, born_ms: int) -> None:
        """A message of this node, for its plain subscribers elsewhere and for all queue groups."""
        self._keep(record, born_ms, "", linger_ns=LINGER_NS)

    def take(self, record: topics.MessageRecord, deliver: Deliver) -> None:
        """A message came for the plain subscribers, and for groups that whoever sent it knows nothing of."""
        self._keep(record, deliver.born_ms, "", deliver.pool, deliver.served)

    def take_for_group(self, record: topics.MessageRecord, source: NodeId, deliver: Deliver) -> bool:
        """A message came for a queue group. False if this node knows nobody of it but by who sent it."""
        key = (record.id, deliver.group)
        if self._asked.get(key) == source:
            return True  # it was taken on, and the word of it lost
        if not self._can_serve(record.topic, deliver):
            return False
        self._asked[key] = source
        if len(self._asked) > ASKED_MAX:
            self._asked.popitem(last=False)
        self._keep(record, deliver.born_ms, deliver.group, deliver.pool)
        return True

    def _can_serve(self, topic: str, deliver: Deliver) -> bool:
        stacks = [stack for stack in self._state.lowest_first() if stack.pool != deliver.pool]
        is_behind = self._audience.serving(stacks, deliver.group, topic) is not None
        return is_behind or self._audience.is_here(deliver.group, topic)

    def _keep(
        self,
        record: topics.MessageRecord,
        born_ms: int,
        group: str,
        came: PoolId = "",
        served: tuple[str, ...] = (),
        linger_ns: int = 0,
    ) -> None:
        now_ns = self._state.now_ns
        kept = Kept(record, born_ms, self._state.wall_ms + CUSTODY_S_MAX * 1000, group, came, served)
        entry = Entry(kept, now_ns + CUSTODY_S_MAX * NS_PER_S, now_ns)
        entry.open_ns = now_ns + linger_ns if linger_ns else 0
        self._add(entry)
        self.log.keep(kept)
        self._go(entry)

    def _add(self, entry: Entry) -> None:
        kept = entry.kept
        known = self._entries.get(kept.key)
        self._bytes += len(kept.record.payload) - (len(known.kept.record.payload) if known is not None else 0)
        self._entries[kept.key] = entry
        heappush(self._due, (entry.due_ns, kept.key))

    def acknowledge(self, source: NodeId, took: TookCustody) -> None:
        """Tell the node that a message came from that it may forget it, once that is safe."""
        address = self._state.address_of(source)
        if address is not None:
            self.log.then(lambda: self._state.transmit((address,), CONTROL_CHANNEL, "gossip", took))

    def on_taken(self, source: NodeId, took: TookCustody) -> None:
        """A next node has taken a message on."""
        entry = self._entries.get((took.id, took.group))
        if entry is not None and (took.pool, source) in entry.waiting:
            entry.waiting.remove((took.pool, source))
            entry.taken.add((took.pool, source))
            self._end_if_done(entry)

    def on_gone(self, client: str, group: str = "") -> None:
        """A client went away, or left a queue group: what it is not done with is for others."""
        for key in sorted(self._at_clients.get(client, ())):
            entry = self._entries.get(key)
            if entry is None or (CLIENT, client) not in entry.waiting:
                self._no_longer_at(client, key)
            elif group in ("", entry.kept.group):
                self._no_longer_at(client, key)
                entry.waiting.clear()
                entry.client_ns, entry.due_ns = 0, self._state.now_ns
                heappush(self._due, (entry.due_ns, entry.kept.key))

    def _no_longer_at(self, client: str, key: Key) -> None:
        keys = self._at_clients.get(client, set())
        keys.discard(key)
        if not keys:
            self._at_clients.pop(client, None)

    # on the way

    def _stacks(self, entry: Entry) -> list[PoolStack]:
        return [stack for stack in self._state.lowest_first() if stack.pool != entry.kept.came]

    def _go(self, entry: Entry) -> None:
        """Find the next nodes, as of now, and send it to those that have not taken it on."""
        if entry.kept.group:
            self._choose(entry)
        else:
            self._look_around(entry)
        if entry.kept.key not in self._entries:
            return
        self._send(entry)
        is_open = self._is_open(entry)
        again_ns = OPEN_AGAIN_NS if is_open else AGAIN_NS[min(entry.tries, len(AGAIN_NS) - 1)]
        entry.tries += not is_open
        entry.due_ns = self._state.now_ns + again_ns
        heappush(self._due, (entry.due_ns, entry.kept.key))
        self._end_if_done(entry)

    def _look_around(self, entry: Entry) -> None:
        """Of a message for plain subscribers: whoever wants it. Nodes that are not there are waited for no longer.

        A failed hub may come back, and is waited for. What was behind those that went may be in any pool now.
        """
        for pool, node in tuple(entry.waiting):
            status = self._status(pool, node)
            if status in ("failed", "left"):
                entry.kept = structs.replace(entry.kept, came="")
            if status == "left":
                entry.waiting.remove((pool, node))
        kept = entry.kept
        for stack in self._stacks(entry):
            wanting = self._audience.wanting(stack, kept.record.topic)
            entry.waiting.update((stack.pool, node) for node in wanting if node != self._state.id)
        entry.waiting -= entry.taken
        unknown = sorted(self._audience.groups(kept.record.topic) - set(kept.served))
        if unknown:
            entry.kept = structs.replace(kept, served=tuple(sorted({*kept.served, *unknown})))
            for group in unknown:
                self._keep(kept.record, kept.born_ms, group, kept.came)

    def _choose(self, entry: Entry) -> None:
        """Of a message for a queue group: a member here, or a next node, which is another one at each try."""
        kept = entry.kept
        if self._state.now_ns < entry.client_ns:
            return
        client = self._audience.give(kept.record, kept.group)
        if client is not None:
            entry.waiting, entry.client_ns = {(CLIENT, client)}, self._state.now_ns + CLIENT_NS
            if client:
                self._at_clients.setdefault(client, set()).add(kept.key)
            else:
                self._forget(entry)
            return
        if entry.tries >= BACK_TRIES and kept.came:
            entry.kept = kept = structs.replace(kept, came="")
        entry.waiting.clear()
        found = self._audience.serving(self._stacks(entry), kept.group, kept.record.topic)
        if found is not None:
            stack, node = found
            entry.waiting.add((stack.pool, node))
            if self._asked.get(kept.key) == node:
                del self._asked[kept.key]  # it is theirs again, and may come back for good reason

    def _send(self, entry: Entry) -> None:
        kept = entry.kept
        item = topics.message_item(kept.record, kept.born_ms)
        for pool, node in sorted(entry.waiting):
            stack = self._state.stacks.get(pool)
            member = stack.table.member(node) if stack is not None else None
            if member is not None:
                deliver = Deliver(pool, item.key, item.payload, item.born_ms, kept.served, kept.group)
                self._state.transmit((member.address,), CONTROL_CHANNEL, "gossip", deliver)

    def _end_if_done(self, entry: Entry) -> None:
        is_done = bool(entry.taken) if entry.kept.group else not entry.waiting and not self._is_open(entry)
        if is_done:
            self._forget(entry)

    def _is_open(self, entry: Entry) -> bool:
        """True while somebody may want it of whom this node has not heard yet."""
        now_ns, settings = self._state.now_ns, self._state.settings
        is_alone = settings.tier == "global" or (settings.parent is None and not settings.seeds)
        if now_ns < entry.open_ns or (self._state.life in ("starting", "joining") and not is_alone):
            return True
        return any(
            now_ns - stack.entered_ns < YOUNG_NS or now_ns - stack.changed_ns < UNSETTLED_NS
            for stack in self._stacks(entry)
        )

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.kept.key]
        for client in [node for pool, node in entry.waiting | entry.taken if pool == CLIENT]:
            self._no_longer_at(client, entry.kept.key)
        self._bytes -= len(entry.kept.record.payload)
        self.log.release(entry.kept.key)

    def next_deadline(self) -> int | None:
        """When the first message is due again."""
        while self._due and self._is_outdated(*self._due[0]):
            heappop(self._due)
        return self._due[0][0] if self._due else None

    def _is_outdated(self, due_ns: int, key: Key) -> bool:
        entry = self._entries.get(key)
        return entry is None or entry.due_ns != due_ns

    def on_deadline(self) -> None:
        """Send again what was not taken on; forget what is too old."""
        now_ns = self._state.now_ns
        while self._due and self._due[0][0] <= now_ns:
            due_ns, key = heappop(self._due)
            if self._is_outdated(due_ns, key):
                continue
            entry = self._entries[key]
            if entry.expires_ns <= now_ns:
                self._state.count("mpreg_messages_expired_total")
                self._forget(entry)
            else:
                self._go(entry)

    def restore(self, records: Sequence[bytes]) -> None:
        """Take in what an earlier life had, for whoever wants it, wherever that is now. Raises `StorageError`."""
        now_ns = self._state.now_ns
        for kept in self.log.read(records):
            left_ns = (kept.expires_ms - self._state.wall_ms) * NS_PER_MS
            self._add(Entry(structs.replace(kept, came=""), now_ns + left_ns, now_ns, now_ns + YOUNG_NS))

    def write(self) -> None:
        """At the end of a step: have written what it changed."""
        self.log.write(lambda: [entry.kept for entry in self._entries.values()], self._bytes)
