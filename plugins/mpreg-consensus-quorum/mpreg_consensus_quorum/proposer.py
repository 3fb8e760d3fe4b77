"""The proposer: brings this node's proposals, one a key at a time, through the two phases until they are decided.

A proposal competes for the next undecided instance of its key. When another one wins that, it goes on to the instance
after, until its time is up: so rivals are decided one after the other, in one order everywhere, and none is lost.
Phase 1 is never skipped: who proposes first in an instance is not known beforehand.
"""

from collections import OrderedDict, deque
from collections.abc import Callable

from mpreg_consensus_quorum.campaign import Campaign, is_out_of_reach, possibly_chosen
from mpreg_consensus_quorum.desk import Desk
from mpreg_consensus_quorum.messages import (
    NUMBER_MAX,
    VOTERS_KEY,
    Accept,
    Ballot,
    Commit,
    Decision,
    Nack,
    Prepare,
    Promise,
    Reject,
    Vote,
    is_well_formed,
    roll_of,
)
from mpreg_core import NodeId, Proposal

_BACKOFF_SHARE = 16
"""The first wait after a lost race is this part of the retry interval: a few round trips."""


class Proposer:
    """All campaigns of this node. `learn(now_ns, decision)` is called with what it finds decided."""

    def __init__(
        self, desk: Desk, *, learn: Callable[[int, Decision], None], found_empty: Callable[[int, str], None]
    ) -> None:
        self._desk = desk
        self._learn = learn
        self._found_empty = found_empty
        self._campaigns: dict[str, Campaign] = {}
        self._queues: dict[str, deque[Proposal]] = {}
        self._parked: OrderedDict[str, None] = OrderedDict()
        self.open: set[str] = set()

    @property
    def campaign_count(self) -> int:
        """Campaigns that run or are parked."""
        return len(self._campaigns)

    # inputs

    def propose(self, now_ns: int, proposal: Proposal) -> None:
        """A new proposal of this node. The same id again changes nothing."""
        desk = self._desk
        if desk.tracker.get(proposal.id) is not None:
            desk.drop("known_proposal")
            return
        has_room = is_well_formed(proposal) and desk.ledger.has_room(proposal.key, len(proposal.value))
        if not has_room or len(self.open) >= desk.open_max or desk.out.is_stalled:
            desk.drop("refused_proposal")
            desk.end(now_ns, proposal, "rejected", {})
            return
        desk.tracker.add(proposal, desk.electorate.needed, len(desk.electorate.ids))
        self.open.add(proposal.id)
        desk.timers.set(("proposal", proposal.id), now_ns + proposal.timeout_ns)
        self._queues.setdefault(proposal.key, deque()).append(proposal)
        self._start_next(now_ns, proposal.key)

    def change_voters(self, now_ns: int, proposal: Proposal) -> None:
        """Have the next list of voters decided; no use while a list is being decided."""
        campaign = self._campaigns.get(VOTERS_KEY)
        if campaign is None or campaign.proposal is None:
            instance = self._desk.ledger.known(VOTERS_KEY) + 1
            self._begin(now_ns, Campaign(VOTERS_KEY, instance, proposal, now_ns + proposal.timeout_ns))

    def recover(self, now_ns: int, key: str) -> None:
        """Find out what was chosen in the key's open instance, and finish it; no use where a campaign does so."""
        campaign = self._campaigns.get(key)
        if (campaign is None or campaign.parked) and self._desk.ledger.has_room(key, 0):
            give_up_ns = now_ns + self._desk.recovery_ns
            self._begin(now_ns, Campaign(key, self._desk.ledger.known(key) + 1, None, give_up_ns))

    def on_ready(self, now_ns: int) -> None:
        """The voters are others, or this node may take part from now on: all ballots start anew."""
        for key in sorted(self._parked):
            del self._campaigns[key]
        self._parked.clear()
        for key in sorted(self._campaigns):
            self._begin(now_ns, self._campaigns[key])
        for key in sorted(self._queues):
            self._start_next(now_ns, key)

    def start_over(self) -> None:
        """Nothing that was asked for counts any more: the open proposals wait for their turn again."""
        for key, campaign in sorted(self._campaigns.items()):
            self._desk.timers.cancel(("campaign", key))
            if campaign.proposal is not None and campaign.proposal.id in self.open:
                self._queues.setdefault(key, deque()).appendleft(campaign.proposal)
        self._campaigns.clear()
        self._parked.clear()

    def on_promise(self, now_ns: int, sender: NodeId, message: Promise) -> None:
        """Phase 2a: with a quorum of promises, ask for votes on what may have been chosen, else on one's own."""
        campaign = self._current(sender, message)
        if campaign is None or campaign.phase != "prepare" or campaign.parked:
            return
        accepted = message.accepted
        if accepted is not None and not (is_well_formed(accepted.proposal) and accepted.proposal.key == campaign.key):
            self._desk.drop("malformed")
            return
        campaign.promises[sender] = accepted
        electorate = self._desk.electorate
        if not electorate.is_enough(campaign.promises.keys(), campaign.key):
            return
        epoch = electorate.epoch
        value = possibly_chosen(campaign.promises, campaign.noes, electorate.ids, electorate.needed, epoch)
        value = value or campaign.proposal
        if value is None:
            self._remove(campaign)
            self._found_empty(now_ns, campaign.key)
            return
        campaign.ask(value)
        self._ask(now_ns, campaign)

    def on_vote(self, now_ns: int, sender: NodeId, message: Vote) -> None:
        """Count a vote: `needed` yes decide; more no than can be spared end the proposal."""
        campaign = self._current(sender, message)
        if campaign is None or campaign.phase != "accept" or campaign.value is None:
            return
        if sender in campaign.yes or sender in campaign.no:
            self._desk.drop("double_vote")
            return
        value, electorate = campaign.value, self._desk.electorate
        self._desk.tracker.vote(value.id, sender, message.yes)
        if message.yes:
            campaign.yes.add(sender)
            if electorate.is_enough(campaign.yes, campaign.key):
                self._decided(now_ns, campaign, value)
            return
        campaign.no.add(sender)
        noes = campaign.noes.setdefault(value.id, set())
        noes.add(sender)
        is_older = value.id in campaign.asked_before
        if is_out_of_reach(len(noes & electorate.ids), len(electorate.ids), electorate.needed, is_older=is_older):
            self._refused(now_ns, campaign, value)

    def on_nack(self, now_ns: int, sender: NodeId, message: Nack) -> None:
        """A higher ballot is about: when too many voters follow it, wait for a while and run a higher one still."""
        desk = self._desk
        campaign = self._current(sender, message)
        if campaign is None:
            return
        slot = desk.ledger.slot(campaign.key)
        if not campaign.ballot < message.promised or message.promised.round >= NUMBER_MAX:
            desk.drop("malformed")
            return
        slot.round = max(slot.round, message.promised.round)
        campaign.nacked.add(sender)
        if len(campaign.nacked) > desk.electorate.spare and campaign.phase != "idle":
            self._back_off(now_ns, campaign)

    def on_timer(self, now_ns: int, key: str) -> None:
        """Ask again whoever has not answered, or start a new ballot when this one is beaten."""
        campaign = self._campaigns.get(key)
        if campaign is None or campaign.parked:
            return
        if (campaign.proposal is None or key == VOTERS_KEY) and now_ns >= campaign.give_up_ns:
            self._remove(campaign)
            self._start_next(now_ns, key)
        elif campaign.phase == "idle" or campaign.nacked:
            self._begin(now_ns, campaign)
        else:
            campaign.attempts += 1
            self._ask(now_ns, campaign)

    def on_time_out(self, now_ns: int, proposal: str) -> None:
        """A proposal's time is up: undecided. Late votes still count, for what is chosen is chosen."""
        tracked = self._desk.tracker.get(proposal)
        if tracked is None or tracked.status != "pending":
            return
        self.open.discard(proposal)
        self._desk.end(now_ns, tracked.proposal, "timeout", {})
        key = tracked.proposal.key
        campaign = self._campaigns.get(key)
        if campaign is not None and campaign.proposal is not None and campaign.proposal.id == proposal:
            self._park(campaign)
        self._start_next(now_ns, key)

    def on_decided(self, now_ns: int, decision: Decision, known_before: int) -> None:
        """An instance is settled: the campaign for it ends, its proposal goes on to the next one if it lost."""
        key = decision.proposal.key
        self.open.discard(decision.proposal.id)
        campaign = self._campaigns.get(key)
        if campaign is not None and campaign.instance <= decision.instance:
            self._remove(campaign)
            own = campaign.proposal
            if own is not None and own.id in self.open:
                if decision.instance == known_before + 1:
                    self._queues.setdefault(key, deque()).appendleft(own)
                else:  # what became of it in the instances that nobody remembers is not known: never try it twice
                    self.open.discard(own.id)
                    self._desk.end(now_ns, own, "timeout", {})
        self._start_next(now_ns, key)

    def resend(self, to: NodeId, key: str) -> None:
        """A voter lagged and catches up now: repeat what it could not answer."""
        campaign = self._campaigns.get(key)
        if campaign is None or campaign.parked or campaign.phase == "idle":
            return
        if to in self._desk.electorate.ids and to not in campaign.answered():
            self._desk.out.answer(to, self._question(campaign))

    # steps

    def _start_next(self, now_ns: int, key: str) -> None:
        """Give the key to the next proposal that waits, unless one is under way. A recovery makes place."""
        if not self._desk.electorate.ready:
            return
        campaign = self._campaigns.get(key)
        if campaign is not None and campaign.proposal is not None and not campaign.parked:
            return
        queue = self._queues.get(key)
        while queue:
            proposal = queue.popleft()
            if proposal.id in self.open:
                give_up_ns = now_ns + proposal.timeout_ns
                self._begin(now_ns, Campaign(key, self._desk.ledger.known(key) + 1, proposal, give_up_ns))
                break
        if not queue:
            self._queues.pop(key, None)

    def _begin(self, now_ns: int, campaign: Campaign) -> None:
        """Phase 1a. The round is above all that were heard of or used here, so no ballot serves two proposals."""
        desk, key = self._desk, campaign.key
        self._campaigns[key] = campaign
        self._parked.pop(key, None)
        slot = desk.ledger.slot(key)
        slot.round = max(slot.round, slot.promised.round) + 1
        campaign.begin(Ballot(slot.round, desk.me, desk.ledger.boot), desk.electorate.epoch)
        self._ask(now_ns, campaign)

    def _ask(self, now_ns: int, campaign: Campaign) -> None:
        """Send the phase's question to all that have not answered it, and set the time of the next try."""
        desk = self._desk
        wait_ns = desk.wait_ns(desk.retry_ns, campaign.attempts)
        desk.timers.set(("campaign", campaign.key), now_ns + wait_ns)
        answered = campaign.answered()
        question = self._question(campaign)
        desk.out.send((node for node in desk.electorate.others if node not in answered), question)
        if desk.is_voter and desk.me not in answered and campaign.asked_self != (campaign.ballot, campaign.phase):
            campaign.asked_self = (campaign.ballot, campaign.phase)
            desk.out.to_self(question)

    def _question(self, campaign: Campaign) -> Prepare | Accept:
        stamp = self._desk.electorate.stamp
        if campaign.phase == "accept":
            assert campaign.value is not None
            return Accept(stamp, campaign.key, campaign.instance, campaign.ballot, campaign.value)
        return Prepare(stamp, campaign.key, campaign.instance, campaign.ballot)

    def _decided(self, now_ns: int, campaign: Campaign, value: Proposal) -> None:
        desk = self._desk
        no = tuple(sorted(campaign.noes.get(value.id, ())))
        decision = Decision(campaign.instance, value, desk.electorate.epoch, tuple(sorted(campaign.yes)), no)
        roll = roll_of(value)
        to = sorted({*desk.electorate.others, value.proposer, *(roll.ids if roll else ())})
        desk.out.send(to, Commit(desk.electorate.stamp.cluster, decision, campaign.instance - 1))
        self._learn(now_ns, decision)

    def _refused(self, now_ns: int, campaign: Campaign, value: Proposal) -> None:
        """A proposal is out of reach in this instance: one's own is over, another's no longer stands in the way."""
        own, desk = campaign.proposal, self._desk
        if own is None or value.id != own.id:
            self._back_off(now_ns, campaign)
            return
        self._remove(campaign)
        if own.id in self.open:
            self.open.discard(own.id)
            no = tuple(sorted(campaign.noes[own.id]))
            desk.out.send(desk.electorate.others, Reject(own.id, no))
            desk.end(now_ns, own, "rejected", dict.fromkeys(no, False))
        self._start_next(now_ns, campaign.key)

    def _back_off(self, now_ns: int, campaign: Campaign) -> None:
        """Let others finish, then run a higher ballot."""
        if campaign.parked:
            return
        campaign.phase = "idle"
        wait_ns = self._desk.wait_ns(self._desk.retry_ns // _BACKOFF_SHARE, campaign.attempts)
        campaign.attempts += 1
        self._desk.timers.set(("campaign", campaign.key), now_ns + wait_ns)

    def _park(self, campaign: Campaign) -> None:
        campaign.parked = True
        self._desk.timers.cancel(("campaign", campaign.key))
        self._parked[campaign.key] = None
        if len(self._parked) > self._desk.open_max:
            oldest, _ = self._parked.popitem(last=False)
            del self._campaigns[oldest]

    def _remove(self, campaign: Campaign) -> None:
        self._desk.timers.cancel(("campaign", campaign.key))
        self._parked.pop(campaign.key, None)
        self._campaigns.pop(campaign.key, None)

    def _current(self, sender: NodeId, message: Promise | Vote | Nack) -> Campaign | None:
        """The campaign that an answer belongs to, if the sender has a say in it."""
        campaign = self._campaigns.get(message.key)
        if sender not in self._desk.electorate.ids:
            self._desk.drop("not_a_voter")
        elif campaign is None or (message.instance, message.ballot) != (campaign.instance, campaign.ballot):
            self._desk.drop("stale")
        else:
            return campaign
        return None
