"""A node's memory of every key: what was decided, and as a voter what it promised, voted for and refused.

Each key has its own sequence of instances 1, 2, 3 ...; only the one after the last that is known as decided is open
here. A voter's rules are those of single-decree Paxos (Lamport, "Paxos Made Simple", 2001, section 2.2): no answer to
a ballot below the highest promised one; a vote is kept until the instance is decided. All changes go through `apply`,
with a record that the caller makes durable before anyone hears of it; the journal read back goes the same way.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable

from mpreg_consensus_quorum.messages import (
    INVENTORY_MAX,
    LEGACY_BYTES_MAX,
    NO_BALLOT,
    VOTERS_KEY,
    Accept,
    Accepted,
    Ballot,
    Decision,
    Entry,
    Open,
    is_key,
)
from mpreg_consensus_quorum.records import (
    NOBODY,
    Checkpoint,
    Promised,
    Record,
    Refused,
    Seated,
    SlotRecord,
    Stance,
    Voted,
)
from mpreg_core.limits import JOURNAL_SEGMENT_BYTES, STATE_KEYS_MAX

HELD_BYTES_MAX = JOURNAL_SEGMENT_BYTES
"""Keys and values held for all keys together; a voter that holds more votes for nothing that would add to it."""

RECENT_BYTES_MAX = 4 * 1024 * 1024
"""Values of the recent decisions, which are kept beside the last one of each key."""

NOES_MAX = 64
"""Proposals that a voter refuses in one instance; it leaves further ones without an answer."""

CHECKPOINT_BYTES_MIN = 256 * 1024
"""Journal growth that is worth no checkpoint."""

_SLOT_BYTES = 128
_LOG_STALE_MAX = 1_024


class Slot:
    """One key. `round` is the highest round of the open instance heard of, `held` a vote left to the operator."""

    __slots__ = ("accepted", "decided", "held", "noes", "promised", "round")

    def __init__(self) -> None:
        self.decided: Decision | None = None
        self.promised: Ballot = NO_BALLOT
        self.accepted: Accepted | None = None
        self.noes: list[str] = []
        self.held: Accept | None = None
        self.round = 0

    @property
    def known(self) -> int:
        """The last instance that is known as decided, 0 for none."""
        return self.decided.instance if self.decided else 0

    def value_bytes(self) -> int:
        """Bytes of the values held."""
        decided = len(self.decided.proposal.value) if self.decided else 0
        return decided + (len(self.accepted.proposal.value) if self.accepted else 0)


class Ledger:
    """All slots, the recent decisions, and the order in which keys changed in this life of the node."""

    def __init__(self, recent_max: int, records: Iterable[Record]) -> None:
        self.stances: OrderedDict[str, bool] = OrderedDict()
        self._recent_max = recent_max
        self._clear()
        for record in records:
            self.apply(record)

    def _clear(self) -> None:
        self.slots: dict[str, Slot] = {}
        self.recent: OrderedDict[tuple[str, int], Decision] = OrderedDict()
        self.seat = NOBODY
        self.held_bytes = 0
        self._recent_bytes = 0
        self._changes: list[tuple[int, str]] = []
        self._changed: dict[str, int] = {}
        self._sequence = 0

    @property
    def boot(self) -> int:
        """The number of this node's life; it only grows."""
        return self.seat.boot

    # reading

    def known(self, key: str) -> int:
        """The last instance of a key that is known as decided here."""
        slot = self.slots.get(key)
        return slot.known if slot else 0

    def has_room(self, key: str, value_bytes: int) -> bool:
        """True if a value of that size may be added for a key."""
        return key in self.slots or (
            len(self.slots) < STATE_KEYS_MAX and self.held_bytes + _SLOT_BYTES + value_bytes <= HELD_BYTES_MAX
        )

    def has_bytes(self, value_bytes: int) -> bool:
        """True if the values held may grow by that much."""
        return self.held_bytes + value_bytes <= HELD_BYTES_MAX

    def decisions_after(self, key: str, after: int) -> list[Decision]:
        """The decisions of a key after an instance that are still held, in order; the last one always is."""
        slot = self.slots.get(key)
        if slot is None or slot.decided is None or slot.decided.instance <= after:
            return []
        found = [d for (k, instance), d in self.recent.items() if k == key and after < instance < slot.known]
        return [*sorted(found, key=lambda d: d.instance), slot.decided]

    def all_decisions(self) -> list[Decision]:
        """Every decision held, those of one key in order."""
        last = {id(d) for d in self.recent.values()}
        old = [s.decided for _, s in sorted(self.slots.items()) if s.decided is not None and id(s.decided) not in last]
        return [*old, *self.recent.values()]

    def inventory(self, since: int) -> tuple[tuple[Entry, ...], int, bool]:
        """The keys that changed after `since`: a bounded number of entries, up to where, and whether more follow."""
        entries: list[Entry] = []
        start = bisect_right(self._changes, (since, "\U0010ffff"))
        for at in range(start, len(self._changes)):
            sequence, key = self._changes[at]
            if len(entries) == INVENTORY_MAX:
                return tuple(entries), sequence - 1, True
            if self._changed[key] == sequence:
                slot = self.slots[key]
                entries.append(Entry(key, slot.known, slot.accepted.epoch if slot.accepted else None))
        return tuple(entries), self._sequence, False

    def legacy(self, since: int) -> tuple[tuple[Open, ...], int, bool]:
        """As `inventory`, with the votes themselves and a bounded size."""
        entries: list[Open] = []
        value_bytes = 0
        start = bisect_right(self._changes, (since, "\U0010ffff"))
        for at in range(start, len(self._changes)):
            sequence, key = self._changes[at]
            if self._changed[key] != sequence:
                continue
            slot = self.slots[key]
            value_bytes += len(slot.accepted.proposal.value) if slot.accepted else 0
            if len(entries) == INVENTORY_MAX or (entries and value_bytes > LEGACY_BYTES_MAX):
                return tuple(entries), sequence - 1, True
            entries.append(Open(key, slot.known, slot.accepted))
        return tuple(entries), self._sequence, False

    # changing

    def slot(self, key: str) -> Slot:
        """The slot of a key, made when it is new."""
        slot = self.slots.get(key)
        if slot is None:
            assert is_key(key)
            slot = self.slots[key] = Slot()
            self.held_bytes += _SLOT_BYTES + len(key)
        return slot

    def apply(self, record: Record) -> None:
        """Take a record in. One that speaks of an instance which is no longer open changes nothing."""
        match record:
            case Promised(key, instance, ballot):
                slot = self.slot(key)
                if instance == slot.known + 1:
                    slot.promised = max(slot.promised, ballot)
            case Voted(instance, ballot, proposal, epoch):
                slot = self.slot(proposal.key)
                if instance == slot.known + 1:
                    before = slot.value_bytes()
                    slot.promised = max(slot.promised, ballot)
                    slot.accepted = Accepted(ballot, proposal, epoch)
                    self._touch(proposal.key, slot.value_bytes() - before)
            case Refused(key, instance, proposal_id):
                slot = self.slot(key)
                if instance == slot.known + 1 and proposal_id not in slot.noes:
                    slot.noes.append(proposal_id)
            case Decision():
                self._decide(record)
            case Stance(proposal_id, yes):
                self.stances[proposal_id] = yes
                if len(self.stances) > self._recent_max:
                    self.stances.popitem(last=False)
            case Seated():
                self.seat = record
            case Checkpoint():
                self._restore(record)

    def start_over(self, seat: Seated) -> None:
        """Forget all but the operator's words, and take this seat."""
        self._clear()
        self.apply(seat)

    def checkpoint(self) -> Checkpoint:
        """A record of all there is."""
        slots = (
            SlotRecord(key, slot.decided, slot.promised, slot.accepted, tuple(slot.noes))
            for key, slot in self.slots.items()
        )
        stances = (Stance(proposal, yes) for proposal, yes in self.stances.items())
        return Checkpoint(self.seat, tuple(slots), tuple(self.recent.values()), tuple(stances))

    def _decide(self, decision: Decision) -> None:
        key = decision.proposal.key
        slot = self.slot(key)
        if decision.instance <= slot.known:
            return
        before = slot.value_bytes()
        slot.decided, slot.promised, slot.accepted = decision, NO_BALLOT, None
        slot.noes, slot.held, slot.round = [], None, 0
        if key != VOTERS_KEY:  # each of its lists stands for itself
            self._remember(decision)
        self._touch(key, slot.value_bytes() - before)

    def _remember(self, decision: Decision) -> None:
        self.recent[decision.proposal.key, decision.instance] = decision
        self._recent_bytes += len(decision.proposal.value)
        while len(self.recent) > self._recent_max or self._recent_bytes > RECENT_BYTES_MAX:
            self._recent_bytes -= len(self.recent.popitem(last=False)[1].proposal.value)

    def _touch(self, key: str, value_bytes: int) -> None:
        self.held_bytes += value_bytes
        self._sequence += 1
        self._changed[key] = self._sequence
        self._changes.append((self._sequence, key))
        if len(self._changes) > 2 * len(self._changed) + _LOG_STALE_MAX:
            self._changes = [change for change in self._changes if self._changed[change[1]] == change[0]]

    def _restore(self, record: Checkpoint) -> None:
        self.seat = record.seat
        for saved in record.slots:
            slot = self.slot(saved.key)
            slot.decided, slot.promised, slot.accepted = saved.decided, saved.promised, saved.accepted
            slot.noes = list(saved.noes)
            if slot.decided or slot.accepted:
                self._touch(saved.key, slot.value_bytes())
        for decision in record.recent:
            slot = self.slot(decision.proposal.key)
            # one object for one decision, so that it is not counted twice
            kept = slot.decided if slot.known == decision.instance and slot.decided is not None else decision
            self._remember(kept)
        for stance in record.stances:
            self.stances[stance.proposal] = stance.yes


def checkpoint_due(journal_bytes: int, checkpoint_bytes: int) -> bool:
    """True if the records since the last checkpoint outweigh it, so that rewriting costs a constant share."""
    return journal_bytes > max(CHECKPOINT_BYTES_MIN, 2 * checkpoint_bytes)
