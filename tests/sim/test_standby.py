"""A hub that stands by leads its pool soon after its hub is gone, alone, and steps down when that one is back."""

import pytest

from mpreg_core.contracts.events import SuccessionChanged
from mpreg_core.sim import Fleet
from mpreg_core.testing import installed_parts

SOON_S = 3.0
TIERS = [("g1", "g2", "global"), ("us-east", "us-east-b", "regional:us-east")]


class Standing(Fleet):
    """Two regions below `g1`, with `g2` to stand by for it and `us-east-b` for `us-east`."""

    def __init__(self, parts, more=0):
        super().__init__(parts)
        self.add("g1", "global", "us-east", None)
        self.add("g2", "global", "us-east", None, stands_by_for="g1")
        for region in ("us-east", "eu-west"):
            self.add(region, "regional", region, "g1")
            for number in (1, 2):
                self.add(f"{region}-{number}", "local", region, region)
                self.add(f"{region}-c{number}", "cluster", region, f"{region}-{number}")
        for letter in "bcd"[: 1 + more]:
            self.add(f"us-east-{letter}", "regional", "us-east", "g1", stands_by_for="us-east")

    def parent(self, node):
        return self.world.nodes[node].core.state.parent

    def parents(self):
        """The hubs that the children of the pools with a hub to stand by are attached to."""
        return {name: self.parent(name) for name in ("us-east-1", "us-east-2", "eu-west")}

    def stands_by(self, node):
        return self.world.nodes[node].core.state.stands_by

    def changes(self, node):
        return [each.event.leads for each in self.world.nodes[node].events if isinstance(each.event, SuccessionChanged)]

    def answers(self, at, to):
        token = self.request(at, to, 2.0)
        self.world.run(2.1)
        return not self.world.nodes[at].results[token].reply.code


@pytest.fixture(params=[(), ("consensus=raft",)], ids=["quorum", "raft"])
def fleet(request):
    made = Standing(installed_parts(*request.param))
    made.world.run(4)
    assert made.is_whole()
    return made


def test_while_its_hub_lives_it_is_a_member_and_leads_nothing(fleet):
    assert fleet.parents() == {"us-east-1": "us-east", "us-east-2": "us-east", "eu-west": "g1"}
    assert (fleet.parent("us-east-b"), fleet.parent("g2")) == ("us-east", "g1")
    assert list(fleet.world.nodes["us-east-b"].core.state.stacks) == ["regional:us-east"]
    assert fleet.answers("eu-west-c1", "us-east-b")


@pytest.mark.parametrize(("lost", "next_hub", "pool"), TIERS)
def test_it_leads_when_its_hub_dies_and_steps_down_when_that_one_is_back(fleet, lost, next_hub, pool):
    led = [name for name, parent in fleet.parents().items() if parent == lost]
    fleet.world.crash(lost)
    took_s = fleet.world.run_until(lambda: all(fleet.parent(name) == next_hub for name in led), 10)
    assert took_s < SOON_S
    fleet.world.run(1)
    assert fleet.answers("us-east-c1", "eu-west-c2")
    assert fleet.answers("eu-west-c2", "us-east-c1")
    fleet.world.start(lost)
    fleet.world.run_until(lambda: fleet.stands_by(next_hub), 20)
    fleet.world.run(1)
    assert fleet.is_whole()
    assert all(fleet.parent(name) == lost for name in led)
    assert fleet.changes(next_hub) == [True, False]
    assert fleet.answers("us-east-c1", "eu-west-c2")


@pytest.mark.parametrize(("lost", "next_hub", "pool"), TIERS)
def test_it_leads_while_its_hub_drains(fleet, lost, next_hub, pool):
    node = fleet.world.nodes[lost]
    fleet.world._do(node, node.core.drain(fleet.world.now_ns))
    assert fleet.world.run_until(lambda: not fleet.stands_by(next_hub), 10) < SOON_S


def test_of_several_one_is_chosen():
    fleet = Standing(installed_parts(), more=2)
    fleet.world.run(4)
    fleet.world.crash("us-east")
    fleet.world.run(6)
    assert sorted(not fleet.stands_by(f"us-east-{letter}") for letter in "bcd") == [False, False, True]
    (leading,) = [f"us-east-{letter}" for letter in "bcd" if not fleet.stands_by(f"us-east-{letter}")]
    assert fleet.parent("us-east-1") == leading
    fleet.world.crash(leading)
    fleet.world.run(8)
    (second,) = [
        name for name in ("us-east-b", "us-east-c", "us-east-d") if name != leading and not fleet.stands_by(name)
    ]
    assert fleet.parent("us-east-1") == second


def test_cut_off_from_the_majority_it_leads_nobody(fleet):
    others = [name for name in fleet.world.nodes if name != "us-east-b"]
    fleet.world.network.partition(others, ["us-east-b"])
    fleet.world.run(20)
    assert fleet.stands_by("us-east-b")
    assert fleet.parent("us-east-1") == "us-east"
    fleet.world.network.heal()
    fleet.world.run(15)
    assert fleet.is_whole()
    assert fleet.changes("us-east-b") == []


def test_one_that_left_for_good_is_asked_for_no_vote(fleet):
    fleet.world.run(2)
    hub = fleet.world.nodes["us-east"].core.state.stack_of("regional")
    assert "us-east-b" in hub.counted()
    fleet.world.leave("us-east-b")
    fleet.world.run(10)
    assert "us-east-b" not in hub.counted()
    assert "us-east-b" not in hub.voters.ids


def test_one_of_another_region_is_refused_with_what_to_correct(fleet):
    fleet.add("eu-west-b", "regional", "eu-west", "g1", stands_by_for="us-east")
    fleet.world.run(3)
    refusal = fleet.world.nodes["eu-west-b"].core.joining.refusal
    assert "eu-west-b of region eu-west cannot stand by in region us-east" in refusal
    assert "node.stands_by_for" in refusal
