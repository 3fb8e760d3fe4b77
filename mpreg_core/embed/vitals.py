"""A node's own health and numbers."""

import logging
from collections.abc import Mapping

from mpreg_core.contracts.api import HealthReport
from mpreg_core.contracts.events import Occurrence, StrategyFailed
from mpreg_core.embed.reads import Reads
from mpreg_core.node.pool_stack import PoolStack
from mpreg_core.observe.health import Observed, Quorum, assess
from mpreg_core.runtime import clock
from mpreg_core.runtime.driver import Driver
from mpreg_core.units import seconds

_log = logging.getLogger("mpreg.node")

TRANSPORT_GAUGES = frozenset(("connections_open", "partial_bytes"))
"""What a transport counts as of now; all else it counts since its start."""

CounterKey = tuple[str, tuple[tuple[str, str], ...]]


class Vitals:
    """Looks at one node."""

    def __init__(self, driver: Driver, reads: Reads) -> None:
        self._driver = driver
        self._reads = reads

    def on_occurrence(self, occurrence: Occurrence) -> None:
        """From the driver: what broke is logged."""
        event = occurrence.event
        if isinstance(event, StrategyFailed):
            what = "stopped" if event.stopped else "built anew"
            _log.error("%s %s in %s: %s (%s)", event.family, event.strategy, occurrence.pool, event.error, what)

    def health(self) -> HealthReport:
        """The checks, as of now."""
        core = self._driver.core
        quorums = {}
        stacks = core.state.lowest_first()
        for stack in stacks:
            present = {member.id for member in stack.table.present()}
            voters = stack.counted() or stack.voters.ids
            reachable = sum(1 for voter in voters if voter in present)
            views = core.decisions.views(stack)
            is_of_these = views and views[-1].voters == len(voters)
            needed = views[-1].needed if is_of_these else len(voters) // 2 + 1
            quorums[stack.pool] = Quorum(needed, reachable, stack.consensus.stopped)
        return assess(
            Observed(
                status=self._reads.status(),
                gossip_age_s={stack.pool: self._age_s(stack.gossip.heard_ns, stack) for stack in stacks},
                heard_age_s={
                    stack.pool: self._age_s(max(hosted.heard_ns for hosted in stack.hosted), stack) for stack in stacks
                },
                quorums=quorums,
                storage_error=self._driver.journal.failure,
                outbox_bytes=float(self._driver.outbox_bytes),
                join_refusal=core.joining.refusal,
            )
        )

    def _age_s(self, heard_ns: int, stack: PoolStack) -> float:
        """Since something was heard; a pool entered a moment ago has not been silent for longer."""
        return seconds(clock.now_ns() - max(heard_ns, stack.born_ns))

    def counters(self) -> Mapping[CounterKey, float]:
        """The core's counters, and gauges of the driver."""
        core, driver = self._driver.core, self._driver
        numbers: dict[CounterKey, float] = {**core.state.counters, **dict(self._driver.traffic())}
        numbers["mpreg_event_loop_lag_seconds", ()] = driver.lag_s
        numbers["mpreg_outbox_bytes", ()] = float(driver.outbox_bytes)
        numbers["mpreg_requests_pending", ()] = float(len(core.requests))
        numbers["mpreg_messages_in_custody", ()] = float(len(core.messages.custody))
        numbers["mpreg_state_keys", ()] = float(len(core.replication.store))
        for stack in core.state.stacks.values():
            numbers["mpreg_gossip_items", (("pool", stack.pool),)] = float(len(stack.items))
            numbers["mpreg_records_rejected_total", (("pool", stack.pool),)] = float(stack.table.rejected)
        for name, count in driver.transport.stats().items():
            suffix = "" if name in TRANSPORT_GAUGES else "_total"
            numbers[f"mpreg_transport_{name}{suffix}", ()] = float(count)
        return numbers
