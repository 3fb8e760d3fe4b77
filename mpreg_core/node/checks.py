"""Health checks of registered clusters: when the hub asks, and what it makes of the answers.

The driver asks; a check that does not pass once makes a cluster degraded, twice in a row unhealthy, and one that passes
makes it healthy again. The times are drawn, so that a thousand clusters that registered at once are not asked at once.
"""

from heapq import heappop, heappush
from random import Random

from msgspec import structs

from mpreg_core.contracts.api import Cluster
from mpreg_core.ids import ClusterId
from mpreg_core.node.actions import CheckHealth
from mpreg_core.node.state import NodeState
from mpreg_core.registry.clusters import ClusterRegistry
from mpreg_core.registry.validation import Status
from mpreg_core.units import NS_PER_S, ns

FIRST_WITHIN_NS = NS_PER_S
TIMEOUT_S_MAX = 10.0
ERROR_CHARACTERS_MAX = 200
BY_FAILURES: tuple[Status, ...] = ("healthy", "degraded", "unhealthy")


class HealthChecks:
    """The clusters that registered with a check, each by a number that ends with its registration."""

    def __init__(self, state: NodeState, registry: ClusterRegistry) -> None:
        self._state = state
        self._registry = registry
        self._rng: Random = state.stream("checks")
        self._due: list[tuple[int, int, ClusterId]] = []
        self._numbers: dict[ClusterId, int] = {}
        self._failures: dict[ClusterId, int] = {}
        self._sequence = 0

    def watch(self, cluster: Cluster) -> None:
        """A cluster registered, perhaps once more: ask it soon, if it is to be asked."""
        self.forget(cluster.id)
        if cluster.check:
            self._sequence += 1
            self._numbers[cluster.id] = self._sequence
            self._plan(cluster.id, self._rng.randrange(FIRST_WITHIN_NS))

    def forget(self, cluster: ClusterId) -> None:
        """A cluster is gone."""
        self._numbers.pop(cluster, None)
        self._failures.pop(cluster, None)

    def next_deadline(self) -> int | None:
        """When the next one is asked."""
        while self._due and self._numbers.get(self._due[0][2]) != self._due[0][1]:
            heappop(self._due)
        return self._due[0][0] if self._due else None

    def on_deadline(self) -> None:
        """Ask whoever is due."""
        while (due_ns := self.next_deadline()) is not None and due_ns <= self._state.now_ns:
            _, _, name = heappop(self._due)
            if name not in self._registry:
                self.forget(name)
                continue
            cluster = self._registry.get(name)
            timeout_ns = ns(min(cluster.check_interval, TIMEOUT_S_MAX))
            self._state.actions.append(CheckHealth(name, cluster.check, timeout_ns))
            self._plan(name, round(ns(cluster.check_interval) * self._rng.uniform(0.9, 1.1)))

    def on_checked(self, name: ClusterId, error: str) -> None:
        """The answer, empty when it passed. It may come after the cluster is gone."""
        if name not in self._numbers or name not in self._registry:
            return
        failures = self._failures[name] = self._failures.get(name, 0) + 1 if error else 0
        self._state.count("mpreg_cluster_checks_total", outcome="failed" if error else "passed")
        if not error:
            self._registry.heartbeat(name, self._state.now_ns)
        held = self._registry.get(name)
        status = BY_FAILURES[min(failures, len(BY_FAILURES) - 1)]
        judged = structs.replace(held, status=status, check_error=error[:ERROR_CHARACTERS_MAX])
        change = self._registry.judge(judged)
        if change is not None:
            self._state.emit(None, change)

    def _plan(self, cluster: ClusterId, in_ns: int) -> None:
        heappush(self._due, (self._state.now_ns + in_ns, self._numbers[cluster], cluster))
