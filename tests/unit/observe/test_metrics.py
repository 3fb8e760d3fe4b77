"""Metrics: what a scrape prints, from events and from the node's api."""

import shutil
import subprocess

import pytest
from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families

from mpreg_core import (
    Address,
    Check,
    Decided,
    Decision,
    Delivered,
    HealthReport,
    Member,
    MemberChanged,
    MemberView,
    NodeStatus,
    Occurrence,
    PoolStatus,
    RequestDone,
    RoundTrip,
)
from mpreg_core.contracts.api import Status
from mpreg_core.observe.histogram import SERIES_MAX, Histogram
from mpreg_core.observe.metrics import NodeMetrics

GUIDE = {
    "federation_nodes_total": "gauge",
    "federation_nodes_healthy": "gauge",
    "gossip_message_latency": "histogram",
    "consensus_proposal_time": "histogram",
    "membership_failures_total": "counter",
}


def member(id, status="alive", *, draining=False):
    return Member(
        id=id, incarnation=1, status=status, tier="local", region="eu", address=Address("h"), started_ms=0,
        draining=draining,
    )  # fmt: skip


class FakeNode:
    def __init__(self):
        pools = [PoolStatus("p", "local", 2, 2, 0, 0, 0, "a", {"gossip": "epidemic"})]
        self.now = Status(NodeStatus("a", "eu", "local", 7, 2.5, "0.1.0", "ready", "f", None), pools, "r", ["c", "d"])
        self.views = [MemberView("p", member("a"), None, 0.0)]
        self.decisions = []
        self.counted = {}
        self.asked = 0

    def status(self):
        return self.now

    def members(self):
        return self.views

    def health(self):
        return HealthReport("degraded", {"hub": Check("degraded", {}), "storage": Check("healthy", {})})

    def ready(self):
        return True

    def proposals(self):
        self.asked += 1
        return self.decisions

    def counters(self):
        return self.counted


@pytest.fixture
def node():
    return FakeNode()


@pytest.fixture
def metrics(node):
    plugins = [{"name": "swim", "distribution": "mpreg-detector-swim", "version": "0.1.0", "status": "loaded"}]
    return NodeMetrics(node, plugins, wall=lambda: 100.0)


def scrape(metrics):
    """(name, labels) -> value of every sample; the types of the families."""
    text = metrics.exposition("")[0].decode()
    families = list(text_string_to_metric_families(text))
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }
    types = dict(line.split()[2:] for line in text.splitlines() if line.startswith("# TYPE"))
    return samples, types


def happen(metrics, event, at_ns=0):
    metrics.on_event(Occurrence(at_ns, "a", "p", event))


def decided(id, seconds=2.0):
    return Decision(id, "k", 1, "a", "committed", {}, 1, 1, 10.0, None if seconds is None else 10.0 + seconds)


def test_the_guides_five_names_are_there_from_the_first_scrape(metrics):
    samples, types = scrape(metrics)
    assert GUIDE.items() <= types.items()
    assert samples["membership_failures_total", ()] == 0
    assert samples["gossip_message_latency_count", ()] == 0


def test_nodes_in_several_pools_are_counted_once_and_those_that_left_not_at_all(node, metrics):
    node.views = [
        MemberView("p", member("a"), None, 0.0),
        MemberView("q", member("a"), None, 0.0),
        MemberView("p", member("b", "failed"), None, 0.0),
        MemberView("p", member("c", "left"), None, 0.0),
        MemberView("p", member("d", draining=True), None, 0.0),
    ]
    samples, _ = scrape(metrics)
    assert samples["federation_nodes_total", ()] == 3
    assert samples["federation_nodes_healthy", ()] == 1
    assert samples["mpreg_pool_members", (("pool", "p"), ("status", "failed"))] == 1
    assert samples["mpreg_pool_members", (("pool", "p"), ("status", "suspect"))] == 0


def test_what_the_node_counts_is_printed_by_its_name_alone(node, metrics):
    node.counted = {
        ("mpreg_frames_dropped_total", (("plane", "gossip"), ("reason", "oversized"))): 3,
        ("mpreg_outbox_bytes", ()): 12,
        ("mpreg_some_new_thing_total", ()): 5,
        ("membership_failures_total", ()): 2,
    }
    samples, types = scrape(metrics)
    assert samples["mpreg_frames_dropped_total", (("plane", "gossip"), ("reason", "oversized"))] == 3
    assert types["mpreg_frames_dropped_total"] == "counter"
    assert types["mpreg_outbox_bytes"] == "gauge"
    assert types["mpreg_some_new_thing_total"] == "counter"
    assert samples["membership_failures_total", ()] == 2


def test_a_number_of_the_nodes_own_takes_the_place_of_ours(node, metrics):
    node.counted = {("federation_nodes_total", ()): 5_000}
    samples, types = scrape(metrics)
    assert samples["federation_nodes_total", ()] == 5_000
    assert types["federation_nodes_total"] == "gauge"
    assert metrics.exposition("")[0].count(b"# TYPE federation_nodes_total ") == 1


@pytest.mark.parametrize(
    ("event", "sample", "value"),
    [
        (Delivered("k", 1, b"", "b", 99_750, 3), ("gossip_message_latency_sum", ()), 0.25),
        (Delivered("k", 1, b"", "b", 101_000, 3), ("gossip_message_latency_sum", ()), 0.0),  # clocks disagree
        (Delivered("k", 1, b"", "b", 0, 3), ("mpreg_gossip_hops_sum", (("pool", "p"),)), 3.0),
        (RoundTrip("b", 20_000_000), ("mpreg_round_trip_seconds_sum", (("pool", "p"),)), 0.02),
        (RequestDone("s", "ok", 2, 5_000_000), ("mpreg_request_seconds_sum", (("outcome", "ok"),)), 0.005),
        (RequestDone("s", "timeout", 2, 1), ("mpreg_request_hops_sum", (("outcome", "timeout"),)), 2.0),
        (
            MemberChanged("refuted", member("b"), "suspect", "gossip"),
            ("mpreg_member_changes_total", (("change", "refuted"), ("pool", "p"))),
            1,
        ),
        (
            Decided("x", "k", b"", "a", "rejected", {}),
            ("mpreg_proposals_total", (("outcome", "rejected"), ("pool", "p"))),
            1,
        ),
    ],
)
def test_an_event_is_measured(metrics, event, sample, value):
    happen(metrics, event)
    assert scrape(metrics)[0][sample] == pytest.approx(value)


def test_a_proposal_is_timed_once_when_it_has_ended(node, metrics):
    node.decisions = [decided("x", None), decided("y")]
    scrape(metrics)
    node.decisions = [decided("x", 4.0), decided("y")]
    happen(metrics, Decided("x", "k", b"", "a", "committed", {}))
    samples, _ = scrape(metrics)
    assert samples["consensus_proposal_time_count", ()] == 2
    assert samples["consensus_proposal_time_sum", ()] == 6.0


def test_a_burst_of_decisions_looks_at_the_proposals_once(node, metrics):
    for at_ns in range(0, 200_000_000, 1_000_000):
        happen(metrics, Decided("x", "k", b"", "a", "committed", {}), at_ns)
    assert node.asked == 1


def test_buckets_are_cumulative_and_a_value_on_an_edge_is_below_it():
    histogram = Histogram("h", "Help.", (1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    buckets = {s.labels["le"]: s.value for s in histogram.family().samples if s.name == "h_bucket"}
    assert buckets == {"1.0": 2, "2.0": 3, "+Inf": 4}


def test_a_label_without_bound_is_cut_off():
    histogram = Histogram("h", "Help.", (1.0,), "outcome")
    for number in range(SERIES_MAX + 50):
        histogram.observe(0.5, f"code-{number}")
    counts = {s.labels["outcome"]: s.value for s in histogram.family().samples if s.name == "h_count"}
    assert len(counts) == SERIES_MAX + 1
    assert counts["other"] == 50


def test_open_metrics_comes_when_it_is_asked_for_and_has_no_created_series(metrics):
    happen(metrics, RoundTrip("b", 1))
    text, text_type = metrics.exposition("text/plain")
    open_text, open_type = metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert text_type.startswith("text/plain")
    assert open_type.startswith("application/openmetrics-text")
    assert open_text.endswith(b"# EOF\n")
    assert b"_created" not in text + open_text


def test_two_nodes_of_one_process_keep_their_numbers_apart(metrics):
    other = NodeMetrics(FakeNode(), [])
    happen(other, RoundTrip("b", 1))
    assert ("mpreg_round_trip_seconds_count", (("pool", "p"),)) not in scrape(metrics)[0]


def test_the_node_and_its_place_are_told(node, metrics):
    samples, _ = scrape(metrics)
    assert samples["mpreg_build_info", (("version", "0.1.0"),)] == 1
    plugin = (("distribution", "mpreg-detector-swim"), ("name", "swim"), ("version", "0.1.0"))
    assert samples["mpreg_plugin_info", plugin] == 1
    assert samples["mpreg_check_healthy", (("check", "hub"),)] == 0
    assert samples["mpreg_attached", ()] == 1
    node.now = structs.replace(node.now, parent_hub=None)
    assert scrape(metrics)[0]["mpreg_attached", ()] == 0


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_in_our_own_names(node, metrics):
    node.counted = {("mpreg_frames_in_total", (("plane", "gossip"),)): 3, ("mpreg_outbox_bytes", ()): 12}
    happen(metrics, RequestDone("s", "ok", 2, 5_000_000))
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics.exposition("")[0], capture_output=True, timeout=20, check=False
    )
    assert [line for line in checked.stderr.decode().splitlines() if line.startswith("mpreg_")] == []
