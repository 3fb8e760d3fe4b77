"""Least-weight paths from one member over directed links, kept exact while links change.

The whole tree is computed by rustworkx, once. A changed link then touches only the members whose distance it changes:
those whose every shortest path used a link that got worse are found and settled anew from their unaffected neighbours,
and improvements spread outward (G. Ramalingam, T. Reps: An incremental algorithm for a generalization of the
shortest-path problem, J. Algorithms 21, 1996). Only distances are kept; a path is read back along tight links, those
whose weight is the difference of their ends' distances. Weights are whole numbers, so sums compare exactly.
"""

from collections.abc import Mapping
from heapq import heappop, heappush, nsmallest
from math import inf

import rustworkx as rx

from mpreg_core import NodeId

REPAIR_LINKS_MAX = 16  # more links changed at once: compute the whole tree anew
ENTRANCES_MAX = 16  # links into a member that are looked at for paths to it


class ShortestPaths:
    """Paths from `source`. A link leads from the member that told of it; what nobody links to is forgotten."""

    def __init__(self, source: NodeId) -> None:
        self._graph: rx.PyDiGraph[NodeId, float] = rx.PyDiGraph(multigraph=False)
        self._source = self._graph.add_node(source)
        self._index: dict[NodeId, int] = {source: self._source}
        self._distances: dict[int, float] | None = None
        self._paths: dict[int, tuple[NodeId, ...]] = {}

    def __len__(self) -> int:
        return self._graph.num_edges()

    def set_links(self, origin: NodeId, links: Mapping[NodeId, int]) -> bool:
        """These are all links of `origin`: neighbour -> weight >= 1. True when shortest paths may have changed."""
        if not links and origin not in self._index:
            return False
        graph, tail = self._graph, self._node(origin)
        before = {head: weight for _, head, weight in graph.out_edges(tail)}
        after = {self._node(head): float(weight) for head, weight in links.items() if head != origin}
        heads = sorted(before.keys() | after.keys())
        changes = [
            (head, before.get(head, inf), after.get(head, inf)) for head in heads if before.get(head) != after.get(head)
        ]
        for head, old, new in changes:
            if new == inf:
                graph.remove_edge(tail, head)
            elif old == inf:
                graph.add_edge(tail, head, new)
            else:
                graph.update_edge(tail, head, new)
        changed = self._repair(tail, changes)
        for node in [tail, *(head for head, _, new in changes if new == inf)]:
            self._forget_if_alone(node)
        return changed

    def distance(self, node: NodeId) -> float:
        """The weight of the shortest path; infinite when there is none."""
        index = self._index.get(node)
        return inf if index is None else self._settled().get(index, inf)

    def path(self, node: NodeId) -> tuple[NodeId, ...]:
        """The members after the source on the shortest path, `node` last; empty when there is none."""
        index = self._index.get(node)
        if index is None or index == self._source or index not in self._settled():
            return ()
        trail = []
        while index != self._source and index not in self._paths:
            trail.append(index)
            index = self._before(index)
        path = self._paths.get(index, ())
        for step in reversed(trail):
            path = self._paths[step] = (*path, self._graph[step])
        return path

    def disjoint(self, node: NodeId, paths_max: int) -> list[tuple[float, tuple[NodeId, ...]]]:
        """Up to `paths_max` paths over other members, weight and path, lightest first; they share no member but `node`.

        Each ends in another link into `node`, which it gets to by the tree, or straight where the tree leads through
        `node`; so each has its own first hop. The lightest is the shortest path of all but the straight link if that is
        dearer; the others are good, not always the best.
        """
        target = self._index.get(node)
        if target is None or target == self._source:
            return []
        distances = self._settled()
        entrances = nsmallest(
            ENTRANCES_MAX,
            (
                (distances[tail] + weight, self._graph[tail], weight)
                for tail, _, weight in self._graph.in_edges(target)
                if tail != self._source and tail in distances
            ),
        )
        found: dict[NodeId, tuple[float, tuple[NodeId, ...]]] = {}
        for total, tail, weight in entrances:
            path = self.path(tail)
            if node not in path:
                found.setdefault(path[0], (total, (*path, node)))
            elif self._graph.has_edge(self._source, self._index[tail]):
                straight = self._graph.get_edge_data(self._source, self._index[tail])
                found[tail] = (straight + weight, (tail, node))
        return sorted(found.values())[:paths_max]

    def _node(self, node: NodeId) -> int:
        index = self._index.get(node)
        if index is None:
            index = self._index[node] = self._graph.add_node(node)
        return index

    def _forget_if_alone(self, index: int) -> None:
        if index != self._source and not self._graph.in_degree(index) and not self._graph.out_degree(index):
            del self._index[self._graph[index]]
            self._graph.remove_node(index)
            self._paths.pop(index, None)  # rustworkx gives its index to another member

    def _settled(self) -> dict[int, float]:
        if self._distances is None:
            self._distances = dict(rx.dijkstra_shortest_path_lengths(self._graph, self._source, float))
            self._distances[self._source] = 0.0
        return self._distances

    def _before(self, index: int) -> int:
        """The member before `index` on its shortest path; of several the first by id."""
        distances = self._settled()
        reached = distances[index]
        tight = (
            (self._graph[tail], tail)
            for tail, _, weight in self._graph.in_edges(index)
            if distances.get(tail, inf) + weight == reached
        )
        return min(tight)[1]

    def _repair(self, tail: int, changes: list[tuple[int, float, float]]) -> bool:
        """Make the distances right after links from `tail` went from an old to a new weight."""
        distances = self._distances
        if not changes:
            return False
        if distances is None or len(changes) > REPAIR_LINKS_MAX:
            self._distances = None
            self._paths.clear()
            return True
        start = distances.get(tail, inf)
        weakened = [head for head, old, new in changes if new > old and start + old == distances.get(head, inf) < inf]
        improved = [(start + new, head) for head, _, new in changes if start + new < distances.get(head, inf)]
        if not weakened and not improved:
            return False
        self._paths.clear()
        lost = self._unsupported(distances, weakened)
        for index in lost:
            del distances[index]
        queue = improved
        for index in lost:
            for other, _, weight in self._graph.in_edges(index):
                if other in distances:
                    queue.append((distances[other] + weight, index))
        _spread(self._graph, distances, queue)
        return True

    def _unsupported(self, distances: dict[int, float], weakened: list[int]) -> list[int]:
        """The members left without any shortest path, nearest first: the next one's support is decided by then."""
        queue = sorted((distances[index], index) for index in weakened)
        lost: dict[int, None] = {}
        while queue:
            reached, index = heappop(queue)
            if index in lost or index == self._source:
                continue
            if any(
                tail not in lost and distances.get(tail, inf) + weight <= reached
                for tail, _, weight in self._graph.in_edges(index)
            ):
                continue
            lost[index] = None
            for _, head, weight in self._graph.out_edges(index):
                if reached + weight == distances.get(head, inf):
                    heappush(queue, (distances[head], head))
        return list(lost)


def _spread(graph: "rx.PyDiGraph[NodeId, float]", distances: dict[int, float], queue: list[tuple[float, int]]) -> None:
    """Dijkstra from the offers in `queue`, as far as they improve."""
    queue.sort()
    while queue:
        reached, index = heappop(queue)
        if reached >= distances.get(index, inf):
            continue
        distances[index] = reached
        for _, head, weight in graph.out_edges(index):
            if reached + weight < distances.get(head, inf):
                heappush(queue, (reached + weight, head))
