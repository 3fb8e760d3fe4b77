"""What one frame costs inside a node: decoded, dispatched to its machine and answered, without sockets."""

import time

import pytest

from mpreg_core.contracts.members import Coordinates
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.node.actions import Transmit
from mpreg_core.node.parts import NodeSettings
from mpreg_core.sim import World
from mpreg_core.sim.world import PORTS, address_of

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]

ROUNDS, FRAMES = 7, 20_000
GOAL_US = 15.0


class Tapped(World):
    """Keeps what its nodes send: (from, to, plane, frame)."""

    def __init__(self, seed):
        super().__init__(seed)
        self.sent = []

    def _transmit(self, node, action):
        self.sent += [(node.id, endpoint.host, action.plane, action.frame) for endpoint in action.to]
        super()._transmit(node, action)


def pair(parts):
    """A hub and a cluster node that know each other."""
    world = Tapped(1)
    for node, tier, parent in (("hub", "local", None), ("node", "cluster", "hub")):
        settings = NodeSettings(
            id=node,
            federation="bench",
            tier=tier,
            region="here",
            address=address_of(node),
            started_ms=0,
            seed=0,
            parent=parent,
            parent_address=address_of(parent) if parent else None,
            coordinates=Coordinates(0.0, 0.0),
            version="1",
        )
        world.add(settings, parts)
    world.run(10)
    return world


def is_answered(world, source, target, plane, frame):
    """The actions of a node on this frame, if it sends one back and does nothing else."""
    core = world.nodes[target].core
    actions = core.on_frames(world.now_ns, plane, Endpoint(source, PORTS[plane]), (frame,))
    return len(actions) == 1 and isinstance(actions[0], Transmit)


def test_a_ping_is_answered(figure, default_parts):
    world = pair(default_parts)
    sent = [each for each in world.sent if each[2] == "membership" and is_answered(world, *each)]
    source, target, plane, frame = sent[-1]
    core, endpoint = world.nodes[target].core, Endpoint(source, PORTS[plane])
    costs = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for number in range(FRAMES):
            core.on_frames(world.now_ns + number * 1_000, plane, endpoint, (frame,))
        costs.append((time.perf_counter() - begun) / FRAMES * 1e6)
    figure("a frame through NodeCore, decoded, dispatched and answered", "µs", GOAL_US, costs)
