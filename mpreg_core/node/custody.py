"""Messages that this node has taken custody of: kept, and repeated, until every next node has taken them on.

A message that is to arrive at least once goes from node to node like any other, but straight, and whoever has one keeps
it in a journal until all that want it next say that they took it on in their turn (custody transfer, RFC 4838 section
3.10). So it survives lost frames, and the crash and restart of any node on its way that has a disk; it may come twice.
"""

from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush

from msgspec import MsgspecError, Struct, field, msgpack

from mpreg_core.errors import StorageError
from mpreg_core.ids import NodeId, PoolId
from mpreg_core.limits import CUSTODY_BYTES_MAX, CUSTODY_MESSAGES_MAX, CUSTODY_S_MAX
from mpreg_core.node import topics
from mpreg_core.node.actions import WriteRecord
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.node.state import NodeState
from mpreg_core.units import NS_PER_MS, NS_PER_S
from mpreg_core.wire.control import Deliver, TookCustody
from mpreg_core.wire.envelope import CONTROL_CHANNEL

CUSTODY_JOURNAL = "custody"

AGAIN_NS = (NS_PER_S, 2 * NS_PER_S, 5 * NS_PER_S, 10 * NS_PER_S)
"""Until it is sent again; the last one repeats."""

OPEN_AGAIN_NS = NS_PER_S // 2
"""While this node is new in a pool, whose members' wishes it may not know yet."""

CHECKPOINT_BYTES_MIN = 4 * 1024 * 1024


class Kept(Struct, frozen=True, array_like=True, tag=1):
    """A message as the journal has it."""

    record: topics.MessageRecord
    born_ms: int
    came: PoolId
    served: tuple[str, ...]
    expires_ms: int


class Released(Struct, frozen=True, array_like=True, tag=2):
    """A message that is kept no longer."""

    id: str


class Entry(Struct):
    """A message in custody. `waiting` and `taken` are the next nodes by pool, `groups` who serves which queue group."""

    kept: Kept
    expires_ns: int
    due_ns: int
    tries: int = 0
    groups: dict[str, NodeId] = field(default_factory=dict)
    waiting: set[tuple[PoolId, NodeId]] = field(default_factory=set)
    taken: set[tuple[PoolId, NodeId]] = field(default_factory=set)


_records = msgpack.Decoder(list[Kept | Released])

Wanting = Callable[[PoolStack, str], Iterable[NodeId]]
"""The members of a pool that want a topic."""

Share = Callable[[str, list[PoolStack], Iterable[str]], dict[NodeId, set[str | int]]]
"""Who is to serve which queue group of a topic, but for those that are served already."""


class Custody:
    """By message id. `is_fresh` says of a pool that its wishes may not be known yet."""

    def __init__(self, state: NodeState, wanting: Wanting, share: Share, is_fresh: Callable[[PoolStack], bool]) -> None:
        self._state = state
        self._wanting = wanting
        self._share = share
        self._is_fresh = is_fresh
        self._entries: dict[str, Entry] = {}
        self._bytes = 0
        self._due: list[tuple[int, str]] = []  # each entry's time, and outdated ones
        self._unsaved: dict[str, Kept | Released] = {}
        self._journal_bytes = 0
        self._written = 0
        self._durable = 0
        self._then: list[tuple[int, Callable[[], None]]] = []  # what waits for which write, in order

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> list[Entry]:
        """The messages in custody, oldest first."""
        return list(self._entries.values())

    def has_room(self, size: int) -> bool:
        """True if one more can be taken on. Messages that wait for failed members only make room, the oldest first."""
        for entry in self.entries() if not self._fits(size) else ():
            if not any(self._status(*place) in ("alive", "suspect") for place in entry.waiting):
                self._state.count("mpreg_messages_expired_total")
                self._forget(entry)
                if self._fits(size):
                    break
        return self._fits(size)

    def _fits(self, size: int) -> bool:
        return len(self._entries) < CUSTODY_MESSAGES_MAX and self._bytes + size <= CUSTODY_BYTES_MAX

    def _status(self, pool: PoolId, node: NodeId) -> str:
        """Of a member; one that is none has left. A failed cluster node's subscribers are gone with it."""
        stack = self._state.stacks.get(pool)
        member = stack.table.member(node) if stack is not None else None
        if member is None or (member.status == "failed" and member.tier == "cluster"):
            return "left"
        return member.status

    def take(self, record: topics.MessageRecord, born_ms: int, came: PoolId, served: tuple[str, ...]) -> set[int]:
        """Take a message on, and send it to the next nodes. Gives the members of queue groups here that get it."""
        now_ns = self._state.now_ns
        expires_ms = self._state.wall_ms + CUSTODY_S_MAX * 1000
        entry = Entry(Kept(record, born_ms, came, served, expires_ms), now_ns + CUSTODY_S_MAX * NS_PER_S, now_ns)
        self._add(entry)
        self._unsaved[record.id] = entry.kept
        return self._go(entry)

    def _add(self, entry: Entry) -> None:
        record = entry.kept.record
        known = self._entries.get(record.id)
        self._bytes += len(record.payload) - (len(known.kept.record.payload) if known is not None else 0)
        self._entries[record.id] = entry
        heappush(self._due, (entry.due_ns, record.id))

    def then(self, act: Callable[[], None]) -> None:
        """Act as soon as all that was taken on so far is durable."""
        if self._unsaved or self._durable < self._written:
            self._then.append((self._written + bool(self._unsaved), act))
        else:
            act()

    def acknowledge(self, source: NodeId, pool: PoolId, id: str) -> None:
        """Tell the node that a message came from that it may forget it, once that is safe."""
        address = self._state.address_of(source)
        if address is not None:
            took = TookCustody(pool, id)
            self.then(lambda: self._state.transmit((address,), CONTROL_CHANNEL, "gossip", took))

    def on_taken(self, source: NodeId, took: TookCustody) -> None:
        """A next node has taken a message on."""
        entry = self._entries.get(took.id)
        if entry is not None and (took.pool, source) in entry.waiting:
            entry.waiting.remove((took.pool, source))
            entry.taken.add((took.pool, source))
            self._end_if_done(entry)

    # on the way

    def _stacks(self, entry: Entry) -> list[PoolStack]:
        return [stack for stack in self._state.lowest_first() if stack.pool != entry.kept.came]

    def _go(self, entry: Entry) -> set[int]:
        """Find the next nodes, as of now, and send it to those that have not taken it on."""
        me, topic = self._state.id, entry.kept.record.topic
        stacks = self._stacks(entry)
        self._let_go(entry)
        for stack in stacks:
            entry.waiting.update((stack.pool, node) for node in self._wanting(stack, topic) if node != me)
        chosen: set[int] = set()
        for node, names in self._share(topic, stacks, {*entry.kept.served, *entry.groups}).items():
            chosen.update(name for name in names if isinstance(name, int))
            entry.groups.update((name, node) for name in names if isinstance(name, str))
            pool = next((stack.pool for stack in stacks if node != me and stack.table.get(node) is not None), None)
            if pool is not None:
                entry.waiting.add((pool, node))
        entry.waiting -= entry.taken
        self._send(entry)
        is_open = self._is_open(stacks)
        again_ns = OPEN_AGAIN_NS if is_open else AGAIN_NS[min(entry.tries, len(AGAIN_NS) - 1)]
        entry.tries += not is_open
        entry.due_ns = self._state.now_ns + again_ns
        heappush(self._due, (entry.due_ns, entry.kept.record.id))
        self._end_if_done(entry)
        return chosen

    def _let_go(self, entry: Entry) -> None:
        """Wait no longer for nodes that are not there: a queue group's message is for another then.

        A failed hub may come back, and is waited for, but not by the others of a group.
        """
        for pool, node in tuple(entry.waiting):
            status = self._status(pool, node)
            if status in ("failed", "left"):
                entry.groups = {queue: by for queue, by in entry.groups.items() if by != node}
            if status == "left":
                entry.waiting.remove((pool, node))

    def _send(self, entry: Entry) -> None:
        kept = entry.kept
        item = topics.message_item(kept.record, kept.born_ms)
        for pool, node in sorted(entry.waiting):
            stack = self._state.stacks.get(pool)
            member = stack.table.member(node) if stack is not None else None
            if member is not None:
                own = {queue for queue, by in entry.groups.items() if by == node}
                served = tuple(sorted({*kept.served, *entry.groups} - own))
                deliver = Deliver(pool, item.key, item.payload, item.born_ms, served)
                self._state.transmit((member.address,), CONTROL_CHANNEL, "gossip", deliver)

    def _end_if_done(self, entry: Entry) -> None:
        if not entry.waiting and not self._is_open(self._stacks(entry)):
            self._forget(entry)

    def _is_open(self, stacks: list[PoolStack]) -> bool:
        """True while somebody may want it of whom this node has not heard yet."""
        return self._state.life in ("starting", "joining") or any(map(self._is_fresh, stacks))

    def _forget(self, entry: Entry) -> None:
        record = entry.kept.record
        del self._entries[record.id]
        self._bytes -= len(record.payload)
        if isinstance(self._unsaved.get(record.id), Kept):
            del self._unsaved[record.id]  # it was never written
        else:
            self._unsaved[record.id] = Released(record.id)

    def next_deadline(self) -> int | None:
        """When the first message is due again."""
        while self._due and self._is_outdated(*self._due[0]):
            heappop(self._due)
        return self._due[0][0] if self._due else None

    def _is_outdated(self, due_ns: int, id: str) -> bool:
        entry = self._entries.get(id)
        return entry is None or entry.due_ns != due_ns

    def on_deadline(self) -> None:
        """Send again what was not taken on; forget what is too old."""
        now_ns = self._state.now_ns
        while self._due and self._due[0][0] <= now_ns:
            due_ns, id = heappop(self._due)
            if self._is_outdated(due_ns, id):
                continue
            entry = self._entries[id]
            if entry.expires_ns <= now_ns:
                self._state.count("mpreg_messages_expired_total")
                self._forget(entry)
            else:
                self._go(entry)

    # the journal

    def restore(self, records: Sequence[bytes]) -> None:
        """Take in what an earlier life wrote. Raises `StorageError` for a record that is none."""
        kept: dict[str, Kept] = {}
        for number, encoded in enumerate(records):
            try:
                for record in _records.decode(encoded):
                    if isinstance(record, Kept):
                        kept[record.record.id] = record
                    else:
                        kept.pop(record.id, None)
            except MsgspecError as error:
                advice = "move the journal away: the messages in it are lost then"
                raise StorageError(f"{error}; {advice}", where=f"{CUSTODY_JOURNAL}, record {number}") from error
        for each in kept.values():
            left_ns = (each.expires_ms - self._state.wall_ms) * NS_PER_MS
            self._add(Entry(each, self._state.now_ns + left_ns, self._state.now_ns))
        self._journal_bytes = sum(map(len, records))

    def write(self) -> None:
        """At the end of a step: have written what it changed."""
        if not self._unsaved:
            return
        record = msgpack.encode(list(self._unsaved.values()))
        self._unsaved.clear()
        self._written += 1
        if not self._state.settings.durable:
            self.persisted(self._written)
            return
        self._journal_bytes += len(record)
        is_checkpoint = self._journal_bytes > max(CHECKPOINT_BYTES_MIN, 2 * self._bytes)
        if is_checkpoint:
            record = msgpack.encode([entry.kept for entry in self._entries.values()])
            self._journal_bytes = len(record)
        self._state.actions.append(WriteRecord(CUSTODY_JOURNAL, self._written, record, is_checkpoint))

    def persisted(self, token: int) -> None:
        """A record is durable, and with it all before."""
        self._durable = max(self._durable, token)
        while self._then and self._then[0][0] <= self._durable:
            self._then.pop(0)[1]()
