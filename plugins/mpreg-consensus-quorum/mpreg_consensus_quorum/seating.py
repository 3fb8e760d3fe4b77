"""Who votes: lists of voters that follow each other, each decided by the one before.

A cluster's first list is its founder alone. The decision of the next one is the engine's own, under `VOTERS_KEY`: Paxos
among the voters of this list. It takes effect in two steps (Lamport, Malkhi and Zhou 2009, "Vertical Paxos", section
4): whoever knows the next list casts no vote in this one any more, it is *sealed*; and a voter of the next one votes as
soon as so many of this one have told it, sealed, what they decided and voted for, that one of them is in every set that
may have chosen something. So nothing is chosen in a list after the next one began to vote, and what was chosen before
is in the hands of each that votes.

The node says whom it wants to vote. The founding member is the first by name that hears from all others that they have
no list; two clusters that were founded apart do not mix: the younger one is given up, with what was decided in it.

A voter that comes back without its memory says so and does not vote in the present list; the next list makes it a voter
again, and is decided without it.
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import structs

from mpreg_consensus_quorum.desk import Desk
from mpreg_consensus_quorum.founding import Founding
from mpreg_consensus_quorum.legacies import Legacies
from mpreg_consensus_quorum.messages import (
    NO_CLUSTER,
    NO_STAMP,
    NUMBER_MAX,
    VOTERS_KEY,
    Cluster,
    Decision,
    Handover,
    Legacy,
    Roll,
    Seats,
    Stamp,
    roll_of,
)
from mpreg_consensus_quorum.proposer import Proposer
from mpreg_consensus_quorum.reader import Reader
from mpreg_consensus_quorum.records import Seated
from mpreg_consensus_quorum.voter import commits_after
from mpreg_core import NS_PER_MS, NS_PER_S, Member, NodeId, Proposal

CHANGE_NS = 500 * NS_PER_MS
"""The members are the same for about so long before they are made the voters."""

HURRY_NS = 50 * NS_PER_MS
"""The same while a pool forms, and when a voter waits to leave, or to be one again."""

CHANGE_TIMEOUT_NS = 10 * NS_PER_S
FORMING_NS = 10 * NS_PER_S
"""A pool is forming until its voters were the same for so long: whoever comes is made a voter at once."""

JOIN_NS = 60 * NS_PER_S
"""Later, and where there are `FEW` voters already, a newcomer first stays for so long.

So a crowd that comes and goes takes no majority along.
"""

FEW = 3
STAY_NS = NS_PER_S
"""How long a node that was let go from the voters waits for all of the next ones to hear from it."""


class Seating:
    """This node's seat among the voters, or the lack of one. `ready(now_ns)` is called when it may take part.

    `learn(now_ns, decision)` is called with what it decides alone.
    """

    def __init__(
        self,
        desk: Desk,
        proposer: Proposer,
        reader: Reader,
        started_ns: int,
        *,
        ready: Callable[[int], None],
        learn: Callable[[int, Decision], None],
    ) -> None:
        self._desk = desk
        self._proposer = proposer
        self._reader = reader
        self._started_ns = started_ns
        self._ready = ready
        self._learn = learn
        self._wanted: tuple[NodeId, ...] = ()
        self._founding = Founding(desk)
        self._gone: set[NodeId] = set()
        self._boots: dict[NodeId, int] = {}
        self._met: set[NodeId] = set()
        self._due_ns: dict[NodeId, int] = {}
        self._changed_ns: int | None = None
        self._to_tell: set[NodeId] = set()
        self._legacies = Legacies(desk, reader)
        self._heirs: dict[NodeId, Handover] = {}
        self._seat_token = 0
        self._is_sealed = False
        self._is_forgetful = False
        self._changes = 0
        self._is_changing = False
        self._unmet_ns = started_ns + JOIN_NS
        desk.compare = self.compare

    # what the node tells

    @property
    def may_leave(self) -> bool:
        """True when the others can go on without this node's vote, or keep its seat for it."""
        me, ids = self._desk.me, self._desk.electorate.ids
        return me in self._wanted or ids <= {me} or not (me in ids or self._to_tell)

    def begin(self) -> None:
        """A life begins: count the voters of the journal, if there are any."""
        desk, seat = self._desk, self._desk.ledger.seat
        last = next(iter(desk.ledger.decisions_after(VOTERS_KEY, seat.epoch - 1)[-1:]), None)
        roll = roll_of(last.proposal) if last is not None else None
        if last is not None and roll is not None:  # it became durable, and the seat did not
            seat = structs.replace(seat, epoch=last.instance + 1, ids=roll.ids, before=roll.before, boots=roll.boots)
        if seat.cluster != NO_CLUSTER:
            desk.electorate.count(seat.cluster, seat.epoch, seat.ids)
            self._is_forgetful = _is_forgetful(desk.me, seat)
            self._legacies.begin(seat.before)
        self._sit(structs.replace(seat, boot=desk.boot))

    def on_members(self, members: Sequence[Member]) -> None:
        """Whom not to wait for."""
        for member in members:
            self._met.add(member.id)
            if member.status in ("failed", "left"):
                self._gone.add(member.id)
            else:
                self._gone.discard(member.id)

    def on_wanted(self, now_ns: int, ids: tuple[NodeId, ...]) -> None:
        """The node says who is to vote."""
        desk = self._desk
        self._wanted = tuple(sorted(set(ids)))
        concerned = {*ids, *desk.electorate.ids}
        self._met -= self._gone - concerned
        self._gone &= concerned
        self._boots = {node: boot for node, boot in self._boots.items() if node in concerned}
        is_forming = self._changed_ns is None or now_ns - self._changed_ns < FORMING_NS
        due_ns = now_ns if is_forming else now_ns + JOIN_NS
        self._due_ns = {node: self._due_ns.get(node, due_ns) for node in self._wanted}
        if desk.electorate.stamp == NO_STAMP:
            self._founding.begin(now_ns)
        else:
            self._review(now_ns)

    def on_durable(self, now_ns: int, token: int) -> None:
        """The record of the seat is durable: the voters before are sealed here."""
        if token != self._seat_token:
            return
        self._is_sealed = True
        for heir, handover in sorted(self._heirs.items()):
            self.on_handover(heir, handover)
        self.take_part(now_ns)

    def on_decided(self, now_ns: int, decision: Decision) -> None:
        """The next list of voters is known."""
        desk, seat, roll = self._desk, self._desk.ledger.seat, roll_of(decision.proposal)
        epoch = decision.instance + 1
        if roll is None or epoch <= seat.epoch:
            desk.drop("malformed")
            return
        if desk.is_voter and desk.me not in roll.ids:
            self._to_tell = set(roll.ids)
            desk.timers.set(("stay", ""), now_ns + STAY_NS)
        self._changed_ns = now_ns
        desk.electorate.count(seat.cluster, epoch, roll.ids)
        self._legacies.begin(roll.before)
        seat = structs.replace(seat, epoch=epoch, ids=roll.ids, before=roll.before, boots=roll.boots)
        self._is_forgetful = _is_forgetful(desk.me, seat)
        self._sit(seat)

    # messages

    def compare(self, sender: NodeId, stamp: Stamp) -> None:
        """A node counts other voters: whoever is behind is helped on."""
        desk, ours = self._desk, self._desk.electorate.stamp
        if stamp == ours or sender == desk.me or stamp.cluster == NO_CLUSTER or not 0 <= stamp.epoch < NUMBER_MAX:
            return
        if ours.cluster == NO_CLUSTER or stamp.cluster < ours.cluster:
            self._join(stamp.cluster)
            self._say(sender, asks=True)
        elif stamp.cluster != ours.cluster:
            self._say(sender)
        elif stamp.epoch > ours.epoch:
            self._reader.on_gap(VOTERS_KEY, stamp.epoch - 1, sender)
        else:
            for commit in commits_after(desk, VOTERS_KEY, max(0, stamp.epoch - 1)):
                desk.out.answer(sender, commit)

    def on_seats(self, now_ns: int, sender: NodeId, message: Seats) -> None:
        """What another node counts."""
        desk, ours = self._desk, self._desk.electorate.stamp
        is_new = self._boots.get(sender) != message.boot
        self._boots[sender] = message.boot
        if message.asks or (message.stamp == NO_STAMP and ours != NO_STAMP):
            self._say(sender)
        self._founding.on_seats(sender, message.stamp)
        self.compare(sender, message.stamp)
        if message.forgot and message.stamp == ours and sender in desk.electorate.ids:
            desk.electorate.forgot.add(sender)
            is_new = True
        if is_new:
            self._review(now_ns)

    def on_handover(self, sender: NodeId, message: Handover) -> None:
        """A voter of the next list wants to know what was done in the one before; when that is sealed here."""
        desk, seat, stamp = self._desk, self._desk.ledger.seat, message.stamp
        self._heirs.pop(sender, None)
        if stamp.cluster != seat.cluster:
            self.compare(sender, stamp)
        elif stamp.epoch > seat.epoch or not self._is_sealed:
            self._heirs[sender] = message
            self.compare(sender, stamp)
        elif seat.active < stamp.epoch - 1:
            desk.drop("not_active")
        else:
            since = message.since if message.boot == desk.boot else 0
            entries, upto, more = desk.ledger.legacy(since)
            desk.out.answer(sender, Legacy(stamp, desk.boot, since, upto, more, entries))
            self._to_tell.discard(sender)

    def on_legacy(self, now_ns: int, sender: NodeId, message: Legacy) -> None:
        """What a voter of the list before did."""
        if message.stamp != self._desk.electorate.stamp or self._desk.electorate.ready:
            self._desk.drop("stale")
            return
        self._legacies.on_legacy(sender, message)
        self.take_part(now_ns)

    # timers

    def on_found(self, now_ns: int) -> None:
        """Ask who knows of voters; found when nobody does."""
        desk = self._desk
        present = [node for node in self._wanted if node not in self._gone]
        if not self._founding.is_due(now_ns, self._wanted, present):
            return
        if not self._is_sealed:
            self._founding.begin(now_ns)
            return
        desk.timers.cancel(("found", ""))
        cluster = Cluster(desk.boot + (now_ns - self._started_ns) // NS_PER_MS, desk.me)
        desk.electorate.count(cluster, 1, (desk.me,))
        self._changed_ns = now_ns
        self._sit(Seated(desk.boot, cluster, 1, (desk.me,), (), 1, (desk.boot,), desk.boot))
        target = self._target(now_ns)
        if target is not None:  # the founder's own vote decides: nothing else is before all may vote
            self._learn(now_ns, Decision(1, self._proposal(target), 1, (desk.me,), ()))
            desk.out.send(present, Seats(desk.electorate.stamp, desk.boot))

    def on_rival(self, now_ns: int) -> None:
        """Another member has the next list decided: let it, for a while."""
        if self._is_changing and self._desk.timers.is_set(("change", "")):
            self._desk.timers.set(("change", ""), now_ns + self._desk.wait_ns(2 * CHANGE_NS, 0))

    def on_change(self, now_ns: int) -> None:
        """Propose the next list, if another one is wanted; ask newcomers that were not heard of."""
        desk, electorate, target = self._desk, self._desk.electorate, self._target(now_ns)
        if not electorate.ready or not desk.is_voter:
            return
        unheard = [node for node in self._newcomers(now_ns) if node not in self._boots]
        for node in unheard:
            self._say(node, asks=True)
        if target is not None:
            self._proposer.change_voters(now_ns, self._proposal(target))
        if target is not None or unheard:
            self._changes += 1
            desk.timers.set(("change", ""), now_ns + desk.wait_ns(CHANGE_NS, self._changes))
        else:
            self._review(now_ns)

    def _proposal(self, target: tuple[NodeId, ...]) -> Proposal:
        desk, seat = self._desk, self._desk.ledger.seat
        boots = dict.fromkeys(target, 0) | self._boots | {desk.me: desk.boot}
        made = zip(seat.ids, seat.boots, strict=False)
        boots |= {node: boot for node, boot in made if node not in desk.electorate.forgot}
        roll = Roll(target, tuple(boots[node] for node in target), tuple(sorted(desk.electorate.ids)))
        name = f"voters-{desk.me}-{desk.boot:x}-{self._changes}"
        return Proposal(name, VOTERS_KEY, msgspec.msgpack.encode(roll), desk.me, 0, CHANGE_TIMEOUT_NS)

    def on_seat(self, now_ns: int) -> None:
        """This voter cannot vote yet: ask again those who have not answered."""
        desk = self._desk
        if desk.electorate.ready or not self._is_sealed or not desk.is_voter:
            return
        desk.timers.set(("seat", ""), now_ns + desk.wait_ns(desk.retry_ns, 0))
        if self._is_forgetful:
            for node in desk.electorate.others:
                self._say(node, forgot=True)
            return
        self._legacies.ask()

    def on_sync(self) -> None:
        """From time to time: ask one member without a vote, for all the voters known here may be gone."""
        desk = self._desk
        others = [node for node in self._wanted if node not in desk.electorate.ids and node != desk.me]
        if others:
            self._say(desk.rng.choice(others), asks=True)

    def on_stay(self) -> None:
        """The next voters have had their time."""
        self._to_tell.clear()

    # steps

    def take_part(self, now_ns: int) -> None:
        """Vote, or go on without a vote, as soon as that is safe."""
        desk, seat = self._desk, self._desk.ledger.seat
        if desk.electorate.ready or not self._is_sealed or desk.electorate.stamp == NO_STAMP or desk.is_held:
            return
        if desk.is_voter and seat.active < seat.epoch:
            if not self._is_forgetful and self._legacies.are_enough():
                self._legacies.take_over()
                self._sit(structs.replace(seat, active=seat.epoch))
            elif not desk.timers.is_set(("seat", "")):
                self.on_seat(now_ns)
            return
        desk.timers.cancel(("seat", ""))
        desk.electorate.ready = True
        self._ready(now_ns)
        self._review(now_ns)

    def _join(self, cluster: Cluster) -> None:
        """Be of another cluster from now on; nothing that was done in an own one counts there."""
        desk = self._desk
        if desk.electorate.stamp != NO_STAMP:
            desk.drop("cluster_given_up")
        desk.timers.cancel(("found", ""))
        seat = Seated(desk.boot, cluster, 1, (cluster.founder,), boots=(0,), since=desk.boot)
        desk.ledger.start_over(seat)
        desk.out.start_over()
        self._proposer.start_over()
        self._reader.start_over()
        desk.electorate.count(cluster, 1, seat.ids)
        self._is_forgetful = _is_forgetful(desk.me, seat)
        self._legacies.begin(())
        self._heirs.clear()
        self._sit(seat)

    def _sit(self, seat: Seated) -> None:
        """Write the seat down. Until that is durable this node takes no part."""
        desk = self._desk
        desk.electorate.ready = False
        self._is_sealed = False
        desk.ledger.apply(seat)
        self._seat_token = desk.out.persist(seat)

    def _review(self, now_ns: int) -> None:
        """Have the voters changed soon, if others are wanted. The first by name is the first to do so."""
        desk, electorate = self._desk, self._desk.electorate
        if not electorate.ready or not desk.is_voter:
            return
        unheard = [node for node in self._newcomers(now_ns) if node not in self._boots]
        for node in unheard:
            self._say(node, asks=True)
        target = self._target(now_ns)
        self._changes = 0
        is_urgent = target is not None and (bool(electorate.forgot) or not electorate.ids <= set(target))
        kept = electorate.ids & (self._met | set(self._wanted))
        if target is None and not unheard:
            later_ns = [self._due_ns.get(node, self._unmet_ns) for node in {*self._wanted, *electorate.ids} - kept]
            if later_ns and min(later_ns) > now_ns:
                desk.timers.set(("change", ""), min(later_ns))
        elif is_urgent or not desk.timers.is_set(("change", "")) or not self._is_changing:
            is_forming = self._changed_ns is not None and now_ns - self._changed_ns < FORMING_NS
            base_ns = HURRY_NS if is_urgent or is_forming else CHANGE_NS
            rank = sum(node < desk.me for node in electorate.ids - self._gone)
            desk.timers.set(("change", ""), now_ns + desk.wait_ns(base_ns, 0) + rank * HURRY_NS)
        self._is_changing = target is not None or bool(unheard)

    def _newcomers(self, now_ns: int) -> list[NodeId]:
        """Members that are to be made voters now."""
        ids, are_few = self._desk.electorate.ids, len(self._desk.electorate.ids) < FEW
        due = [node for node in self._wanted if are_few or self._due_ns[node] <= now_ns]
        return [node for node in due if node not in ids and node not in self._gone]

    def _target(self, now_ns: int) -> tuple[NodeId, ...] | None:
        """The list that is wanted: whoever votes and stays, and newcomers that were heard of; None for the same."""
        desk, ids = self._desk, self._desk.electorate.ids
        # a voter that this node has not met yet may be there: it has only begun to look around
        kept = [node for node in ids if node in self._wanted or (node not in self._met and now_ns < self._unmet_ns)]
        new = [node for node in self._newcomers(now_ns) if node in self._boots or node == desk.me]
        target = tuple(sorted(kept + new[: max(0, desk.voters_max - len(kept))]))
        is_same = set(target) == ids and not desk.electorate.forgot & ids
        return None if is_same or not target else target

    def _say(self, to: NodeId, *, asks: bool = False, forgot: bool = False) -> None:
        desk = self._desk
        desk.out.answer(to, Seats(desk.electorate.stamp, desk.boot, asks, forgot))


def _is_forgetful(me: NodeId, seat: Seated) -> bool:
    """True for a voter that was made one in a life of which its memory knows nothing: that may have used the vote."""
    return dict(zip(seat.ids, seat.boots, strict=False)).get(me, seat.since) < seat.since
