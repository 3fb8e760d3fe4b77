"""Linearizable reads, and the catching up of a member that missed decisions.

Each voter numbers the changes of its keys, so "what changed since I asked you last" is a short answer. This node
mirrors what every voter said: which instance of a key is decided, and whether the voter voted in the one after it.

A read is answered when, after it was asked for, `needed` voters have reported, everything that any voter reported as
decided is applied here, and no vote reported can belong to a quorum: a decision may be known to its finder alone, but
the votes that made it are at `needed` voters, and so at one at least of those that reported. Votes that may belong to a
quorum are settled by a recovery, when the decision does not arrive by itself in the meantime.
"""

from itertools import islice

from mpreg_consensus_quorum.desk import Desk
from mpreg_consensus_quorum.messages import (
    FETCH_MAX,
    NUMBER_MAX,
    Entry,
    Fetch,
    Inquire,
    Inventory,
    is_key,
)
from mpreg_consensus_quorum.proposer import Proposer
from mpreg_core import NS_PER_S, Lane, NodeId, ReadDone

SYNC_INTERVAL_NS = 5 * NS_PER_S
"""So long after a decision or a change of members, give or take a quarter, a member asks one voter what it missed.

While nothing happens it asks ever more seldom, up to eight times as long apart: a pool at rest is silent.
"""

READS_MAX = 1_000
"""Reads that wait; further ones are refused at once."""

MIRROR_KEYS_MAX = 100_000
RECOVERIES_PER_ROUND_MAX = 16

_NONCE_BITS = 20
"""Nonces count on from a multiple of the node's life, so that an answer to an earlier life is not taken for one."""


class Round:
    """One round of questions for all reads that were asked for before it."""

    def __init__(self, nonce: int, reads: tuple[str, ...]) -> None:
        self.nonce = nonce
        self.reads = reads
        self.reported: set[NodeId] = set()
        self.attempts = 0


class Reader:
    """All reads of this node share rounds: one runs, the later reads wait for the next."""

    def __init__(self, desk: Desk, proposer: Proposer) -> None:
        self._desk = desk
        self._proposer = proposer
        self._waiting: dict[str, None] = {}
        self._round: Round | None = None
        self._nonce = 0
        self._cursors: dict[NodeId, tuple[int, int]] = {}  # voter -> (its life, its changes that we know)
        self._votes: dict[str, dict[NodeId, tuple[int, int]]] = {}  # key -> voter -> (instance, epoch) of its vote
        self._behind: dict[str, tuple[int, NodeId]] = {}  # key -> (instance decided, who said so)
        self._fetching: set[str] = set()
        self._syncs_at_rest = 0
        self._fetches = 0

    @property
    def waiting_count(self) -> int:
        """Reads that wait."""
        return len(self._waiting)

    @property
    def behind_count(self) -> int:
        """Keys of which this node lacks decisions, as far as it knows."""
        return len(self._behind)

    # inputs

    def on_read(self, now_ns: int, read: str, timeout_ns: int) -> None:
        """A read waits from now on, for at most `timeout_ns`."""
        if read in self._waiting:
            return
        if len(self._waiting) >= READS_MAX or timeout_ns <= 0:
            self._desk.out.emit(ReadDone(read, False, f"{READS_MAX} reads wait" if timeout_ns > 0 else "no time left"))
            return
        self._waiting[read] = None
        self._desk.timers.set(("read", read), now_ns + timeout_ns)
        if self._round is None:
            self._begin(now_ns)

    def on_read_time_out(self, read: str) -> None:
        """A read's time is up."""
        if read not in self._waiting:
            return
        del self._waiting[read]
        self._desk.out.emit(ReadDone(read, False, "no quorum"))
        if not self._waiting:
            self._round = None
            self._desk.timers.cancel(("round", ""))

    def start_over(self) -> None:
        """Nothing that the voters said counts any more."""
        self._cursors.clear()
        self._votes.clear()
        self._behind.clear()
        self._fetching.clear()
        self._round = None
        self._desk.timers.cancel(("round", ""))

    def on_ready(self, now_ns: int) -> None:
        """The voters are others, or this node may take part from now on."""
        ids = self._desk.electorate.ids
        for voter in sorted(self._cursors.keys() - ids):
            self._forget(voter)
        self._round = None
        self._nonce = max(self._nonce, self._desk.ledger.boot << _NONCE_BITS)
        self._desk.timers.cancel(("round", ""))
        self._syncs_at_rest = 0
        self._set_sync(now_ns)
        self._begin(now_ns)

    def on_change(self, now_ns: int) -> None:
        """Something happened of which this node may have missed a part: ask soon."""
        if self._syncs_at_rest:
            self._syncs_at_rest = 0
            self._set_sync(now_ns)

    def on_inquire(self, sender: NodeId, message: Inquire) -> None:
        """The voter's part: report what changed."""
        desk = self._desk
        if message.stamp != desk.electorate.stamp:
            desk.drop("other_voters")
            desk.compare(sender, message.stamp)
        elif not desk.electorate.ready or not desk.is_voter:
            desk.drop("not_voting")
        else:
            boot = desk.ledger.boot
            since = message.since if message.boot == boot else 0
            entries, upto, more = desk.ledger.inventory(since)
            lane = _lane(message.nonce)
            desk.out.answer(sender, Inventory(message.nonce, boot, since, upto, more, entries), lane)

    def on_inventory(self, now_ns: int, sender: NodeId, message: Inventory) -> None:
        """A voter's report. It counts for the round that asked for it, when it has no gap to what was known."""
        desk = self._desk
        if sender not in desk.electorate.ids:
            desk.drop("not_a_voter")
            return
        boot, known = self._cursors.get(sender, (-1, 0))
        if boot != message.boot:
            self._forget(sender)
            known = 0
        if not message.since <= known <= message.upto or not all(_is_plausible(e) for e in message.entries):
            desk.drop("stale")
            return
        if len(self._behind) + len(self._votes) > MIRROR_KEYS_MAX:
            desk.drop("full")  # asked for again when there is room; a read must not overlook it
            return
        self._cursors[sender] = (message.boot, message.upto)
        self._absorb(sender, message.entries)
        if message.more and message.upto > message.since:
            self._inquire(sender, message.nonce)
        elif self._round is not None and message.nonce == self._round.nonce:
            self._round.reported.add(sender)
        self._fetch()
        self._check(now_ns)

    def on_timer(self, now_ns: int) -> None:
        """The round takes long: ask again who has not reported, and settle what stands in the way."""
        current, desk = self._round, self._desk
        if current is None:
            return
        current.attempts += 1
        desk.timers.set(("round", ""), now_ns + desk.wait_ns(desk.retry_ns, current.attempts))
        for voter in desk.electorate.others:
            if voter not in current.reported:
                self._inquire(voter, current.nonce)
        self._fetch_again()
        if len(current.reported) >= desk.electorate.needed:
            for key in self._blocked(current):
                self._proposer.recover(now_ns, key)

    def on_sync(self, now_ns: int) -> None:
        """From time to time: ask one voter what this node missed."""
        self._syncs_at_rest += 1
        self._set_sync(now_ns)
        others = self._desk.electorate.others
        if self._desk.electorate.ready and others:
            if self._round is None:
                self._inquire(self._desk.rng.choice(others), 0)
            self._fetch_again()

    def set_fetch(self, now_ns: int) -> None:
        """While decisions are missing that are known to exist, ask for them again and again."""
        timers = self._desk.timers
        if not self._behind:
            self._fetches = 0
        elif not timers.is_set(("fetch", "")):
            timers.set(("fetch", ""), now_ns + self._desk.wait_ns(self._desk.retry_ns, self._fetches))
            self._fetches += 1

    def on_fetch(self) -> None:
        """They have not come."""
        if self._behind:
            self._fetch_again()

    def on_gap(self, key: str, instance: int, source: NodeId) -> None:
        """A decision came that does not follow what is known here."""
        if len(self._behind) < MIRROR_KEYS_MAX and instance >= self._behind.get(key, (0, ""))[0]:
            self._behind[key] = (instance, source)
            self._fetching.discard(key)
            self._fetch()

    def on_decided(self, now_ns: int, key: str, instance: int) -> None:
        """An instance is settled here."""
        if key in self._behind and self._behind[key][0] <= instance:
            del self._behind[key]
        votes = self._votes.get(key)
        if votes is not None:
            left = {voter: vote for voter, vote in votes.items() if vote[0] > instance}
            if left:
                self._votes[key] = left
            else:
                del self._votes[key]
        if key in self._fetching:
            self._fetching.discard(key)
            self._fetch()
        self.on_change(now_ns)
        self._check(now_ns)

    def on_empty(self, now_ns: int, key: str) -> None:
        """A recovery found that nothing was chosen: the votes reported so far are of no account."""
        self._votes.pop(key, None)
        self._behind.pop(key, None)
        self._check(now_ns)

    # steps

    def _begin(self, now_ns: int) -> None:
        desk = self._desk
        if not self._waiting or not desk.electorate.ready:
            return
        self._nonce += 1
        current = self._round = Round(self._nonce, tuple(self._waiting))
        desk.timers.set(("round", ""), now_ns + desk.wait_ns(desk.retry_ns, 0))
        for voter in desk.electorate.others:
            self._inquire(voter, current.nonce)
        if desk.is_voter:
            self._absorb_own()
            current.reported.add(desk.me)
        self._check(now_ns)

    def _absorb_own(self) -> None:
        """This voter's own report, without the letters."""
        desk = self._desk
        _, since = self._cursors.get(desk.me, (0, 0))
        more = True
        while more:
            entries, since, more = desk.ledger.inventory(since)
            self._absorb(desk.me, entries)
        self._cursors[desk.me] = (desk.ledger.boot, since)

    def _absorb(self, voter: NodeId, entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            known = self._desk.ledger.known(entry.key)
            if entry.decided > known and entry.decided >= self._behind.get(entry.key, (0, ""))[0]:
                self._behind[entry.key] = (entry.decided, voter)
            votes = self._votes.get(entry.key)
            if entry.open_epoch is not None and entry.decided + 1 > known:
                self._votes.setdefault(entry.key, {})[voter] = (entry.decided + 1, entry.open_epoch)
            elif votes is not None and votes.pop(voter, None) is not None and not votes:
                del self._votes[entry.key]

    def _blocked(self, current: Round) -> list[str]:
        """Keys that keep the round from its end: decisions that are not here, and votes that may belong to one."""
        electorate = self._desk.electorate
        found = list(islice(self._behind, RECOVERIES_PER_ROUND_MAX))
        silent = electorate.ids - current.reported
        for key, votes in self._votes.items():
            if len(found) >= RECOVERIES_PER_ROUND_MAX:
                break
            voters = electorate.ids & votes.keys()
            is_older = any(votes[voter][1] != electorate.epoch for voter in sorted(voters))
            if is_older or len(voters | silent) >= electorate.needed:
                found.append(key)
        return found

    def _check(self, now_ns: int) -> None:
        """End the round if nothing is in its way any more."""
        current, electorate = self._round, self._desk.electorate
        if current is None or not electorate.ready or len(current.reported) < electorate.needed:
            return
        if self._blocked(current):
            return
        self._round = None
        self._desk.timers.cancel(("round", ""))
        for read in current.reads:
            if read in self._waiting:
                del self._waiting[read]
                self._desk.timers.cancel(("read", read))
                self._desk.out.emit(ReadDone(read, True))
        self._begin(now_ns)

    def _inquire(self, voter: NodeId, nonce: int) -> None:
        boot, since = self._cursors.get(voter, (0, 0))
        self._desk.out.answer(voter, Inquire(self._desk.electorate.stamp, nonce, boot, since), _lane(nonce))

    def _fetch(self) -> None:
        """Ask for decisions that are known to exist, a batch at a time, of one member that has them."""
        if self._fetching or not self._behind:
            return
        source = next(iter(self._behind.values()))[1]
        batch = [key for key, (_, who) in islice(self._behind.items(), 4 * FETCH_MAX) if who == source][:FETCH_MAX]
        self._fetching.update(batch)
        self._desk.out.answer(
            source,
            Fetch(self._desk.electorate.stamp.cluster, tuple((key, self._desk.ledger.known(key)) for key in batch)),
        )

    def _fetch_again(self) -> None:
        """The last batch was not answered in full: it goes behind the others, whose source may be another."""
        for key in sorted(self._fetching & self._behind.keys()):
            self._behind[key] = self._behind.pop(key)
        self._fetching.clear()
        self._fetch()

    def _forget(self, voter: NodeId) -> None:
        """Drop what a voter said in an earlier life, or before it lost its vote."""
        self._cursors.pop(voter, None)
        for key in [key for key, votes in self._votes.items() if votes.pop(voter, None) is not None and not votes]:
            del self._votes[key]

    def _set_sync(self, now_ns: int) -> None:
        self._desk.timers.set(("sync", ""), now_ns + self._desk.wait_ns(SYNC_INTERVAL_NS, self._syncs_at_rest))


def _lane(nonce: int) -> Lane:
    """A round waits for its answers. Outside of one a lost question is asked again, and is not worth a connection."""
    return "stream" if nonce else "datagram"


def _is_plausible(entry: Entry) -> bool:
    return is_key(entry.key) and 0 <= entry.decided < NUMBER_MAX
