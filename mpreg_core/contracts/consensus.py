"""Consensus engines: one decision for a key, everywhere and for ever."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from mpreg_core.contracts.effects import Effects
from mpreg_core.contracts.machine import Machine
from mpreg_core.contracts.members import Member
from mpreg_core.ids import NodeId

MessageT = TypeVar("MessageT", bound=Struct, contravariant=True)


class Voters(Struct, frozen=True, array_like=True):
    """Who is to vote, alive or not. `epoch` grows with each change of them that the node sees."""

    epoch: int
    ids: tuple[NodeId, ...]  # sorted


class Proposal(Struct, frozen=True, array_like=True):
    """A value proposed for a key. `id` is unique in the federation; `timeout_ns` counts from `on_proposal`."""

    id: str
    key: str
    value: bytes
    proposer: NodeId
    created_ms: int  # the proposer's wall clock, for people
    timeout_ns: int


class ProposalView(Struct, frozen=True):
    """An open or recently ended proposal as this member sees it. `status` as in `Decided`, or `pending`.

    `threshold` is the share of the voters that must say yes as it was set; `needed` of `voters` is what it comes to.
    """

    proposal: Proposal
    status: str
    votes: dict[NodeId, bool]
    needed: int
    voters: int
    ended_ns: int | None = None
    threshold: float = 0.5


class ConsensusEngine(Machine[MessageT], Protocol[MessageT]):
    """Emits `Decided` exactly once for each proposal it was given, on every member that learns of the decision.

    Safety holds whatever happens: crash and restart with the journal, loss, reordering, partition, pause.
    """

    def on_members(self, now_ns: int, members: Sequence[Member]) -> Effects:
        """These members are new or changed: whom to reach, and hints that a leader died. Never the denominator."""
        ...

    def on_voters(self, now_ns: int, voters: Voters) -> Effects:
        """These are to vote, says the node: its members that did not leave. Called before any proposal.

        Members hear of each other at different times, so an engine whose safety rests on who votes has the voters there
        are decide who votes next.
        """
        ...

    def voters(self) -> Sequence[NodeId]:
        """Who votes now, as far as this member knows, sorted; empty while there is no list."""
        ...

    def may_leave(self) -> bool:
        """False while the others could not go on without this node, after `on_leave`: it then stays for a moment."""
        ...

    def on_proposal(self, now_ns: int, proposal: Proposal) -> Effects:
        """Someone at this node proposes. The same id twice is one proposal."""
        ...

    def on_vote(self, now_ns: int, proposal: str, yes: bool) -> Effects:
        """This node's operator votes on a proposal, before the engine's own policy did; else it changes nothing."""
        ...

    def on_read(self, now_ns: int, read: str, timeout_ns: int) -> Effects:
        """Someone at this node wants to read linearizably: answer with `ReadDone(read)`, in bounded time."""
        ...

    def on_persisted(self, now_ns: int, token: int) -> Effects:
        """The record of `Persist(token)` is durable. Its barrier's effects have just been released."""
        ...

    def proposals(self) -> Sequence[ProposalView]:
        """Open proposals and the most recent ended ones, oldest first; bounded."""
        ...
