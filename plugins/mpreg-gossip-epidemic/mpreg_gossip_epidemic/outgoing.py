"""Items that wait to be pushed: bounded, urgent ones first, the others never starved."""

from typing import NamedTuple

from mpreg_core import BULK, NORMAL, URGENT, NodeId
from mpreg_gossip_epidemic.messages import Carried
from mpreg_gossip_epidemic.packing import carried_bytes

ITEMS_MAX = 4096
BYTES_MAX = 4 * 1024 * 1024
RESERVED_SHARE = 4
"""One part in so many of what is sent at once belongs to items that are not urgent, if there are any."""


class Waiting(NamedTuple):
    """An item to push; `source` sent it here (None: it is this node's own); `crosses`: other regions get it too."""

    carried: Carried
    source: NodeId | None
    crosses: bool


class Outgoing:
    """One queue for each priority. A newer version of a kept item takes the place of the older one."""

    def __init__(self) -> None:
        self._queues: tuple[dict[str | int, Waiting], ...] = ({}, {}, {})
        self._bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        urgent, normal, bulk = self._queues
        return len(urgent) + len(normal) + len(bulk)

    def add(self, id_: int, waiting: Waiting) -> None:
        """Queue an item. When there is no room the least urgent goes, the newest first: repair will find it."""
        item = waiting.carried.item
        queue = self._queues[item.priority]
        key: str | int = item.key if item.kept else id_
        held = queue.get(key)
        if held is not None:
            self._bytes -= carried_bytes(held.carried)
        queue[key] = waiting
        self._bytes += carried_bytes(waiting.carried)
        while len(self) > ITEMS_MAX or self._bytes > BYTES_MAX:
            lowest = next(queue for queue in reversed(self._queues) if queue)
            _, dropped = lowest.popitem()
            self._bytes -= carried_bytes(dropped.carried)
            self.dropped += 1

    def take(self, bytes_max: int) -> list[Waiting]:
        """Remove and give items for about so many bytes, at least one of each priority that has any, urgent first."""
        taken: dict[int, list[Waiting]] = {URGENT: [], NORMAL: [], BULK: []}
        others = bool(self._queues[NORMAL] or self._queues[BULK])
        left = bytes_max
        reserved = bytes_max // RESERVED_SHARE if others else 0
        left -= self._move(URGENT, left - reserved, taken[URGENT])
        left -= self._move(NORMAL, left, taken[NORMAL])
        left -= self._move(BULK, left, taken[BULK])
        self._move(URGENT, left, taken[URGENT])
        return [*taken[URGENT], *taken[NORMAL], *taken[BULK]]

    def _move(self, priority: int, bytes_max: int, taken: list[Waiting]) -> int:
        queue = self._queues[priority]
        moved = 0
        while queue:
            key = next(iter(queue))
            size = carried_bytes(queue[key].carried)
            if moved + size > bytes_max and taken:
                break
            taken.append(queue.pop(key))
            moved += size
        self._bytes -= moved
        return moved
