"""A leader: replicates, commits, dates its authority, and changes who votes."""

from collections.abc import Callable

from mpreg_consensus_raft.applied import encode
from mpreg_consensus_raft.desk import Desk
from mpreg_consensus_raft.majority import agreed, heard_by, members
from mpreg_consensus_raft.messages import (
    CHUNK_BYTES,
    ENTRIES_MAX,
    Append,
    Appended,
    Chunk,
    Chunked,
    Config,
    Entry,
    Lead,
)
from mpreg_core import NS_PER_S, NodeId, Proposal

WINDOW = 8
"""`Append`s with entries that are on their way to one follower; what comes meanwhile goes as one batch."""

APPEND_BYTES = 512 * 1024
UNCOMMITTED_BYTES_MAX = 64 * 1024 * 1024
READY_WITHIN = 64
"""A newcomer whose log is so close to the leader's may vote (thesis, 4.2.1)."""

STABLE_NS = 60 * NS_PER_S
"""So long a newcomer has to be there before it may vote: who comes and goes with a crowd takes no majority along."""

FEW = 3
FEW_NS = 2 * NS_PER_S
"""Up to so many voters newcomers need not wait that long: a pool with fewer does not outlive its leader."""

REPLACE_NS = 60 * NS_PER_S
"""A voter that has been dead for this long makes place for a member that lives."""


LEASE_SHARE = 0.8
"""A lease ends so much of the election time-out after the question whose answers prove it (thesis, 6.4.1)."""


class Follower:
    """What the leader knows of one other. `probing`: where their logs agree is not known yet."""

    __slots__ = ("acked", "boot", "heard_ns", "inflight", "match", "next", "offset", "probing", "round", "snapshot")

    def __init__(self, now_ns: int, next_index: int) -> None:
        self.match = 0
        self.next = next_index
        self.probing = True
        self.inflight = 0
        self.acked = True  # since the last heartbeat
        self.heard_ns = now_ns
        self.round = 0
        self.boot = 0
        self.snapshot: tuple[int, int, bytes] | None = None  # index, term, data
        self.offset = 0


class Leading:
    """The duties of section 5.3 and on, while this node leads."""

    def __init__(self, desk: Desk, advance: Callable[[int, int], None], retire: Callable[[int], None]) -> None:
        self._desk = desk
        self._advance = advance
        self._retire = retire
        self._followers: dict[NodeId, Follower] = {}
        self._round = 0
        self._round_open = False
        self._reads: list[tuple[NodeId, int]] = []
        self._reads_in_round: list[tuple[NodeId, int]] = []
        self._round_commit = 0
        self._read_round = 0
        self._asked_ns: dict[int, int] = {}  # rounds of a lease: when they were begun
        self._lease_ns = -1
        self._no_lease_ns = -1
        self._in_log: dict[str, int] = {}  # proposals that are not applied yet, with the bytes of their values
        self._collected: list[Proposal] = []  # this turn's
        self._commit_told = True
        self._open_bytes = 0
        self.answer_read: Callable[[int, NodeId, int, int], None] = lambda now_ns, to, nonce, index: None

    def begin(self, now_ns: int) -> None:
        """Elected: an entry of the own term, for only with it may what is before be committed (5.4.2, figure 8)."""
        desk = self._desk
        desk.role = "leader"
        desk.timers.pop("election", None)
        desk.follow(desk.me)
        self._followers = {}
        self._reads, self._reads_in_round, self._round_open = [], [], False
        self._asked_ns, self._lease_ns = {}, -1
        self._collected, self._commit_told = [], True
        log = desk.log
        unapplied = log.between(max(desk.applied.index, log.base) + 1, 1 << 30, 1 << 62)
        self._in_log = {each.proposal.id: len(each.proposal.value) for each in unapplied if each.proposal is not None}
        self._open_bytes = sum(self._in_log.values())
        desk.append((Entry(desk.term),))
        self._meet(now_ns)
        self.on_heartbeat(now_ns)

    # proposals

    def propose(self, now_ns: int, proposal: Proposal) -> None:
        """Put it in the log, once; with all others of this turn, so that they are one record and one message."""
        desk = self._desk
        if proposal.id in desk.applied.recent or proposal.id in self._in_log:
            return
        if self._open_bytes > UNCOMMITTED_BYTES_MAX or not desk.applied.has_room(proposal):
            desk.drop("full")
            return
        self._in_log[proposal.id] = len(proposal.value)
        self._open_bytes += len(proposal.value)
        self._collected.append(proposal)
        desk.wait("turn", now_ns + 1)

    def on_turn(self, now_ns: int) -> None:
        """A turn is over: append what it brought, and say what was committed meanwhile."""
        desk = self._desk
        collected, self._collected = self._collected, []
        if desk.role != "leader":
            return  # their proposers send them to whoever leads now
        if collected:
            desk.append([Entry(desk.term, proposal) for proposal in collected])
        told, self._commit_told = self._commit_told, True
        self._replicate(empty=not told)

    def on_applied(self, proposal: str) -> None:
        """A proposal left the log's open part."""
        self._open_bytes -= self._in_log.pop(proposal, 0)

    # replication

    def _meet(self, now_ns: int) -> None:
        """Everybody who votes, and who is to."""
        desk = self._desk
        config = desk.config
        assert config is not None
        wanted = {*members(config), *desk.desired} - {desk.me}
        for node in sorted(wanted - self._followers.keys()):
            self._followers[node] = Follower(now_ns, desk.log.last_index + 1)
        for node in sorted(self._followers.keys() - wanted):
            del self._followers[node]

    def on_heartbeat(self, now_ns: int) -> None:
        """Now and then: show that the leader lives, send again what was lost, and see whether a majority is there."""
        desk = self._desk
        config = desk.config
        assert config is not None
        desk.wait("heartbeat", now_ns + desk.heartbeat_ns)
        for follower in self._followers.values():
            if not follower.acked and follower.inflight:
                follower.inflight, follower.probing, follower.next = 0, True, follower.match + 1
            follower.acked = False
        if not heard_by(config, lambda node: node == desk.me or self._heard(now_ns, node)):
            self._retire(now_ns)  # check-quorum (thesis, 6.2): others may have elected another
            return
        self.change_voters(now_ns)
        if desk.options.lease_reads:
            self._round += 1
            self._asked_ns[self._round] = now_ns
        for node, follower in self._followers.items():
            self._send(node, follower, empty=True)

    def _heard(self, now_ns: int, node: NodeId) -> bool:
        follower = self._followers.get(node)
        return follower is not None and now_ns - follower.heard_ns <= self._desk.election_ns

    def _replicate(self, *, empty: bool = False) -> None:
        for node, follower in self._followers.items():
            if follower.inflight < (1 if follower.probing else WINDOW):
                self._send(node, follower, empty=empty)

    def _send(self, node: NodeId, follower: Follower, *, empty: bool) -> None:
        desk, log = self._desk, self._desk.log
        assert desk.cluster is not None
        if follower.snapshot is not None or follower.next <= log.base:
            self._send_chunk(node, follower)
            return
        has_place = follower.inflight < (1 if follower.probing else WINDOW)
        entries = log.between(follower.next, ENTRIES_MAX, APPEND_BYTES) if has_place else ()
        if not entries and not empty:
            return
        term = log.term_at(follower.next - 1)
        assert term is not None
        desk.send(node, Append(desk.cluster, desk.term, follower.next - 1, term, desk.commit, self._round, entries))
        if entries:
            follower.inflight += 1
            follower.next += len(entries)

    def _send_chunk(self, node: NodeId, follower: Follower) -> None:
        desk = self._desk
        assert desk.cluster is not None
        if follower.snapshot is None:
            state = desk.capture()
            follower.snapshot = (state.index, state.term, encode(state))
            follower.offset = 0
        index, term, data = follower.snapshot
        part = data[follower.offset : follower.offset + CHUNK_BYTES]
        desk.send(node, Chunk(desk.cluster, desk.term, index, term, follower.offset, len(data), part, self._round))
        follower.inflight = 1

    def on_chunked(self, now_ns: int, sender: NodeId, chunked: Chunked) -> None:
        """A follower wants the next part."""
        follower = self._followers.get(sender)
        if follower is None or chunked.term != self._desk.term:
            return
        self._is_there(now_ns, follower, chunked.round)
        if follower.snapshot is not None and follower.snapshot[0] == chunked.index:
            follower.offset = min(chunked.offset, len(follower.snapshot[2]))
            self._send_chunk(sender, follower)

    def on_appended(self, now_ns: int, sender: NodeId, appended: Appended) -> None:
        """Leaders, rule 3 (figure 2)."""
        desk = self._desk
        follower = self._followers.get(sender)
        if follower is None or appended.term != desk.term or appended.index > desk.log.last_index:
            desk.drop("stale")
            return
        self._is_there(now_ns, follower, appended.round)
        if appended.boot != follower.boot:  # another life: it may have forgotten what it acknowledged
            follower.boot, follower.match, follower.snapshot = appended.boot, 0, None
        follower.inflight = max(0, follower.inflight - 1)
        if not appended.ok:
            if appended.index >= follower.match:
                follower.next = max(min(appended.index + 1, follower.next - 1), follower.match + 1)
                follower.probing, follower.inflight = True, 0
                self._send(sender, follower, empty=True)
            return
        if appended.index > follower.match:
            follower.match = appended.index
        if follower.snapshot is not None and appended.index >= follower.snapshot[0]:
            follower.snapshot = None
            follower.next = appended.index + 1
        follower.probing = False
        follower.next = max(follower.next, follower.match + 1)
        self.count(now_ns)
        if desk.role == "leader" and follower.next <= desk.log.last_index:
            self._send(sender, follower, empty=False)

    def _is_there(self, now_ns: int, follower: Follower, round_: int) -> None:
        follower.heard_ns = now_ns
        follower.acked = True
        if round_ > follower.round:
            follower.round = round_
            self._confirm(now_ns)

    def count(self, now_ns: int) -> None:
        """Commit what a majority has, if it is of this term (5.4.2)."""
        desk = self._desk
        config = desk.config
        assert config is not None
        match = {node: follower.match for node, follower in self._followers.items()}
        match[desk.me] = desk.durable_index
        index, before = agreed(config, match), desk.commit
        if index > desk.commit and desk.log.term_at(index) == desk.term:
            self._advance(now_ns, index)
            self._commit_told = False
            desk.wait("turn", now_ns + 1)
            self._confirm(now_ns)
            self._begin_round(now_ns)
            if before < desk.log.config_index and self.change_voters(now_ns):
                self._replicate()

    # reads (thesis, 6.4)

    def read(self, now_ns: int, reader: NodeId, nonce: int) -> None:
        """Somebody wants to read what is committed now: first find out whether this node still leads."""
        desk = self._desk
        if now_ns < self._lease_ns and desk.log.term_at(desk.commit) == desk.term:
            self.answer_read(now_ns, reader, nonce, desk.commit)
            return
        self._reads.append((reader, nonce))
        self._begin_round(now_ns)

    def _begin_round(self, now_ns: int) -> None:
        desk = self._desk
        if self._round_open or not self._reads or desk.log.term_at(desk.commit) != desk.term:
            return  # a new leader knows what is committed only when an entry of its own term is
        self._round_open = True
        self._round += 1
        self._read_round = self._round
        self._round_commit = desk.commit
        self._reads_in_round, self._reads = self._reads, []
        for node, follower in self._followers.items():
            self._send(node, follower, empty=True)
        self._confirm(now_ns)

    def _confirm(self, now_ns: int) -> None:
        desk = self._desk
        config = desk.config
        if config is None or not (self._round_open or self._asked_ns):
            return
        rounds = {node: follower.round for node, follower in self._followers.items()}
        rounds[desk.me] = self._round
        heard = agreed(config, rounds)
        self._date_lease(heard)
        if self._round_open and heard >= self._read_round:
            self._round_open = False
            done, self._reads_in_round = self._reads_in_round, []
            for reader, nonce in done:
                self.answer_read(now_ns, reader, nonce, self._round_commit)
            self._begin_round(now_ns)

    def _date_lease(self, heard: int) -> None:
        """A majority answered all rounds up to one."""
        desk = self._desk
        for round_ in [each for each in self._asked_ns if each <= heard]:
            until_ns = self._asked_ns.pop(round_) + round(desk.election_ns * LEASE_SHARE)
            if until_ns > self._no_lease_ns:
                self._lease_ns = max(self._lease_ns, until_ns)

    # who votes (section 6)

    def change_voters(self, now_ns: int) -> bool:
        """Go one step towards the voters that are wanted; True if the log grew. One change at a time."""
        desk, log = self._desk, self._desk.log
        config = desk.config
        assert config is not None
        if desk.role != "leader" or log.config_index > desk.commit or log.term_at(desk.commit) != desk.term:
            return False
        if config.old:
            desk.append((Entry(desk.term, config=Config(config.ids)),))
            self._meet(now_ns)
            return True
        self._meet(now_ns)
        if desk.me not in config.ids:
            self.hand_over(now_ns)
            return False
        wanted = self._wanted(now_ns, config)
        if not wanted or wanted == tuple(sorted(config.ids)):
            return False
        desk.append((Entry(desk.term, config=Config(wanted, config.ids)),))
        return True

    def _wanted(self, now_ns: int, config: Config) -> tuple[NodeId, ...]:
        """The voters that are still there, and as many newcomers as there is place for: the oldest that are ready."""
        desk = self._desk
        stay = [node for node in config.ids if node in desk.desired]
        ready = sorted(
            (desk.since.get(node, now_ns), node)
            for node, follower in self._followers.items()
            if node not in config.ids
            and node not in desk.gone
            and follower.match
            and follower.match + READY_WITHIN >= desk.log.last_index
            and now_ns - desk.since.get(node, now_ns) >= min(FEW_NS, STABLE_NS)
        )
        stable = [each for each in ready if now_ns - each[0] >= STABLE_NS]
        ready = stable if len(stay) >= FEW else [*stable, *(each for each in ready if each not in stable)]
        ready = ready[: max(len(stable), FEW - len(stay))]
        dead = [node for node in stay if now_ns - desk.gone.get(node, now_ns) >= REPLACE_NS]
        place = desk.options.voters_max - len(stay)
        if dead and len(ready) > place >= 0:
            stay.remove(dead[0])
            place += 1
        return tuple(sorted([*stay, *(node for _, node in ready[: max(0, place)])]))

    def hand_over(self, now_ns: int) -> None:
        """Have the follower that is furthest take over (thesis, 3.10). It will be elected within this one's lease."""
        desk = self._desk
        self._lease_ns, self._no_lease_ns = -1, now_ns + 3 * desk.election_ns
        config = desk.config
        if config is None or desk.cluster is None:
            return
        best = [(-self._followers[node].match, node) for node in config.ids if node in self._followers]
        if best:
            desk.behind(min(best)[1], Lead(desk.cluster, desk.term))
