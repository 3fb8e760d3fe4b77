"""Pools of `swim` machines in a deterministic network: completeness, accuracy, healing, replay, bounds."""

from collections.abc import Callable
from math import log10
from typing import Any

import pytest

from mpreg_detector_swim.options import SwimOptions
from mpreg_detector_swim.plugin import SPEC

GUIDE = SwimOptions(probe_interval=2.0, probe_timeout=5.0, suspicion_timeout=30.0)
GOSSIP_S = 0.5  # the network's slowest way of a record to everyone

Net = Callable[..., Any]


def bound_s(options: SwimOptions, nodes: int) -> float:
    """What the machine's docstring promises, and the time of the news to everyone."""
    longest_s = options.suspicion_timeout or (options.suspicion_mult * max(1, log10(nodes)) * options.probe_interval)
    turns = 2 * nodes - 3
    return turns * options.probe_interval + 2 * options.probe_timeout + longest_s + GOSSIP_S


@pytest.mark.parametrize(
    ("options", "nodes"), [(SwimOptions(), 2), (SwimOptions(), 10), (SwimOptions(), 30), (GUIDE, 7)]
)
def test_a_crash_is_known_to_all_within_the_bound(network: Net, seed: int, options: SwimOptions, nodes: int) -> None:
    net = network(SPEC, options, nodes, seed=seed)
    net.run(20)
    net.crash("n1")
    net.run(bound_s(options, nodes), until=lambda: net.all_say("n1", "failed"))
    assert {v.peer for v in net.verdicts("failed")} == {"n1"}


def test_a_crash_is_known_within_the_bound_although_datagrams_are_lost(network: Net, seed: int) -> None:
    net = network(SPEC, SwimOptions(), 10, seed=seed, loss=0.2)
    net.run(20)
    net.crash("n1")
    net.run(bound_s(SwimOptions(), 10) * 2, until=lambda: net.all_say("n1", "failed"))


def test_a_crash_in_a_pool_of_thirty_is_known_in_half_of_serfs_time(network: Net) -> None:
    times = []
    for seed in range(30):
        net = network(SPEC, SwimOptions(), 30, seed=seed)
        net.run(10)
        net.crash("n1")
        times.append(net.run(60, until=lambda net=net: net.all_say("n1", "failed")) - 10)
    assert sorted(times)[15] < 8.1 / 2


def test_a_refused_port_is_known_to_all_as_soon_as_the_news_travels(network: Net, seed: int) -> None:
    net = network(SPEC, SwimOptions(), 30, seed=seed)
    net.refuses = True
    net.run(10)
    net.crash("n1")
    net.run(GOSSIP_S + 0.1, until=lambda: net.all_say("n1", "failed"))
    assert {v.cause for v in net.verdicts("failed")} <= {"refused", "gossip"}


def test_nobody_is_accused_in_an_hour_with_five_percent_loss(network: Net) -> None:
    net = network(SPEC, SwimOptions(), 20, seed=1, loss=0.05)
    net.run(3600)
    assert net.verdicts("suspect") == []
    assert net.verdicts("failed") == []


def test_nobody_fails_when_all_datagrams_are_lost_as_streams_answer(network: Net) -> None:
    net = network(SPEC, SwimOptions(), 10, seed=1, loss=1.0)
    net.run(300)
    assert net.verdicts("suspect") == []
    assert net.nodes["n0"].machine.snapshot().counts["acks_by_stream"] > 100


def test_probes_that_take_longer_than_the_interval_accuse_nobody(network: Net) -> None:
    net = network(SPEC, GUIDE, 8, seed=2, delay=(1.9, 2.4))
    net.run(600)
    assert net.verdicts("suspect") == []
    assert net.round_trips > 8 * 100


def test_a_member_reached_by_helpers_alone_is_not_suspected(network: Net, seed: int) -> None:
    net = network(SPEC, SwimOptions(), 6, seed=seed)
    net.blocked = lambda source, to, lane: lane != "gossip" and {source, to} == {"n0", "n1"}
    net.run(300)
    assert net.verdicts("suspect") == []
    assert net.nodes["n0"].machine.snapshot().counts["acks_indirect"] > 20


def test_a_suspect_that_wakes_up_in_time_refutes_and_is_alive_everywhere(network: Net, seed: int) -> None:
    net = network(SPEC, SwimOptions(suspicion_timeout=20.0), 10, seed=seed)
    net.run(10)
    net.pause("n3", 5.0)
    net.run(5)
    assert any(v.peer == "n3" for v in net.verdicts("suspect"))
    net.run(3, until=net.all_alive)
    assert net.nodes["n3"].me.incarnation > 1
    assert net.verdicts("failed") == []


def test_a_process_that_was_paused_accuses_nobody_when_it_resumes(network: Net, seed: int) -> None:
    net = network(SPEC, SwimOptions(), 20, seed=seed)
    for _ in range(5):
        net.run(10)
        net.pause("n3", 30.0)
        net.run(40)
    assert {v.peer for v in net.verdicts("suspect")} <= {"n3"}
    assert {v.peer for v in net.verdicts("failed")} <= {"n3"}
    net.run(30, until=net.all_alive)
    assert net.nodes["n3"].machine.snapshot().counts["pauses"] == 5


def test_members_that_stop_and_go_get_no_healthy_member_convicted(network: Net, seed: int) -> None:
    net = network(SPEC, SwimOptions(), 30, seed=seed)
    sick = {f"n{i}" for i in range(6)}
    net.run(10)
    for _ in range(10):
        for name in sorted(sick):
            net.pause(name, 8.0)
        net.run(9)
    assert {v.peer for v in net.verdicts("failed")} <= sick
    net.run(40, until=net.all_alive)


def test_a_restarted_process_is_alive_again(network: Net, seed: int) -> None:
    net = network(SPEC, SwimOptions(), 8, seed=seed)
    net.refuses = True
    net.run(10)
    net.crash("n1")
    net.run(5, until=lambda: net.all_say("n1", "failed"))
    net.restart("n1")
    net.run(5, until=net.all_alive)
    net.run(60)
    assert net.all_alive()


def test_a_partition_is_seen_and_heals_by_itself(network: Net, seed: int) -> None:
    net = network(SPEC, SwimOptions(), 20, seed=seed)
    net.anti_entropy(1.0)
    net.run(10)
    left = {f"n{i}" for i in range(10)}
    net.blocked = lambda source, to, lane: (source in left) != (to in left)
    net.run(
        8,  # without the sweep some wait for their turn for twice as long
        until=lambda: all(
            (record.status == "failed") == ((node.id in left) != (record.id in left))
            for node in net.nodes.values()
            for record in node.table.values()
        ),
    )
    net.run(75)
    assert {v.peer in left for _, at, v in net.trace if v.status == "failed" and v.peer != at and at in left} == {False}
    net.blocked = lambda source, to, lane: False
    net.run(10, until=net.all_alive)


def test_a_partition_heals_without_anything_but_probes(network: Net, seed: int) -> None:
    net = network(SPEC, SwimOptions(), 6, seed=seed)
    net.run(10)
    net.blocked = lambda source, to, lane: (source in ("n0", "n1")) != (to in ("n0", "n1"))
    net.run(120)
    assert net.status("n0", "n5") == net.status("n5", "n0") == "failed"
    net.blocked = lambda source, to, lane: False
    net.run(60, until=net.all_alive)


def test_the_same_seed_gives_the_same_trace_and_another_seed_another(network: Net) -> None:
    def trace(seed: int) -> Any:
        net = network(SPEC, SwimOptions(), 12, seed=seed, loss=0.1)
        net.run(20)
        net.crash("n1")
        net.pause("n2", 6.0)
        net.run(60)
        return net.trace, net.frames, net.bytes, net.now_ns

    assert trace(1) == trace(1)
    assert trace(1) != trace(2)


def test_a_nodes_load_does_not_depend_on_the_pool(network: Net) -> None:
    def frames_per_node_s(nodes: int) -> float:
        net = network(SPEC, SwimOptions(), nodes, seed=1)
        net.run(60)
        return float(net.frames / nodes / 60)

    assert frames_per_node_s(200) == pytest.approx(2.0, abs=0.1)
    assert frames_per_node_s(5) == pytest.approx(2.0, abs=0.1)


def test_churn_leaves_nothing_behind(network: Net, make_member: Callable[..., Any]) -> None:
    net = network(SPEC, SwimOptions(), 4, seed=1)
    node = net.nodes["n0"]
    for i in range(1000):
        status = ("alive", "suspect", "failed")[i % 3]
        node.machine.on_members(net.now_ns, [make_member(f"x{i}", 1, status)])
        net.run(0.05)
        node.machine.on_members(net.now_ns, [make_member(f"x{i}", 1, "left")])
    net.run(30)
    snapshot = node.machine.snapshot()
    assert (snapshot.present, snapshot.failed, snapshot.suspects) == (3, 0, 0)
    assert snapshot.probes_open <= 3
    assert snapshot.timers <= 8
    assert snapshot.updates_queued <= 4


def test_even_a_storm_of_changes_keeps_every_message_within_a_datagram(network: Net) -> None:
    net = network(SPEC, SwimOptions(), 60, seed=1)
    net.run(5)
    for i in range(30, 60):
        net.crash(f"n{i}")
    net.run(60, until=lambda: all(net.all_say(f"n{i}", "failed") for i in range(30, 60)))
    assert {v.peer for v in net.verdicts("failed")} == {f"n{i}" for i in range(30, 60)}
    assert 100 < net.frame_bytes_max < 1136
