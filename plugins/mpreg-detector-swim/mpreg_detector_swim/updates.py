"""The piggyback: updates that ride on messages which are sent anyway (SWIM, section 4.1)."""

from mpreg_core import NodeId
from mpreg_core.limits import DATAGRAM_BYTES_MAX
from mpreg_detector_swim.messages import UPDATES_MAX, Update

QUEUED_MAX = 1024
"""Updates that wait; beyond it the one that was sent most often gives way."""

BYTES_MAX = DATAGRAM_BYTES_MAX - 256
"""Bytes of updates on one message. The rest is for envelope, seal and the message's own fields."""

_UPDATE_OVERHEAD = 15  # array header 1, two string headers of 2, status 1, incarnation 9


def size_of(update: Update) -> int:
    """An upper bound of the bytes an update takes on the wire (ids are ASCII)."""
    return _UPDATE_OVERHEAD + len(update.peer) + len(update.by)


class UpdateQueue:
    """One update per member, the least sent first, among those the newest first; O(1) per update taken.

    `_levels[i]` holds those that were sent i times, in the order in which they came to that level.
    """

    def __init__(self) -> None:
        self._levels: list[dict[NodeId, Update]] = [{}]
        self._level_of: dict[NodeId, int] = {}

    def __len__(self) -> int:
        return len(self._level_of)

    def put(self, update: Update) -> None:
        """Queue an update; it replaces what is queued about the same member."""
        self.drop(update.peer)
        if len(self._level_of) >= QUEUED_MAX:
            self._drop_most_sent()
        self._levels[0][update.peer] = update
        self._level_of[update.peer] = 0

    def drop(self, peer: NodeId) -> None:
        """Forget what is queued about a member."""
        level = self._level_of.pop(peer, None)
        if level is not None:
            del self._levels[level][peer]

    def take(self, sends_max: int, first: Update | None = None) -> tuple[Update, ...]:
        """What goes on the next message: `first`, then the queue's, within count and bytes.

        An update that has been taken `sends_max` times is forgotten.
        """
        taken = [] if first is None else [first]
        bytes_left = BYTES_MAX - sum(map(size_of, taken))
        passed: list[tuple[int, Update]] = []
        for level, waiting in enumerate(self._levels):
            while waiting and len(taken) < UPDATES_MAX and bytes_left >= _UPDATE_OVERHEAD:
                peer, update = waiting.popitem()
                passed.append((level, update))
                if (first is None or peer != first.peer) and size_of(update) <= bytes_left:
                    taken.append(update)
                    bytes_left -= size_of(update)
                    passed[-1] = (level + 1, update)
                elif size_of(update) > bytes_left:
                    bytes_left = 0
        self._put_back(passed, sends_max)
        return tuple(taken)

    def _put_back(self, passed: list[tuple[int, Update]], sends_max: int) -> None:
        for level, update in reversed(passed):  # so that the newest is the last again
            if level >= sends_max:
                del self._level_of[update.peer]
                continue
            while level >= len(self._levels):
                self._levels.append({})
            self._levels[level][update.peer] = update
            self._level_of[update.peer] = level

    def _drop_most_sent(self) -> None:
        for waiting in reversed(self._levels):
            if waiting:
                self.drop(next(iter(waiting)))
                return
