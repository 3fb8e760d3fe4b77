"""What the roles of one node share: the persistent state of figure 2, the timers, and what a step produces.

Nothing that depends on the persistent state leaves before that is durable: `behind` holds it back. The exception is a
leader's `Append`, which its own disk need not have taken in (thesis, 10.2.1).
"""

from collections import Counter, deque
from collections.abc import Sequence
from random import Random
from typing import Literal

from mpreg_consensus_raft.applied import Applied, Batch, Checkpoint, State, encode
from mpreg_consensus_raft.log import Log
from mpreg_consensus_raft.messages import Appended, Cluster, Config, Entry, RaftMessage
from mpreg_consensus_raft.options import RaftOptions
from mpreg_core import Effect, Effects, Emit, Event, LeaderChanged, NodeId, Persist, PoolTier, Send, ns

IN_FLIGHT_MAX = 1_000
"""Records on their way to the disk, and answers that wait for them; beyond that, messages are refused."""

TAIL = 256
"""Entries that stay in the log behind the state of a checkpoint."""

TAIL_BYTES_MAX = 16 * 1024 * 1024
"""A log that is larger keeps none of them."""

CHECKPOINT_BYTES_MIN = 4 * 1024 * 1024

Role = Literal["follower", "trying", "candidate", "leader"]
Timer = Literal["election", "heartbeat", "turn", "retry", "found", "replay"]


class Desk:
    """The state of one node, and its outbox.

    `boot` is the wall clock at the start of this life, ms. `is_new`: it came without a memory to a log that is older
    than this life, and may have voted or acknowledged in an earlier one: it does not vote until it has all that was
    committed.
    """

    def __init__(self, me: NodeId, tier: PoolTier, boot: int, rng: Random, options: RaftOptions) -> None:
        self.me = me
        self.boot = boot
        self.rng = rng
        self.options = options
        self.tail = min(TAIL, options.snapshot_after)
        self.election_ns, self.heartbeat_ns = map(ns, options.times_s(tier))
        self.cluster: Cluster | None = None
        self.is_new = False
        self.term = 0
        self.vote: NodeId = ""
        self.log = Log()
        self.applied = Applied()
        self.commit = 0
        self.role: Role = "follower"
        self.leader: NodeId = ""
        self.leader_heard_ns = -1 << 62
        self.desired: tuple[NodeId, ...] = ()
        self.members: set[NodeId] = set()
        self.gone: dict[NodeId, int] = {}  # failed or left: since when
        self.since: dict[NodeId, int] = {}  # when a node was first among those that are to vote
        self.timers: dict[Timer, int] = {}
        self.drops: Counter[str] = Counter()
        self.durable_index = 0
        self.journal_bytes = 0
        self.checkpoint_bytes = 0
        self._token = 0
        self._in_flight: dict[int, int] = {}
        self._at_once: list[Effect] = []
        self._record: Persist | None = None
        self._behind: deque[tuple[int, Send]] = deque()
        self._hard_changed = False
        self._first_changed: int | None = None
        self._checkpoint_due = False

    # what is known

    @property
    def config(self) -> Config | None:
        """The configuration in force."""
        return self.log.config

    @property
    def is_voter(self) -> bool:
        """True if this node may lead.

        Who is no longer in the configuration still may until that is committed: its log may be needed (thesis, 4.2.2).
        """
        log = self.log
        configs = [log.config]
        if log.config_index > self.commit:
            configs.append(log.config_at(log.config_index - 1))
        return any(config is not None and self.me in (*config.ids, *config.old) for config in configs)

    @property
    def is_stalled(self) -> bool:
        """True if the disk does not keep up, or failed."""
        return len(self._in_flight) >= IN_FLIGHT_MAX or len(self._behind) >= IN_FLIGHT_MAX

    @property
    def last_token(self) -> int:
        """The record written last, or the one that this step will write."""
        return self._token + self._is_dirty

    def is_durable(self, token: int) -> bool:
        """True if a record and all before it are."""
        return token <= self._token and token < min(self._in_flight, default=self._token + 1)

    @property
    def _is_dirty(self) -> bool:
        return self._hard_changed or self._first_changed is not None or self._checkpoint_due

    def drop(self, reason: str) -> None:
        """Count a message or call that had no effect."""
        self.drops[reason] += 1

    # timers

    def wait(self, timer: Timer, at_ns: int) -> None:
        """Set or move a timer."""
        self.timers[timer] = at_ns

    def restart_election(self, now_ns: int) -> None:
        """Randomised, so that few ask at once (section 5.2)."""
        self.timers["election"] = now_ns + round(self.election_ns * self.rng.uniform(1.0, 2.0))

    # persistent state

    def set_term(self, term: int, vote: NodeId = "") -> None:
        """A newer term, or a vote in this one."""
        self.term, self.vote = term, vote
        self._hard_changed = True

    def set_cluster(self, cluster: Cluster) -> None:
        """This log belongs to it."""
        self.cluster = cluster
        self._hard_changed = True

    def append(self, entries: Sequence[Entry]) -> None:
        """Add to the log."""
        first = self.log.last_index + 1
        self.log.append(entries)
        self._first_changed = first if self._first_changed is None else min(first, self._first_changed)

    def truncate(self, first: int) -> None:
        """Drop entries that conflict with the leader's (section 5.3)."""
        self.log.truncate(first)
        self.durable_index = min(self.durable_index, first - 1)
        for token, index in self._in_flight.items():
            self._in_flight[token] = min(index, first - 1)
        self._first_changed = first if self._first_changed is None else min(first, self._first_changed)

    def checkpoint(self) -> None:
        """Write all anew in this step."""
        self._checkpoint_due = True

    # what leaves

    def send(self, to: NodeId, message: RaftMessage) -> None:
        """What the disk has no part in."""
        self._at_once.append(Send((to,), message, "stream"))

    def behind(self, to: NodeId, message: RaftMessage) -> None:
        """As soon as all of the persistent state is durable, this step's included."""
        self._behind.append((self.last_token, Send((to,), message, "stream")))

    def appended(self, ok: bool, index: int, round_: int) -> Appended:
        """An answer to the leader."""
        assert self.cluster is not None
        return Appended(self.cluster, self.term, ok, index, round_, self.boot)

    def emit(self, event: Event) -> None:
        """State a fact."""
        self._at_once.append(Emit(event))

    def follow(self, leader: NodeId) -> None:
        """Another leader, or none."""
        if leader != self.leader:
            self.leader = leader
            self.emit(LeaderChanged(leader or None, self.term))

    def durable(self, token: int) -> None:
        """A record is durable."""
        index = self._in_flight.pop(token, None)
        if index is not None:
            self.durable_index = max(self.durable_index, min(index, self.log.last_index))

    def take(self) -> Effects:
        """The step's effects."""
        if self._is_dirty:
            self._write()
        oldest = min(self._in_flight, default=self._token + 1)
        while self._behind and self._behind[0][0] < oldest:
            self._at_once.append(self._behind.popleft()[1])
        if self._record is not None:  # it holds back what follows it in the list, so it comes last
            self._at_once.append(self._record)
            self._record = None
        if not self._at_once:
            return ()
        effects, self._at_once = self._at_once, []
        return effects

    def _write(self) -> None:
        log = self.log
        if self._checkpoint_due or self.journal_bytes > max(CHECKPOINT_BYTES_MIN, 2 * self.checkpoint_bytes):
            data = encode(self._everything())
            self.checkpoint_bytes, self.journal_bytes = len(data), 0
            is_checkpoint = True
        else:
            first = self._first_changed
            entries = () if first is None else log.between(first, 1 << 30, 1 << 62)
            assert self.cluster is not None
            data = encode(Batch(self.cluster, self.term, self.vote, first or 0, entries))
            self.journal_bytes += len(data) + 32
            is_checkpoint = False
        self._token += 1
        self._in_flight[self._token] = log.last_index
        self._record = Persist(self._token, data, is_checkpoint)
        self._hard_changed = self._checkpoint_due = False
        self._first_changed = None

    def _everything(self) -> Checkpoint:
        """The state as of now. Some entries before it stay in the log, for members that are not far behind."""
        log, applied = self.log, self.applied
        tail = self.tail if log.size <= TAIL_BYTES_MAX else 0
        if applied.index - tail > log.base:
            log.compact(applied.index - tail)
        entries = log.between(log.base + 1, 1 << 30, 1 << 62)
        return Checkpoint(
            self.cluster, self.term, self.vote, log.base, log.base_term, log.base_config, self.capture(), entries
        )

    def capture(self) -> State:
        """A snapshot of what is applied."""
        term = self.log.term_at(self.applied.index)
        assert term is not None
        return self.applied.capture(term, self.log.config_at(self.applied.index))
