"""Repair of messages: members show each other the ids of what they heard lately, and pull what they missed."""

from collections.abc import Iterable, Iterator

from mpreg_core import NodeId, Send
from mpreg_gossip_epidemic.giving import Asked, Giver
from mpreg_gossip_epidemic.messages import Carried, Digest, Ids, Pull
from mpreg_gossip_epidemic.packing import DATAGRAM_BUDGET, split
from mpreg_gossip_epidemic.recent import Recent, Seen

GIVE_AT_ONCE = 8
"""So few messages that another seems to miss are sent at once; more are offered, for it may have dropped them."""

_ID_BYTES = 9


class MessageRepair:
    """One node's side of the exchange, whichever side it is."""

    def __init__(self, recent: Recent, seen: Seen, giver: Giver, asked: Asked, message_bytes_max: int) -> None:
        self._recent = recent
        self._seen = seen
        self._giver = giver
        self._asked = asked
        self._message_bytes_max = message_bytes_max

    def on_digest(self, now_ns: int, sender: NodeId, message: Digest) -> list[Send]:
        """Show the ids in the slices that differ."""
        seconds = self._recent.differing(now_ns, message.slices)
        if not seconds:
            return []
        ids = tuple(self._recent.ids(seconds))
        few = _ID_BYTES * (len(ids) + len(seconds)) <= DATAGRAM_BUDGET
        return [Send((sender,), Ids(seconds, ids), "datagram" if few else "stream")]

    def on_ids(self, now_ns: int, sender: NodeId, message: Ids) -> list[Send]:
        """Pull what was never seen here; give or offer what the sender seems to miss."""
        sends: list[Send] = []
        missed = [id_ for id_ in message.ids if id_ not in self._seen and self._asked.may_ask(now_ns, id_)]
        for run, lane in split(missed, lambda _: _ID_BYTES, self._message_bytes_max):
            sends.append(Send((sender,), Pull(tuple(run)), lane))
        theirs = set(message.ids)
        ours = [id_ for id_ in self._recent.ids(message.seconds) if id_ not in theirs]
        if len(ours) > GIVE_AT_ONCE:
            for run, lane in split(ours, lambda _: _ID_BYTES, self._message_bytes_max):
                sends.append(Send((sender,), Ids((), tuple(run)), lane))
        elif ours:
            sends += self._giver.give(now_ns, sender, self._found(ours))
        return sends

    def on_pull(self, now_ns: int, sender: NodeId, message: Pull) -> list[Send]:
        """Give what is asked for and still held."""
        return self._giver.give(now_ns, sender, self._found(dict.fromkeys(message.ids)))

    def _found(self, ids: Iterable[int]) -> Iterator[Carried]:
        return (carried for carried in map(self._recent.find, ids) if carried is not None)
