"""Proposals and linearizable access: what core adds around a pool's consensus engine.

A proposal's key is a replicated key of policy `consensus`: once committed, the store holds the value and the domain's
other pools hear of it. A compare-and-set names the decision it was read at; it counts only if it becomes the very next
one for its key, which every member can tell from the index alone.
"""

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from mpreg_core.contracts.api import Json, Scope
from mpreg_core.contracts.consensus import Proposal, ProposalView
from mpreg_core.contracts.events import Decided, ReadDone, SnapshotInstalled
from mpreg_core.errors import (
    ConflictError,
    MpregError,
    NoQuorumError,
    NotFoundError,
    OverloadedError,
    PayloadTooLargeError,
    ProposalError,
)
from mpreg_core.ids import PoolTier
from mpreg_core.limits import ITEM_BYTES_MAX, PROPOSALS_MAX
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.node.replication import Replication
from mpreg_core.node.state import NodeState
from mpreg_core.registry.failover import check_failover
from mpreg_core.units import NS_PER_S

GRACE_NS = NS_PER_S
"""An engine that does not end a proposal this long after its time-out has failed."""

INDEXES_MAX = 100_000

POOL_OF: dict[Scope, PoolTier | None] = {"pool": None, "region": "regional", "federation": "global"}
"""The pool whose engine decides for a scope; None is the node's own."""


class Decree(Struct, frozen=True, array_like=True):
    """What a proposal's value bytes hold: JSON text, or a removal; `after` is the index it must follow directly."""

    scope: Scope
    value: bytes
    gone: bool = False
    after: int | None = None


class DecisionMade(Struct, frozen=True):
    """The outcome of a proposal of this node."""

    decided: Decided
    applied: bool


class ReadReady(Struct, frozen=True):
    """The store may be read now."""


Answer: TypeAlias = Callable[[Struct | MpregError], None]

_decrees = msgspec.msgpack.Decoder(Decree)


class Decisions:
    """Proposals and reads of this node that wait, and the newest index known for each key."""

    def __init__(self, state: NodeState, replication: Replication) -> None:
        self._state = state
        self._replication = replication
        self._waiting: dict[str, list[Answer]] = {}
        self._deadlines: list[tuple[int, str]] = []
        self._indexes: dict[str, int] = {}
        self._sequence = 0

    def stack_for(self, scope: Scope) -> PoolStack | None:
        """The pool here whose engine decides for a scope; None if this node is not in it."""
        tier = POOL_OF[scope]
        return self._state.home() if tier is None else self._state.stack_of(tier)

    def propose(
        self,
        answer: int | Callable[[Struct | MpregError], None],
        scope: Scope,
        key: str,
        value: Json,
        timeout_ns: int,
        *,
        gone: bool = False,
        exactly_next: bool = False,
    ) -> str:
        """Propose in this node's pool of the scope; gives the proposal's id. `DecisionMade` or an error follows: to a
        function, or for a token by `Complete(token, ...)`.

        Raises `InvalidInputError`, `UnavailableError`, `OverloadedError`, `PayloadTooLargeError`.
        """
        if not gone:
            check_failover(key, value, scope)
        stack = self.stack_for(scope)
        inner = f"{self._replication.domain(scope)}/{key}"
        if stack is None or stack.consensus.stopped:
            raise ProposalError(f"this node has no consensus engine for scope {scope}", where=self._state.id)
        if len(self._waiting) >= PROPOSALS_MAX:
            raise OverloadedError(f"{PROPOSALS_MAX} proposals wait here", where=self._state.id)
        after = self._indexes.get(f"{scope}/{inner}", 0) if exactly_next else None
        encoded = msgspec.msgpack.encode(Decree(scope, msgspec.json.encode(value), gone, after))
        if len(encoded) > ITEM_BYTES_MAX:
            raise PayloadTooLargeError(f"expected at most {ITEM_BYTES_MAX} bytes in a value, got {len(encoded)}")
        self._sequence += 1
        state = self._state
        proposal = Proposal(
            id=f"{state.id}-{state.settings.started_ms:x}-{self._sequence}",
            key=inner,
            value=encoded,
            proposer=state.id,
            created_ms=state.wall_ms,
            timeout_ns=timeout_ns,
        )
        if isinstance(answer, int):
            answer = partial(state.complete, answer)
        self._wait(proposal.id, answer, timeout_ns)
        stack.call(stack.consensus, "on_proposal", proposal)
        return proposal.id

    def read(self, token: int, scope: Scope, timeout_ns: int) -> None:
        """Wait until all that was committed before now is here: `Complete(token, ReadReady)`."""
        stack = self.stack_for(scope)
        if stack is None or stack.consensus.stopped:
            raise ProposalError(f"this node has no consensus engine for scope {scope}", where=self._state.id)
        self._sequence += 1
        read = f"read-{self._state.id}-{self._sequence}"
        self._wait(read, partial(self._state.complete, token), timeout_ns)
        stack.call(stack.consensus, "on_read", read, timeout_ns)

    def vote(self, proposal: str, yes: bool) -> None:
        """This node's operator votes. Raises `NotFoundError`."""
        for stack in self._state.lowest_first():
            if any(view.proposal.id == proposal for view in self.views(stack)):
                stack.call(stack.consensus, "on_vote", proposal, yes)
                return
        raise NotFoundError(f"no proposal {proposal!r} is known here", where=self._state.id)

    def views(self, stack: PoolStack) -> list[ProposalView]:
        """The proposals a pool's engine knows."""
        if stack.consensus.stopped:
            return []
        machine: Any = stack.consensus.machine
        return list(machine.proposals())

    # what the engine says

    def on_decided(self, stack: PoolStack, event: Decided) -> None:
        """A proposal ended, here or at another member."""
        applied = event.status == "committed" and self._apply(stack, event)
        self._state.count("mpreg_proposals_total", pool=stack.pool, outcome=event.status)
        for answer in self._waiting.pop(event.proposal, ()):
            answer(DecisionMade(event, applied))

    def _apply(self, stack: PoolStack, event: Decided) -> bool:
        try:
            decree = _decrees.decode(event.value)
            value: Json = msgspec.json.decode(decree.value)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            self._state.count("mpreg_state_refused_total", code="bad_decree")
            return False
        full = f"{decree.scope}/{event.key}"
        if len(self._indexes) < INDEXES_MAX or full in self._indexes:
            self._indexes[full] = max(event.index, self._indexes.get(full, 0))
        if decree.after is not None and event.index != decree.after + 1:
            return False
        self._replication.decide(stack, event.key, decree.scope, value, event.index, event.proposal, decree.gone)
        return True

    def on_read_done(self, event: ReadDone) -> None:
        """A linearizable read may go on, or may not."""
        result: ReadReady | MpregError = ReadReady()
        if not event.ok:
            result = NoQuorumError(event.reason or "no quorum", where=self._state.id)
        for answer in self._waiting.pop(event.read, ()):
            answer(result)

    def on_snapshot(self, stack: PoolStack, event: SnapshotInstalled) -> None:
        """Another member's application state replaces what this node decided before."""
        self._replication.store.restore(event.state, wall_ms=self._state.wall_ms)

    def _wait(self, name: str, answer: Answer, timeout_ns: int) -> None:
        self._waiting.setdefault(name, []).append(answer)
        heappush(self._deadlines, (self._state.now_ns + timeout_ns + GRACE_NS, name))

    def next_deadline(self) -> int | None:
        """When the first of the engines' answers is overdue."""
        while self._deadlines and self._deadlines[0][1] not in self._waiting:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def on_deadline(self) -> None:
        """Give up on what the engine never answered."""
        while self._deadlines and self._deadlines[0][0] <= self._state.now_ns:
            _, name = heappop(self._deadlines)
            for answer in self._waiting.pop(name, ()):
                answer(NoQuorumError("the engine gave no answer in time", where=self._state.id))


def conflict(key: str) -> ConflictError:
    """A compare-and-set lost."""
    return ConflictError("another write came first; read the key again, then retry", where=key)
