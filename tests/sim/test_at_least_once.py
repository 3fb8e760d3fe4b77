"""No message that was safe at its publisher is lost to subscribers and groups that live, whatever else crashes."""

from random import Random

import pytest

from mpreg_core.contracts.events import Published
from mpreg_core.sim import Fleet
from mpreg_core.testing import installed_parts

SUBSCRIBER, WORKERS = "eu-west-1-c1", ("eu-west-2-c1", "us-east-2-c1")
ROUNDS, A_ROUND = 12, 3
CALM_S = 90
FOUND = (22, 24)
"""A queue group was asked back by the hub that it had been given to; a hub came back before those it knew were home."""


class Publishing(Fleet):
    """Publishes, and remembers what became safe."""

    def __init__(self, parts, seed):
        super().__init__(parts, seed)
        self.rng = Random(seed)
        self.safe = []

    def publish(self):
        node, topic = self.rng.choice(self.alive()), f"orders.{len(self.safe)}.{self.world.now_ns}"

        def act(core):
            core.spread.publish(topic, b"1", at_least_once=True)
            core.messages.custody.log.then(lambda: self.safe.append(topic))

        self.world.command(node, act)
        self.world.run(self.rng.random() * 0.3)

    def trouble(self):
        """A crash or a restart, a cut between the regions or its end, or nothing."""
        world, dice = self.world, self.rng.random()
        victim = self.rng.choice([node for node in world.nodes if node not in (SUBSCRIBER, *WORKERS)])
        if dice < 0.35:
            (world.crash if world.nodes[victim].alive else world.start)(victim)
        elif dice < 0.5:
            eu = [node for node in world.nodes if "eu" in node]
            world.network.partition(eu, [node for node in world.nodes if node not in eu])
        elif dice < 0.6:
            world.network.heal()

    def mend(self):
        self.world.network.heal()
        for name, node in self.world.nodes.items():
            if not node.alive:
                self.world.start(name)

    def came(self, *nodes, chosen=False):
        events = (each.event for node in nodes for each in self.world.nodes[node].events)
        return {event.topic for event in events if isinstance(event, Published) and (event.chosen or not chosen)}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*FOUND, 101, 102, 103])
def test_what_was_safe_arrives(seed):
    fleet = Publishing.of_shape(installed_parts(), 1, 2, 2, 2, seed=seed)
    world = fleet.world
    world.run_until(fleet.is_whole, 30)
    world.run(6)
    for node, queue in ((SUBSCRIBER, ""), *((worker, "workers") for worker in WORKERS)):
        world.command(node, lambda core, queue=queue: core.messages.subscribe("orders.#", queue))
    world.run(1)
    for _ in range(ROUNDS):
        fleet.trouble()
        for _ in range(A_ROUND):
            fleet.publish()
        world.run(fleet.rng.random() * 6)
    fleet.mend()
    world.run(CALM_S)
    safe = set(fleet.safe)
    assert len(safe) > ROUNDS * A_ROUND / 2
    assert safe - fleet.came(SUBSCRIBER) == set()
    assert safe - fleet.came(*WORKERS, chosen=True) == set()
