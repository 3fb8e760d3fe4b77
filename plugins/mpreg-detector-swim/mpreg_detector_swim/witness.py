"""Streams to the next members on a ring of names, kept open for what their end says.

When a process dies its kernel ends its connections, and whoever has one knows within a round trip. A pool at rest talks
in datagrams and would have none. Nothing else is sent on these.
"""

from bisect import bisect
from collections.abc import Iterable

from mpreg_core import NS_PER_S, Effect, NodeId, Send
from mpreg_detector_swim.messages import News
from mpreg_detector_swim.timers import Timers

WITNESSED = 2
"""Members that a node watches so; as many watch it."""

SETTLE_NS = NS_PER_S
"""After a change of members, so that a storm of them is one change."""

REFRESH_NS = 100 * NS_PER_S
"""How often something is sent, so that nobody on the way takes the connection for forgotten."""


class Witness:
    """Chooses whom to watch, and says the empty word that opens or refreshes the connection."""

    def __init__(self, me: NodeId, timers: Timers, out: list[Effect]) -> None:
        self._me = me
        self._timers = timers
        self._out = out
        self._watched: tuple[NodeId, ...] = ()
        self._refresh_ns = 0
        self._is_settling = False

    def on_change(self, now_ns: int) -> None:
        """The members changed."""
        if not self._is_settling:
            self._is_settling = True
            self._timers.set(("witness", 0), now_ns + SETTLE_NS)

    def on_due(self, now_ns: int, present: Iterable[NodeId]) -> None:
        """Watch the next `WITNESSED` of those who are present, of whom this node is none."""
        self._is_settling = False
        ring = sorted(present)
        place = bisect(ring, self._me)
        chosen = tuple((ring[place:] + ring[:place])[:WITNESSED])
        if now_ns >= self._refresh_ns:
            self._refresh_ns = now_ns + REFRESH_NS
            new = chosen
        else:
            new = tuple(peer for peer in chosen if peer not in self._watched)
        self._watched = chosen
        if new:
            self._out.append(Send(new, News(()), "stream"))
        self._timers.set(("witness", 0), self._refresh_ns)
