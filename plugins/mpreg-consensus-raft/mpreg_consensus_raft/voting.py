"""Elections (section 5.2), with a trial before each (thesis, 9.6), so that a node that was cut off disturbs nobody."""

from collections.abc import Callable

from mpreg_consensus_raft.desk import Desk
from mpreg_consensus_raft.majority import has_majority, members
from mpreg_consensus_raft.messages import Answer, Ask
from mpreg_core import NS_PER_MS, NodeId

TURN_NS = 50 * NS_PER_MS
"""When a leader is known to be gone its followers stand one after the other, lest they split the votes."""


class Voting:
    """Asks for votes and gives them."""

    def __init__(self, desk: Desk, elected: Callable[[int], None]) -> None:
        self._desk = desk
        self._elected = elected
        self._granted: set[NodeId] = set()
        self._own_token = 0

    # asking

    def on_election(self, now_ns: int) -> None:
        """No leader was heard of for too long."""
        desk = self._desk
        desk.restart_election(now_ns)
        if desk.role != "leader" and desk.is_voter and desk.cluster is not None:
            self._try(now_ns)

    def hurry(self, now_ns: int) -> None:
        """The leader is gone for certain: do not wait for the silence to last."""
        desk = self._desk
        desk.leader_heard_ns = -1 << 62
        desk.follow("")
        config = desk.config
        voters = [node for node in members(config) if node not in desk.gone] if config is not None else []
        turn = voters.index(desk.me) if desk.me in voters else len(voters)
        desk.wait("election", now_ns + 1 + turn * TURN_NS)

    def stand(self, now_ns: int, *, forced: bool = False) -> None:
        """Ask for real, in a new term."""
        desk = self._desk
        config = desk.config
        assert config is not None
        assert desk.cluster is not None
        desk.set_term(desk.term + 1, desk.me)
        desk.role = "candidate"
        desk.follow("")
        desk.restart_election(now_ns)
        self._granted = set()
        self._own_token = desk.last_token
        question = Ask(desk.cluster, desk.term, desk.log.last_index, desk.log.last_term, forced=forced)
        for node in members(config):
            if node != desk.me:
                desk.behind(node, question)

    def on_durable(self, now_ns: int) -> None:
        """A candidate's vote for itself counts when it is durable."""
        desk = self._desk
        if desk.role == "candidate" and desk.is_durable(self._own_token):
            self._count(now_ns, desk.me)

    def on_answer(self, now_ns: int, sender: NodeId, answer: Answer) -> None:
        """A voter's."""
        desk = self._desk
        if not answer.granted:
            if answer.term > desk.term:
                self.step_down(now_ns, answer.term)
        elif answer.trial:
            if desk.role == "trying" and answer.term == desk.term + 1:
                self._count(now_ns, sender)
        elif desk.role == "candidate" and answer.term == desk.term:
            self._count(now_ns, sender)

    def _try(self, now_ns: int) -> None:
        desk = self._desk
        config = desk.config
        assert config is not None
        assert desk.cluster is not None
        desk.role = "trying"
        desk.follow("")
        self._granted = set()
        question = Ask(desk.cluster, desk.term + 1, desk.log.last_index, desk.log.last_term, trial=True)
        for node in members(config):
            if node != desk.me:
                desk.behind(node, question)
        self._count(now_ns, desk.me)

    def _count(self, now_ns: int, voter: NodeId) -> None:
        desk = self._desk
        self._granted.add(voter)
        config = desk.config
        if config is None or not has_majority(config, self._granted):
            return
        if desk.role == "trying":
            self.stand(now_ns)
        elif desk.is_durable(self._own_token):
            self._elected(now_ns)

    # giving

    def on_ask(self, now_ns: int, sender: NodeId, ask: Ask) -> None:
        """RequestVote, receiver (figure 2). Who hears from a leader neither votes nor takes up the term (4.2.3)."""
        desk = self._desk
        assert desk.cluster is not None
        if self._is_led(now_ns) and not ask.forced:
            desk.drop("has_a_leader")
            return
        if ask.term < desk.term or (ask.trial and ask.term == desk.term):
            desk.behind(sender, Answer(desk.cluster, desk.term, False, ask.trial))
            return
        if desk.is_new:
            desk.drop("without_memory")
            return
        is_recent = (ask.last_term, ask.last_index) >= (desk.log.last_term, desk.log.last_index)  # section 5.4.1
        if ask.trial:
            desk.behind(sender, Answer(desk.cluster, ask.term if is_recent else desk.term, is_recent, True))
            return
        if ask.term > desk.term:
            self.step_down(now_ns, ask.term)
        granted = is_recent and desk.vote in ("", sender)
        if granted and not desk.vote:
            desk.set_term(desk.term, sender)
            desk.restart_election(now_ns)
        desk.behind(sender, Answer(desk.cluster, desk.term, granted, False))

    def _is_led(self, now_ns: int) -> bool:
        desk = self._desk
        return desk.role == "leader" or now_ns - desk.leader_heard_ns < desk.election_ns

    def step_down(self, now_ns: int, term: int, leader: NodeId = "") -> None:
        """Follow, in this term or a newer one."""
        desk = self._desk
        if term > desk.term:
            desk.set_term(term)
        desk.role = "follower"
        desk.timers.pop("heartbeat", None)
        desk.follow(leader)
        desk.restart_election(now_ns)
