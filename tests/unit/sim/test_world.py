"""The world: its network loses as told, its disks keep order, its clocks differ, and it ends a node that runs away."""

from itertools import pairwise
from random import Random

import pytest

from mpreg_core.contracts.effects import Send
from mpreg_core.contracts.members import Coordinates
from mpreg_core.node.actions import WriteRecord
from mpreg_core.sim import Faults, Network, RunawayError, World
from mpreg_core.sim.fleet import parse_shape
from mpreg_core.testing.stand_ins import HEARTBEATS, Beat, Heartbeats, NoOptions
from mpreg_core.testing.subject import Subject
from mpreg_core.units import NS_PER_S


def network(**faults):
    return Network(Random(1), Faults(**faults))


def lost(net, source="a", target="b", count=20_000):
    return sum(not net.datagram(0, source, target) for _ in range(count)) / count


@pytest.mark.parametrize("burst", [1.0, 10.0])
def test_so_many_datagrams_are_lost_alone_or_in_bursts(burst):
    assert lost(network(loss=0.1, burst=burst)) == pytest.approx(0.1, abs=0.03)


def test_losses_in_bursts_follow_each_other():
    net = network(loss=0.1, burst=10.0)
    fates = [not net.datagram(0, "a", "b") for _ in range(20_000)]
    after_a_loss = [later for earlier, later in pairwise(fates) if earlier]
    assert sum(after_a_loss) / len(after_a_loss) > 0.8


def test_far_nodes_are_slow_to_reach():
    net = network(jitter_s=0.0)
    net.place("a", Coordinates(40.7, -74.0))
    net.place("b", Coordinates(51.5, -0.1))
    assert net.datagram(0, "a", "b")[0] == pytest.approx(0.028 * NS_PER_S, rel=0.1)


def test_bandwidth_makes_frames_wait_for_each_other():
    net = network(bandwidth_bytes_s=10_000, jitter_s=0.0, delay_s=0.001)
    arrivals = [net.datagram(0, "a", "b", 972)[0] for _ in range(3)]
    assert [round(at / NS_PER_S, 3) for at in arrivals] == [0.101, 0.201, 0.301]


def test_reordered_datagrams_are_overtaken_and_streams_never():
    net = network(reorder=0.5)
    datagrams = [net.datagram(at * 1_000_000, "a", "b")[0] for at in range(200)]
    streams = [net.stream(at * 1_000_000, "a", "b") for at in range(200)]
    assert datagrams != sorted(datagrams)
    assert streams == sorted(streams)


def test_a_disk_that_fails_for_a_while_keeps_the_order_of_its_records(fleet):
    world = fleet().world
    node = world.nodes["us-east-1"]
    node.disk.faults.full = True
    for number in range(3):
        world._write(node, WriteRecord("j", number, b"%d" % number, checkpoint=False))
        world.run(0.7)
    assert node.disk.journals.get("j") is None
    node.disk.faults.full = False
    world.run(3)
    assert node.disk.journals["j"] == [b"0", b"1", b"2"]
    assert any(type(each.event).__name__ == "StorageFailed" for each in node.events)


def test_a_crash_loses_what_was_not_yet_durable(fleet):
    world = fleet().world
    node = world.nodes["us-east-1"]
    world._write(node, WriteRecord("j", 1, b"lost", checkpoint=False))
    world.crash("us-east-1")
    world.run(1)
    world.start("us-east-1")
    assert "j" not in node.disk.journals


def test_a_drifting_clock_goes_its_own_pace_without_a_step(fleet):
    world = fleet().world
    node = world.nodes["us-east-1"]
    before = world._now(node)
    world.drift("us-east-1", 0.5)
    assert world._now(node) == before
    world.run(10)
    assert (world._now(node) - before) / NS_PER_S == pytest.approx(15, abs=0.1)
    world.drift("us-east-1", 0.0)
    ahead = world._now(node) - world.now_ns
    world.run(10)
    assert world._now(node) - world.now_ns == ahead


def test_a_strategy_that_feeds_itself_is_ended_by_name():
    class Echo(Heartbeats):
        def on_message(self, now_ns, sender, message):
            return [Send((sender,), Beat(True)), Send((sender,), Beat(True))]

    spec = Subject(HEARTBEATS, NoOptions()).spec
    subject = Subject(type(spec)(**{**_fields(spec), "name": "echo", "create": Echo}), NoOptions())
    pool = subject.pool(3, 1, delay_s=0.0, jitter_s=0.0)
    with pytest.raises(RunawayError, match="echo"):
        pool.world.run(10)


def _fields(spec):
    return {name: getattr(spec, name) for name in ("summary", "options", "messages", "api", "wire", "protocol")}


def test_a_replaced_node_starts_with_nothing(fleet):
    world = fleet().world
    node = world.nodes["us-east-1"]
    assert node.disk.journals
    world.crash("us-east-1")
    world.replace("us-east-1")
    assert not node.core.state.settings.records


@pytest.mark.parametrize("text", ["", "1x2", "0x1x1", "1xax1", "1x2x2x2x2", "9x99x99x9"])
def test_what_is_no_shape_is_told(text):
    with pytest.raises(ValueError, match="expected"):
        parse_shape(text)


def test_an_empty_world_only_lets_time_pass():
    world = World(1)
    world.run(5)
    assert world.frames == 0
