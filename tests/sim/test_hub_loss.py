"""After the loss of any one hub every service that still has a live cluster answers everybody again."""

import pytest

from mpreg_core.sim import Fleet
from mpreg_core.testing import installed_parts

AGAIN_S = 5.0
ASK_S = 0.5


@pytest.fixture
def fleet():
    made = Fleet.of_shape(installed_parts(), 1, 2, 2, 2)
    made.world.run_until(made.is_whole, 30)
    for node in clusters(made):
        made.world.command(node, lambda core, node=node: core.registry.serve(f"of-{node}"))
        made.world.nodes[node].handlers[f"of-{node}"] = lambda invoke: ("", b"1")
    made.world.run(3)
    return made


def clusters(fleet):
    return [node for node in fleet.alive() if "-c" in node]


def unanswered(fleet, pairs):
    """Ask for each pair (who asks, whose service) and wait: those that got no answer."""
    tokens = {}
    for at, served in pairs:

        def ask(core, at=at, served=served):
            tokens[at, served] = core.new_token()
            core.requests.ask(tokens[at, served], f"of-{served}", b"1", round(ASK_S * 1e9), idempotent=True)

        fleet.world.command(at, ask)
    fleet.world.run(ASK_S + 0.05)
    results = {pair: fleet.world.nodes[pair[0]].results.get(token) for pair, token in tokens.items()}
    return {pair for pair, outcome in results.items() if outcome is None or outcome.reply.code}


@pytest.mark.parametrize("lost", ["global-1", "us-east", "eu-west", "us-east-1", "eu-west-2"])
def test_every_service_answers_again_soon_after_a_hub_is_lost(fleet, lost):
    world = fleet.world
    pairs = {(at, served) for at in clusters(fleet) for served in clusters(fleet)}
    assert not unanswered(fleet, pairs)
    world.crash(lost)
    begun_ns = world.now_ns
    while pairs:
        pairs = unanswered(fleet, pairs)
        took_s = (world.now_ns - begun_ns) / 1e9
        assert took_s < AGAIN_S, f"{len(pairs)} still without an answer: {sorted(pairs)[:3]}"
