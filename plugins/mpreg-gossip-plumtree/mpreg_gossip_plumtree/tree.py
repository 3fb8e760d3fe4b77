"""The broadcast tree over the links (Plumtree: Leitao, Pereira, Rodrigues, "Epidemic Broadcast Trees", SRDS 2007).

Every link begins eager: items go over it at once. One that brings what was here already is pruned to lazy: it only
announces. What is announced and does not come in time is fetched over the announcing link, which becomes eager again:
so the tree mends itself where a member died (section 3.5).
"""

from collections.abc import Iterable

from mpreg_core import Effect, NodeId, Send
from mpreg_gossip_plumtree.messages import PARTS_MAX, Graft, IHave, Prune

MISSING_MAX = 8192
ANNOUNCERS_MAX = 8


class Tree:
    """Eager and lazy links, and what was announced but has not come. `grafts` and `prunes` are counts."""

    def __init__(self, graft_timeout_ns: int) -> None:
        self._timeout_ns = graft_timeout_ns
        self.eager: dict[NodeId, None] = {}
        self.lazy: dict[NodeId, None] = {}
        self._missing: dict[int, tuple[int, list[NodeId]]] = {}  # id -> (when to fetch, from whom), soonest first
        self._announce: dict[NodeId, list[int]] = {}
        self.grafts = 0
        self.prunes = 0

    def __len__(self) -> int:
        return len(self._missing)

    def link(self, peer: NodeId) -> None:
        """A new link is eager (section 3.4, NeighborUp)."""
        self.lazy.pop(peer, None)
        self.eager[peer] = None

    def unlink(self, peer: NodeId) -> None:
        """A link is gone, and with it what only it announced (NeighborDown)."""
        self.eager.pop(peer, None)
        self.lazy.pop(peer, None)
        self._announce.pop(peer, None)
        for id_, (_, announcers) in list(self._missing.items()):
            if peer in announcers:
                announcers.remove(peer)
                if not announcers:
                    del self._missing[id_]

    def brought_news(self, peer: NodeId) -> None:
        """The link is a good one."""
        if peer in self.lazy:
            self.link(peer)

    def brought_nothing_new(self, peer: NodeId) -> list[Effect]:
        """The link closes a cycle: prune it at both ends."""
        if peer not in self.eager:
            return []
        self.on_prune(peer)
        self.prunes += 1
        return [Send((peer,), Prune(), "stream")]

    def on_prune(self, peer: NodeId) -> None:
        """The other end wants announcements only."""
        if peer in self.eager:
            del self.eager[peer]
            self.lazy[peer] = None

    def arrived(self, id_: int, *, by_tree: bool) -> list[Effect]:
        """It need not be fetched. If the tree did not bring it, the link that announced it becomes part of the tree."""
        held = self._missing.pop(id_, None)
        if held is None or by_tree:
            return []
        peer = held[1][0]
        if peer not in self.lazy:
            return []
        self.link(peer)
        self.grafts += 1
        return [Send((peer,), Graft(()), "stream")]

    def announce(self, id_: int, avoid: NodeId | None) -> None:
        """Tell the lazy links of an item, together with others, at the next `flush`."""
        for peer in self.lazy:
            waiting = self._announce.setdefault(peer, [])
            if peer != avoid and len(waiting) < PARTS_MAX:
                waiting.append(id_)

    def flush(self) -> list[Effect]:
        """The announcements that wait."""
        sends: list[Effect] = [Send((peer,), IHave(tuple(ids))) for peer, ids in self._announce.items() if ids]
        self._announce.clear()
        return sends

    def on_announced(self, now_ns: int, peer: NodeId, ids: Iterable[int]) -> None:
        """A link has what is not here: give the tree time to bring it."""
        for id_ in ids:
            held = self._missing.get(id_)
            if held is not None:
                if peer not in held[1] and len(held[1]) < ANNOUNCERS_MAX:
                    held[1].append(peer)
            elif len(self._missing) < MISSING_MAX:
                self._missing[id_] = (now_ns + self._timeout_ns, [peer])

    def due_ns(self) -> int | None:
        """When the first of the announced is to be fetched."""
        return next(iter(self._missing.values()))[0] if self._missing else None

    def fetch(self, now_ns: int) -> list[Effect]:
        """Graft the links that announced what did not come; each is asked once, then the next one."""
        wanted: dict[NodeId, list[int]] = {}
        for id_, (due_ns, announcers) in list(self._missing.items()):
            if due_ns > now_ns:
                break
            del self._missing[id_]
            peer = announcers.pop(0)
            wanted.setdefault(peer, []).append(id_)
            if announcers:
                self._missing[id_] = (now_ns + self._timeout_ns, announcers)
        effects: list[Effect] = []
        for peer, ids in wanted.items():
            if peer in self.lazy:
                self.link(peer)
            self.grafts += 1
            effects += [Send((peer,), Graft(tuple(part)), "stream") for part in _parts(ids)]
        return effects


def _parts(ids: list[int]) -> Iterable[list[int]]:
    return (ids[start : start + PARTS_MAX] for start in range(0, len(ids), PARTS_MAX))
