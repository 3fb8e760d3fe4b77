"""Pools of `phi` machines in a deterministic network: completeness, accuracy, healing, replay, bounds."""

from collections.abc import Callable
from typing import Any

import pytest

from mpreg_detector_phi.options import PhiOptions
from mpreg_detector_phi.plugin import SPEC

GUIDE = PhiOptions(probe_interval=2.0, probe_timeout=5.0, suspicion_timeout=30.0)
GOSSIP_S = 0.5

Net = Callable[..., Any]


@pytest.mark.parametrize("nodes", [3, 10, 20])
def test_a_crash_is_known_to_all_within_the_bound(network: Net, seed: int, nodes: int) -> None:
    net = network(SPEC, PhiOptions(), nodes, seed=seed)
    net.run(120)
    net.crash("n1")
    net.run(1 + 2 + 5.612 * 0.1 + 1 + GOSSIP_S, until=lambda: net.all_say("n1", "failed"))
    assert {v.peer for v in net.verdicts("failed")} == {"n1"}


def test_a_single_watcher_lets_the_whole_suspicion_pass(network: Net, seed: int) -> None:
    net = network(SPEC, PhiOptions(), 2, seed=seed)
    net.run(120)
    net.crash("n1")
    failed_s = net.run(1 + 2 + 5.612 * 0.1 + 4, until=lambda: net.all_say("n1", "failed")) - 120
    assert failed_s > 6


def test_the_guides_options_convict_too(network: Net, seed: int) -> None:
    net = network(SPEC, GUIDE, 7, seed=seed)
    net.run(200)
    net.crash("n1")
    net.run(2 + 4 + 5.612 * 0.2 + 2 + GOSSIP_S, until=lambda: net.all_say("n1", "failed"))


def test_a_member_that_dies_with_all_its_watchers_is_failed_too(network: Net, seed: int) -> None:
    net = network(SPEC, PhiOptions(), 30, seed=seed)
    net.run(60)
    watchers = net.nodes["n0"].machine._peers.present.predecessors("n1", 5)
    for name in ("n1", *watchers):
        net.crash(name)
    net.run(60, until=lambda: all(net.all_say(name, "failed") for name in ("n1", *watchers)))
    assert {v.peer for v in net.verdicts("failed")} == {"n1", *watchers}


def test_a_refused_port_is_known_to_all_as_soon_as_the_news_travels(network: Net, seed: int) -> None:
    net = network(SPEC, PhiOptions(), 30, seed=seed)
    net.refuses = True
    net.run(10)
    net.crash("n1")
    net.run(GOSSIP_S + 0.1, until=lambda: net.all_say("n1", "failed"))


def test_nobody_is_accused_in_a_quarter_of_an_hour_with_five_percent_loss(network: Net) -> None:
    net = network(SPEC, PhiOptions(), 12, seed=1, loss=0.05)
    net.run(900)
    assert net.verdicts("suspect") == []


def test_nobody_fails_when_all_datagrams_are_lost_as_streams_answer(network: Net) -> None:
    net = network(SPEC, PhiOptions(), 6, seed=1, loss=1.0)
    net.run(300)
    assert net.verdicts("suspect") == []


def test_answers_that_take_longer_than_the_interval_accuse_nobody(network: Net) -> None:
    net = network(SPEC, GUIDE, 6, seed=2, delay=(1.9, 2.4))
    net.run(600)
    assert net.verdicts("suspect") == []
    assert net.round_trips > 6 * 5 * 250


def test_a_suspect_that_wakes_up_in_time_refutes_and_is_alive_everywhere(network: Net, seed: int) -> None:
    net = network(SPEC, PhiOptions(acceptable_pause=1.0, watchers=2, suspicion_timeout=30.0), 2, seed=seed)
    net.run(60)
    net.pause("n1", 8.0)
    net.run(8)
    assert any(v.peer == "n1" for v in net.verdicts("suspect"))
    net.run(5, until=net.all_alive)
    assert net.nodes["n1"].me.incarnation > 1
    assert net.verdicts("failed") == []


def test_a_process_that_was_paused_accuses_nobody_when_it_resumes(network: Net, seed: int) -> None:
    net = network(SPEC, PhiOptions(), 12, seed=seed)
    for _ in range(4):
        net.run(20)
        net.pause("n3", 30.0)
        net.run(50)
    assert {v.peer for v in net.verdicts("suspect")} <= {"n3"}
    net.run(30, until=net.all_alive)
    assert net.nodes["n3"].machine.snapshot().counts["pauses"] == 4


def test_a_restarted_process_is_alive_again(network: Net, seed: int) -> None:
    net = network(SPEC, PhiOptions(), 8, seed=seed)
    net.run(10)
    net.crash("n1")
    net.run(15, until=lambda: net.all_say("n1", "failed"))
    net.restart("n1")
    net.run(10, until=net.all_alive)
    net.run(60)
    assert net.all_alive()


def test_a_partition_is_seen_and_heals_by_itself(network: Net, seed: int) -> None:
    net = network(SPEC, PhiOptions(), 16, seed=seed)
    net.anti_entropy(1.0)
    net.run(10)
    left = {f"n{i}" for i in range(8)}
    net.blocked = lambda source, to, lane: (source in left) != (to in left)
    net.run(75)
    for node in net.nodes.values():
        for record in node.table.values():
            assert (record.status == "failed") == ((node.id in left) != (record.id in left))
    net.blocked = lambda source, to, lane: False
    net.run(15, until=net.all_alive)


def test_the_same_seed_gives_the_same_trace_and_another_seed_another(network: Net) -> None:
    def trace(seed: int) -> Any:
        net = network(SPEC, PhiOptions(), 10, seed=seed, loss=0.1)
        net.run(20)
        net.crash("n1")
        net.pause("n2", 6.0)
        net.run(40)
        return net.trace, net.frames, net.bytes, net.now_ns

    assert trace(1) == trace(1)
    assert trace(1) != trace(2)


def test_a_nodes_load_does_not_depend_on_the_pool(network: Net) -> None:
    def frames_per_node_s(nodes: int) -> float:
        net = network(SPEC, PhiOptions(), nodes, seed=1)
        net.run(20)
        return float(net.frames / nodes / 20)

    assert frames_per_node_s(100) == pytest.approx(10.0, abs=0.3)
    assert frames_per_node_s(20) == pytest.approx(10.0, abs=0.3)
