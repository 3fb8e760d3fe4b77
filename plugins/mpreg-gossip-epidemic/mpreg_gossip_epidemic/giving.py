"""What repair may cost: how much a node gives to those who miss something, and how often it asks for the same."""

from collections.abc import Iterable

from mpreg_core import NS_PER_S, NodeId, Send
from mpreg_gossip_epidemic.messages import Carried
from mpreg_gossip_epidemic.options import EpidemicOptions
from mpreg_gossip_epidemic.packing import carried_bytes, pack

GIVE_BYTES_MAX = 256 * 1024
"""Given in one answer. Who misses more is told so, and asks again when it has got this."""

GIVE_BYTES_PER_S = 4 * 1024 * 1024
"""Given by a node to all who ask, on average over a second."""

ASKED_MAX = 4096

GIVEN_MAX = 32_768
GIVEN_NS = NS_PER_S
"""So long what was given to a member is taken to be on its way there, for so many items at most."""


class Giver:
    """Sends items to who misses them, within bounds."""

    def __init__(self, now_ns: int, options: EpidemicOptions) -> None:
        self._options = options
        self._left = float(GIVE_BYTES_PER_S)
        self._counted_ns = now_ns
        self.items = 0
        self.refusals = 0

    def give(
        self,
        now_ns: int,
        to: NodeId,
        items: Iterable[Carried],
        *,
        repair: bool = True,
        given: list[Carried] | None = None,
    ) -> list[Send]:
        """The messages for as many of the items as the bounds allow, urgent ones first among these.

        These are added to `given`.
        """
        given = [] if given is None else given
        self._left = min(self._left + (now_ns - self._counted_ns) * GIVE_BYTES_PER_S / NS_PER_S, GIVE_BYTES_PER_S)
        self._counted_ns = now_ns
        if self._left <= 0:
            self.refusals += 1
            return []
        size, more = 0, False
        for carried in items:
            if given and size + carried_bytes(carried) > min(GIVE_BYTES_MAX, self._left):
                more = True
                break
            given.append(carried)
            size += carried_bytes(carried)
        self._left -= size
        self.items += len(given)
        given.sort(key=lambda carried: carried.item.priority)
        options = self._options
        messages = pack(given, options.max_message_size, options.compression_enabled, repair=repair, more=more)
        return [Send((to,), message, lane) for message, lane in messages]


class Asked:
    """What was asked for within the last `ask_ns` is not asked again, of nobody: the answer may be on its way."""

    def __init__(self, ask_ns: int, at_most: int = ASKED_MAX) -> None:
        self._ask_ns = ask_ns
        self._at_most = at_most
        self._until_ns: dict[int, int] = {}  # in the order of asking, so of expiry

    def may_ask(self, now_ns: int, id_: int) -> bool:
        """True at most once for an id within `ask_ns`; the caller then asks."""
        if not self.is_free(now_ns, id_):
            return False
        self._until_ns[id_] = now_ns + self._ask_ns
        return True

    def is_free(self, now_ns: int, id_: int) -> bool:
        """True if `may_ask` would be."""
        while self._until_ns and self._until_ns[oldest := next(iter(self._until_ns))] <= now_ns:
            del self._until_ns[oldest]
        return id_ not in self._until_ns and len(self._until_ns) < self._at_most

    def clear(self) -> None:
        """The answers have come: ask freely."""
        self._until_ns.clear()
