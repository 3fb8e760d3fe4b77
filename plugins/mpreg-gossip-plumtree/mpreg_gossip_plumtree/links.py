"""The overlay: a few links per member, chosen at random, known at both ends (HyParView, Leitao et al., DSN 2007).

HyParView keeps a passive view of further members and shuffles it, for it knows no others. Here the pool's table, which
core keeps complete at every member, takes its place: a lost link is made up for from all who live, and a swap of one
link now and then does what shuffling does, keep the overlay random.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from random import Random

from mpreg_core import NS_PER_S, Effect, Member, NodeId, Send
from mpreg_gossip_plumtree.messages import Link, Linked, Unlink

ASK_NS = NS_PER_S
"""An unanswered request for a link is forgotten after this."""

SWAP_NS = 60 * NS_PER_S
"""How often a node asks a random member for one link more, which makes somebody drop one."""


class Links:
    """This node's links. `live` are the members that can be asked, sorted."""

    def __init__(self, me: NodeId, wanted: int, now_ns: int, rng: Random) -> None:
        self._me = me
        self._wanted = wanted
        self._most = 2 * wanted
        self._rng = rng
        self._asked_ns: dict[NodeId, int] = {}
        self._swap_ns = now_ns + int(SWAP_NS * rng.uniform(0.5, 1.5))
        self.live: list[NodeId] = []
        self.linked: dict[NodeId, None] = {}

    def update(self, members: Sequence[Member]) -> list[NodeId]:
        """Take changed records; gives the links that are lost with their members."""
        lost = []
        for member in members:
            if member.id == self._me:
                continue
            at = bisect_left(self.live, member.id)
            is_known = at < len(self.live) and self.live[at] == member.id
            if member.status in ("alive", "suspect"):
                if not is_known:
                    insort(self.live, member.id)
            elif is_known:
                del self.live[at]
                self._asked_ns.pop(member.id, None)
                if member.id in self.linked:
                    del self.linked[member.id]
                    lost.append(member.id)
        return lost

    def seek(self, now_ns: int) -> list[Effect]:
        """Ask for links while there are too few; at times for one more, to stay random."""
        self._asked_ns = {peer: at for peer, at in self._asked_ns.items() if now_ns - at < ASK_NS}
        missing = self._wanted - len(self.linked) - len(self._asked_ns)
        if self._swap_ns <= now_ns:
            self._swap_ns = now_ns + int(SWAP_NS * self._rng.uniform(0.5, 1.5))
            missing = max(missing, 1)
        asked = [peer for peer in self._sample(missing) if peer not in self.linked and peer not in self._asked_ns]
        self._asked_ns |= dict.fromkeys(asked, now_ns)
        return [Send(tuple(asked), Link(not self.linked), "stream")] if asked else []

    def next_deadline(self, now_ns: int) -> int:
        """When to `seek` again."""
        if len(self.linked) < self._wanted and len(self.live) > len(self.linked):
            return min([at + ASK_NS for at in self._asked_ns.values()], default=now_ns + ASK_NS)
        return self._swap_ns

    def on_link(self, sender: NodeId, urgent: bool) -> tuple[list[Effect], NodeId | None]:
        """A member asks: yes while there is room, or it has no other. Also gives who had to go for it."""
        if sender in self.linked:
            return [Send((sender,), Linked(True), "stream")], None
        if not self._is_live(sender) or (len(self.linked) >= self._most and not urgent):
            return [Send((sender,), Linked(False), "stream")], None
        gone = None
        effects: list[Effect] = [Send((sender,), Linked(True), "stream")]
        if len(self.linked) >= self._most:
            gone = self._rng.choice(list(self.linked))
            effects += self.drop(gone)
        self.linked[sender] = None
        return effects, gone

    def on_linked(self, sender: NodeId, yes: bool) -> tuple[bool, NodeId | None]:
        """An answer came: True if there is a new link. Also gives a link that is one too many now."""
        if self._asked_ns.pop(sender, None) is None or not yes or not self._is_live(sender):
            return False, None
        self.linked[sender] = None
        over = len(self.linked) > self._most
        return True, next(peer for peer in self.linked if peer != sender) if over else None

    def drop(self, peer: NodeId) -> list[Effect]:
        """End a link from this side."""
        if peer not in self.linked:
            return []
        del self.linked[peer]
        return [Send((peer,), Unlink(), "stream")]

    def settle(self, peer: NodeId) -> list[Effect]:
        """A member takes this node for a neighbour; if it is none here, say so."""
        return [] if peer in self.linked else [Send((peer,), Unlink(), "stream")]

    def anyone(self) -> NodeId | None:
        """A live member, by chance."""
        return self._rng.choice(self.live) if self.live else None

    def _is_live(self, peer: NodeId) -> bool:
        at = bisect_left(self.live, peer)
        return at < len(self.live) and self.live[at] == peer

    def _sample(self, count: int) -> list[NodeId]:
        return self._rng.sample(self.live, min(max(0, count), len(self.live)))
