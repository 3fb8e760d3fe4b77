"""One attempt to settle one instance of one key, and the question on which safety hangs: what may have been chosen?"""

from collections.abc import Mapping, Set
from typing import Literal

from mpreg_consensus_quorum.messages import NO_BALLOT, Accepted, Ballot
from mpreg_core import NodeId, Proposal

Phase = Literal["idle", "prepare", "accept"]


class Campaign:
    """A proposer's side of an instance: `proposal` is what it wants, None when it only wants to know (a recovery).

    `value` is what the current ballot asks votes for; `noes` (proposal -> voters) hold for the instance, all other
    answers for the ballot. A recovery is given up at `give_up_ns`. A parked campaign has run out of time: it asks
    nobody, but late votes still count.
    """

    def __init__(self, key: str, instance: int, proposal: Proposal | None, give_up_ns: int) -> None:
        self.key = key
        self.instance = instance
        self.proposal = proposal
        self.give_up_ns = give_up_ns
        self.ballot: Ballot = NO_BALLOT
        self.phase: Phase = "idle"
        self.value: Proposal | None = None
        self.promises: dict[NodeId, Accepted | None] = {}
        self.yes: set[NodeId] = set()
        self.no: set[NodeId] = set()
        self.noes: dict[str, set[NodeId]] = {}
        self.nacked: set[NodeId] = set()
        self.attempts = 0
        self.parked = False
        self.epoch = 0
        self.asked: set[str] = set()  # proposals that votes were asked for
        self.asked_before: set[str] = set()  # those that an older epoch's voters may have voted for
        self.asked_self: tuple[Ballot, Phase] | None = None

    def begin(self, ballot: Ballot, epoch: int) -> None:
        """Phase 1 of a new ballot."""
        assert ballot > self.ballot
        if epoch != self.epoch:
            self.asked_before |= self.asked
        self.epoch = epoch
        self.ballot, self.phase, self.value = ballot, "prepare", None
        self.promises, self.yes, self.no, self.nacked = {}, set(), set(), set()

    def ask(self, value: Proposal) -> None:
        """Phase 2 of the ballot."""
        assert self.phase == "prepare"
        self.phase, self.value = "accept", value
        self.asked.add(value.id)
        votes = (accepted for accepted in self.promises.values() if accepted and accepted.proposal.id == value.id)
        if any(accepted.epoch != self.epoch for accepted in votes):
            self.asked_before.add(value.id)

    def answered(self) -> Set[NodeId]:
        """Who answered in this phase."""
        return self.promises.keys() if self.phase == "prepare" else self.yes | self.no


def is_out_of_reach(clear: int, voters: int, needed: int, *, is_older: bool) -> bool:
    """True if a proposal cannot be chosen when `clear` voters certainly have not voted for it and will not.

    In the current epoch `needed` of `voters` must, so one more than can be spared is enough. An older epoch had other
    voters: but each of its quorums shares a voter with each of ours (see `machine`), so a clear quorum of ours tells.
    """
    return clear >= needed if is_older else clear > voters - needed


def possibly_chosen(
    promises: Mapping[NodeId, Accepted | None],
    noes: Mapping[str, Set[NodeId]],
    voters: Set[NodeId],
    needed: int,
    epoch: int,
) -> Proposal | None:
    """The proposal that may have been, or may still be, chosen below the ballot promised; None if none can.

    A proposal is chosen when `needed` voters voted for it in one ballot. Those of them that promised voted before they
    did, so they report it: nothing else is voted for in any ballot above the one that chose it (Lamport 2001, section
    2.2, P2c). The others have not promised, and have not durably refused it. So whoever promised without reporting it,
    or refused it, is clear of it; when enough are, it is out of the question, and the new ballot need not stick to it.
    That is what lets a proposal be given up that a few voted for and enough refused. Of several that are in question,
    the one of the highest ballot is right.
    """
    reporters: dict[str, set[NodeId]] = {}
    older: set[str] = set()
    for voter, accepted in promises.items():
        if accepted is not None:
            reporters.setdefault(accepted.proposal.id, set()).add(voter)
            if accepted.epoch != epoch:
                older.add(accepted.proposal.id)
    silent = voters - promises.keys()
    best: Accepted | None = None
    for accepted in promises.values():
        if accepted is None or (best is not None and accepted.ballot <= best.ballot):
            continue
        proposal = accepted.proposal.id
        clear = len(promises) - len(reporters[proposal]) + len(silent & noes.get(proposal, frozenset()))
        if not is_out_of_reach(clear, len(voters), needed, is_older=proposal in older):
            best = accepted
    return best.proposal if best else None
