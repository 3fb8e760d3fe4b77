"""A node's metrics: histograms fed by its events, everything else read from its api at the time of a scrape."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from mpreg_core.contracts.api import Json, NodeApi
from mpreg_core.contracts.events import Decided, Delivered, MemberChanged, Occurrence, RequestDone, RoundTrip
from mpreg_core.observe.histogram import HOPS, SECONDS, Histogram
from mpreg_core.units import NS_PER_MS, NS_PER_S

# The guide prints this name for a gauge; every other `_total` is a counter.
_GAUGES_CALLED_TOTAL = frozenset({"federation_nodes_total"})

_HELP = {
    "federation_nodes_total": "Nodes of the federation that this node knows one by one and that have not left.",
    "federation_nodes_healthy": "Of those, the ones that are alive and do not drain.",
    "membership_failures_total": "Members that this node's pools took for failed.",
    "mpreg_event_loop_lag_seconds": "How late the event loop ran a timer, the last time it was measured.",
    "mpreg_frames_dropped_total": "Frames from the network that were not usable, and own ones that were too large.",
    "mpreg_frames_out_dropped_total": "Frames that found no room in an outbox, or no address.",
    "mpreg_frames_in_total": "Frames received.",
    "mpreg_frames_out_total": "Frames sent.",
    "mpreg_bytes_in_total": "Bytes received in frames.",
    "mpreg_bytes_out_total": "Bytes sent in frames.",
    "mpreg_events_cut_off_total": "Events of one step over the bound of rounds: machines that answered each other.",
    "mpreg_gossip_items": "Kept items in a pool's replica.",
    "mpreg_items_rejected_total": "Gossip items that could not be merged.",
    "mpreg_joins_refused_total": "Nodes that this hub would not take.",
    "mpreg_leader_changes_total": "Changes of a pool's consensus leader seen here.",
    "mpreg_member_changes_total": "Changes of a pool's members: suspicions, refutations, failures and the rest.",
    "mpreg_messages_expired_total": "Messages that nobody took on in time, or that made room for others.",
    "mpreg_messages_in_custody": "Messages that are kept here until the next nodes have taken them on.",
    "mpreg_outbox_bytes": "Bytes that wait to be sent.",
    "mpreg_plugin_errors_total": "Errors raised by plugins, and breaches of their contract.",
    "mpreg_proposals_total": "Proposals that ended, by how.",
    "mpreg_records_rejected_total": "Member records that claimed what cannot be, and were not taken.",
    "mpreg_replies_lost_total": "Replies whose way back was gone.",
    "mpreg_replies_unexpected_total": "Replies that nobody waited for any more.",
    "mpreg_requests_pending": "Requests that wait for their reply here.",
    "mpreg_requests_total": "Requests that entered the federation here, by how they ended.",
    "mpreg_router_repeats_total": "Times a router named a node that the request had visited already.",
    "mpreg_sends_skipped_total": "Messages to members that are unknown, gone or speak another strategy.",
    "mpreg_state_keys": "Keys of the replicated state held here.",
    "mpreg_state_refused_total": "Versions of keys that the store would not take, by the error's code.",
}

Samples = Mapping[tuple[str, ...], float]
CounterKey = tuple[str, tuple[tuple[str, str], ...]]

PROPOSALS_LOOK_NS = NS_PER_S // 4
"""Ended proposals are looked up at most this often, for the list is up to `limits.PROPOSALS_MAX` long."""


class NodeMetrics(Collector):
    """The metrics of one node in a registry of its own, so that a process may run many nodes.

    `plugins` is what `mpreg plugins list --output json` prints; `wall` the wall clock in seconds, against which the
    spread of gossip is measured (so it is as true as the clocks of the two hosts agree).
    """

    def __init__(self, node: NodeApi, plugins: Json, wall: Callable[[], float] = time.time) -> None:
        self._node = node
        self._plugins = _plugin_labels(plugins)
        self._wall = wall
        self._gossip = Histogram("gossip_message_latency", "Seconds from a gossip item's birth to here.", SECONDS)
        self._proposals = Histogram("consensus_proposal_time", "Seconds from a proposal to its end.", SECONDS)
        self._hops = Histogram("mpreg_gossip_hops", "Hops that a gossip item took to this node.", HOPS, "pool")
        self._rtt = Histogram("mpreg_round_trip_seconds", "Round trips to members, in seconds.", SECONDS, "pool")
        self._requests = Histogram("mpreg_request_seconds", "Seconds a request took, by its end.", SECONDS, "outcome")
        self._request_hops = Histogram("mpreg_request_hops", "Hops of a request, by its end.", HOPS, "outcome")
        self._events: dict[CounterKey, float] = defaultdict(float)
        self._ended: frozenset[str] = frozenset()
        self._looked_ns: int | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def on_event(self, occurrence: Occurrence) -> None:
        """Count what an event measured. Quick; other events are ignored."""
        event, pool = occurrence.event, occurrence.pool
        if isinstance(event, RoundTrip):
            self._rtt.observe(event.rtt_ns / NS_PER_S, pool)
        elif isinstance(event, Delivered):
            self._gossip.observe(max(self._wall() - event.born_ms * NS_PER_MS / NS_PER_S, 0.0))
            self._hops.observe(event.hops, pool)
        elif isinstance(event, RequestDone):
            self._requests.observe(event.duration_ns / NS_PER_S, event.outcome)
            self._request_hops.observe(event.hops, event.outcome)
        elif isinstance(event, MemberChanged):
            self._events["mpreg_member_changes_total", (("change", event.change), ("pool", pool))] += 1
        elif isinstance(event, Decided):
            self._events["mpreg_proposals_total", (("outcome", event.status), ("pool", pool))] += 1
            if self._looked_ns is None or occurrence.at_ns - self._looked_ns >= PROPOSALS_LOOK_NS:
                self._looked_ns = occurrence.at_ns
                self._look_at_proposals()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type: OpenMetrics if the `Accept` header asks for it, else Prometheus text."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type

    def describe(self) -> list[Metric]:
        """Nothing: registering must not ask the node for anything yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families, at a scrape."""
        self._look_at_proposals()
        counted = _counted({**self._events, **self._node.counters()})
        for family in (*self._node_families(), *self._pool_families()):
            if family.name not in counted:
                yield family
        yield from counted.values()
        if "membership_failures" not in counted:
            yield _simple("membership_failures_total", {(): 0.0})
        for histogram in (
            self._gossip, self._proposals, self._hops, self._rtt, self._requests, self._request_hops
        ):  # fmt: skip
            yield histogram.family()

    def _look_at_proposals(self) -> None:
        ended = {decision.id: decision for decision in self._node.proposals() if decision.decided is not None}
        for decision in ended.values():
            if decision.id not in self._ended and decision.decided is not None:
                self._proposals.observe(max(decision.decided - decision.created, 0.0))
        self._ended = frozenset(ended)

    def _node_families(self) -> Iterator[Metric]:
        status = self._node.status()
        node = status.node
        yield _gauge("mpreg_build_info", "The version that runs.", ["version"], {(node.version,): 1})
        labels = ["name", "distribution", "version"]
        yield _gauge("mpreg_plugin_info", "The plugins that are installed.", labels, dict.fromkeys(self._plugins, 1))
        yield _gauge("mpreg_ready", "1 when the node takes requests.", [], {(): float(self._node.ready())})
        draining = node.state in ("draining", "stopped")
        yield _gauge("mpreg_draining", "1 while the node drains.", [], {(): float(draining)})
        yield _gauge("mpreg_uptime_seconds", "Since the node started.", [], {(): node.uptime_seconds})
        yield _gauge("mpreg_incarnation", "The node's own incarnation.", [], {(): node.incarnation})
        yield _gauge("mpreg_child_hubs", "Hubs and nodes attached to this hub.", [], {(): len(status.children)})
        attached = status.parent_hub is not None or node.hub_tier == "global"
        yield _gauge("mpreg_attached", "1 when the node has its parent hub.", [], {(): float(attached)})
        healthy: Samples = {
            (name,): float(check.status == "healthy") for name, check in self._node.health().checks.items()
        }
        yield _gauge("mpreg_check_healthy", "1 for a health check that found nothing.", ["check"], healthy)
        strategies: Samples = {
            (pool.id, family, strategy): 1.0 for pool in status.pools for family, strategy in pool.strategies.items()
        }
        yield _gauge("mpreg_strategy_info", "The strategies that run.", ["pool", "family", "strategy"], strategies)

    def _pool_families(self) -> Iterator[Metric]:
        members: dict[tuple[str, ...], float] = defaultdict(float)
        for pool in self._node.status().pools:
            members.update({(pool.id, status): 0.0 for status in ("alive", "suspect", "failed", "left")})
        present: set[str] = set()
        healthy: set[str] = set()
        for view in self._node.members():
            member = view.member
            members[view.pool, member.status] += 1
            if member.status != "left":
                present.add(member.id)
            if member.status == "alive" and not member.draining:
                healthy.add(member.id)
        yield _gauge("mpreg_pool_members", "Members of a pool by status.", ["pool", "status"], members)
        yield _simple("federation_nodes_total", {(): float(len(present))})
        yield _simple("federation_nodes_healthy", {(): float(len(healthy))})


def _gauge(name: str, help_text: str, labels: list[str], samples: Samples) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for values, value in sorted(samples.items()):
        family.add_metric(values, value)
    return family


def _simple(name: str, samples: Samples, labels: list[str] | None = None) -> Metric:
    """A family whose type follows from its name."""
    help_text = _HELP.get(name, f"{name.removeprefix('mpreg_').replace('_', ' ')}, as the node counts it.")
    if not name.endswith("_total") or name in _GAUGES_CALLED_TOTAL:
        return _gauge(name, help_text, labels or [], samples)
    family = CounterMetricFamily(name, help_text, labels=labels or [])
    for values, value in sorted(samples.items()):
        family.add_metric(values, value)
    return family


def _counted(counters: Mapping[CounterKey, float]) -> dict[str, Metric]:
    """Families, by their name, of what the node counts. Series of one name share its labels; a missing one is empty."""
    by_name: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
    for (name, labels), value in counters.items():
        by_name[name].append((dict(labels), value))
    families = {}
    for name, series in sorted(by_name.items()):
        keys = sorted({key for labels, _ in series for key in labels})
        samples = {tuple(labels.get(key, "") for key in keys): value for labels, value in series}
        family = _simple(name, samples, keys)
        families[family.name] = family
    return families


def _plugin_labels(plugins: Json) -> list[tuple[str, ...]]:
    """(name, distribution, version) of each installed plugin."""
    rows = plugins.get("plugins") if isinstance(plugins, dict) else plugins
    found = set()
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict):
            found.add(tuple(str(row.get(key) or "") for key in ("name", "distribution", "version")))
    return sorted(found)
