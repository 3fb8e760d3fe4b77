"""A hub that drains, leaves and comes back costs no request that may be asked twice."""

from random import Random

import pytest

from mpreg_core.sim import Fleet
from mpreg_core.testing import installed_parts

TIMEOUT_S, EVERY_S = 2.0, 0.02


class Busy(Fleet):
    """Each cluster serves a service, and asks for another one's again and again."""

    def begin(self, seed):
        self.rng = Random(seed)
        self.asked = {}
        self.world.run_until(self.is_whole, 30)
        self.clusters = [node for node in self.alive() if "-c" in node]
        for node in self.clusters:
            self.world.nodes[node].handlers[f"of-{node}"] = lambda invoke: ("", b"1")
            self.world.command(node, lambda core, node=node: core.registry.serve(f"of-{node}"))
        self.world.run(3)

    def ask(self, at, service):
        def act(core):
            token = core.new_token()
            self.asked[at, token] = service
            core.requests.ask(token, service, b"1", round(TIMEOUT_S * 1e9), idempotent=True)

        self.world.command(at, act)

    def work(self, duration_s):
        for _ in range(round(duration_s / EVERY_S)):
            for node in self.clusters:
                self.ask(node, f"of-{self.rng.choice(self.clusters)}")
            self.world.run(EVERY_S)

    def failed(self):
        outcomes = {key: self.world.nodes[key[0]].results.get(key[1]) for key in self.asked}
        return [
            (at, self.asked[at, token], outcome and outcome.reply)
            for (at, token), outcome in outcomes.items()
            if outcome is None or outcome.reply.code
        ]


@pytest.mark.parametrize("hub", ["us-east-1", "eu-west"])
@pytest.mark.parametrize("seed", [1, 5])
def test_a_drained_hub_costs_no_request(hub, seed):
    fleet = Busy.of_shape(installed_parts(), 1, 3, 2, 1, seed=seed)
    world = fleet.world
    fleet.begin(seed)
    fleet.work(0.5)
    world._do(world.nodes[hub], world.nodes[hub].core.drain(world.now_ns))
    fleet.work(1.0)
    world.leave(hub)
    fleet.work(1.0)
    world.start(hub)
    fleet.work(12)
    world.run(2 * TIMEOUT_S)
    assert len(fleet.asked) > 4000
    assert fleet.failed() == []
