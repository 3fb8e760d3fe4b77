"""One pool's table: the one truth, at this node, about the pool's members.

It merges records and verdicts by incarnation and gravity, refutes what is said of this node itself, and says what
changed. It decides nothing about when to probe or whom to tell.
"""

from collections.abc import Iterator

from msgspec import Struct, structs

from mpreg_core.contracts.events import MemberChange, MemberChanged, NameConflict, Verdict
from mpreg_core.contracts.members import Member, Status
from mpreg_core.ids import NodeId
from mpreg_core.limits import MEMBERS_PER_POOL_MAX, REAP_AFTER_NS
from mpreg_core.membership.member import GRAVITY, compact, is_credible, supersedes, version


class Entry(Struct, gc=False):
    """A member with what this node keeps beside the record: last change (monotonic ns), last round trip."""

    member: Member
    since_ns: int
    rtt_ns: int | None = None


class Outcome(Struct, frozen=True):
    """What a merge did. `refute` asks the node to raise its incarnation above the given one."""

    change: MemberChanged | None = None
    conflict: NameConflict | None = None
    refute: int | None = None


UNCHANGED = Outcome()
_GONE: frozenset[Status] = frozenset(("failed", "left"))


class PoolTable:
    """The members of a pool, this node included.

    `rejected` counts records that were not credible, over the bound, or too far ahead.
    """

    def __init__(self, me: NodeId) -> None:
        self._me = me
        self._entries: dict[NodeId, Entry] = {}
        self.rejected = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, node: NodeId) -> Entry | None:
        """The entry of a member."""
        return self._entries.get(node)

    def member(self, node: NodeId) -> Member | None:
        """The record of a member."""
        entry = self._entries.get(node)
        return entry.member if entry is not None else None

    def present(self) -> list[Member]:
        """Alive and suspect members, by id."""
        return sorted((e.member for e in self if e.member.status not in _GONE), key=lambda member: member.id)

    def count(self, status: Status) -> int:
        """How many members have a status."""
        return sum(1 for entry in self if entry.member.status == status)

    def set_own(self, now_ns: int, me: Member) -> None:
        """This node's own record, as it publishes it."""
        held = self._entries.get(me.id)
        self._entries[me.id] = Entry(me, held.since_ns if held and held.member.status == me.status else now_ns)

    def measured(self, node: NodeId, rtt_ns: int) -> int | None:
        """A round trip was measured. Gives the shorter of it and the one before, for one alone may have met a queue.

        None if there is no such member, or nothing was measured before.
        """
        entry = self._entries.get(node)
        if entry is None:
            return None
        before, entry.rtt_ns = entry.rtt_ns, rtt_ns
        return before if before is None else min(before, rtt_ns)

    def is_news(self, member: Member) -> bool:
        """True if merging the record would change anything or call for an answer."""
        return supersedes(member, self.member(member.id))

    def merge(self, now_ns: int, member: Member, cause: str, by: NodeId = "") -> Outcome:
        """Take over a record from the network, if it wins."""
        held = self.member(member.id)
        if not is_credible(member):
            self.rejected += 1
            return UNCHANGED
        if member.id == self._me and held is not None:
            return self._about_myself(held, member)
        if not supersedes(member, held):
            self.rejected += held is not None and version(member) > version(held)
            return UNCHANGED
        if held is None and len(self._entries) >= MEMBERS_PER_POOL_MAX:
            self.rejected += 1
            return UNCHANGED
        conflict = _conflict(held, member) if held is not None else None
        if conflict is not None and conflict.refused == _where(member):
            return Outcome(conflict=conflict)
        return Outcome(change=self._put(now_ns, held, member, cause, by), conflict=conflict)

    def conclude(self, now_ns: int, verdict: Verdict) -> Outcome:
        """Take over a detector's verdict about the incarnation that the table knows.

        One about a higher incarnation waits for that incarnation's record, which its owner is spreading: the verdict
        does not say what else changed with it. `alive` changes nothing here, for only the member itself can take an
        accusation back; core tells it that it is accused (`Merging.on_verdict`).
        """
        held = self.member(verdict.peer)
        if held is None or held.status == "left":
            return UNCHANGED
        if verdict.peer == self._me:
            accused = verdict.status != "alive" and verdict.incarnation >= held.incarnation
            return Outcome(refute=verdict.incarnation) if accused else UNCHANGED
        if verdict.incarnation != held.incarnation:
            return UNCHANGED
        if GRAVITY[verdict.status] <= GRAVITY[held.status]:
            return UNCHANGED
        member = structs.replace(held, status=verdict.status)
        return Outcome(change=self._put(now_ns, held, member, verdict.cause, verdict.by))

    def reap(self, now_ns: int) -> list[NodeId]:
        """Forget members that have been failed or left for `REAP_AFTER_NS`."""
        old = [
            node for node, entry in self._entries.items()
            if entry.member.status in _GONE and now_ns - entry.since_ns >= REAP_AFTER_NS and node != self._me
        ]  # fmt: skip
        for node in old:
            del self._entries[node]
        return sorted(old)

    def _about_myself(self, mine: Member, member: Member) -> Outcome:
        """A record of this node that came from elsewhere: an accusation, an older self, or another process."""
        if member.started_ms != mine.started_ms and member.address != mine.address and member.status == "alive":
            conflict = _conflict(mine, member)
            if conflict is not None:
                ours = structs.replace(conflict, ours=conflict.refused == _where(mine))
                return Outcome(conflict=ours, refute=None if ours.ours else member.incarnation)
        accused = member.status != "alive" and member.incarnation >= mine.incarnation
        if mine.status != "left" and (accused or member.incarnation > mine.incarnation):
            return Outcome(refute=member.incarnation)
        return UNCHANGED

    def _put(self, now_ns: int, held: Member | None, member: Member, cause: str, by: NodeId) -> MemberChanged:
        member = compact(member)
        entry = self._entries.get(member.id)
        changed = held is None or held.status != member.status
        if entry is None:
            self._entries[member.id] = Entry(member, now_ns)
        else:
            entry.member = member
            entry.since_ns = now_ns if changed else entry.since_ns
        return MemberChanged(_name_of(held, member), member, held.status if held else None, cause, by)


def _name_of(held: Member | None, member: Member) -> MemberChange:
    if held is None:
        return "joined"
    if held.status == member.status:
        return "updated"
    if member.status == "alive":
        names: dict[Status, MemberChange] = {"failed": "recovered", "suspect": "refuted", "left": "joined"}
        return names[held.status]
    return member.status


def _where(member: Member) -> str:
    return f"{member.address.host}:{member.address.membership}"


def _conflict(held: Member, new: Member) -> NameConflict | None:
    """Two live processes with one id: the one that started later must stop (ties: the higher address)."""
    if held.address == new.address or held.started_ms == new.started_ms or held.status != "alive":
        return None
    if new.status != "alive":
        return None
    older, younger = sorted((held, new), key=lambda member: (member.started_ms, _where(member)))
    return NameConflict(held.id, _where(older), _where(younger), ours=False)
