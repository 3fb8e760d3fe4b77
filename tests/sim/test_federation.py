"""What the federation promises, with the real strategies in every combination, under loss, crash and partition."""

from mpreg_core.sim.world import address_of


def test_a_federation_of_any_combination_forms_serves_and_survives(fleet, combination):
    fed = fleet(combination=combination, loss=0.02)
    fed.grow()
    assert fed.world.run_until(fed.complete, 15) < 5, "formed"
    fed.world.run(2)
    reply = fed.request("c-us-1-1", "mpreg.echo", node="c-eu-2-1").reply
    assert reply.path == ("c-us-1-1", "l-us-1", "r-us", "r-eu", "l-eu-2", "c-eu-2-1")
    fed.world.command("c-us-1-1", lambda core: core.replication.put("k", 1, "federation", None, None))
    assert fed.world.run_until(lambda: fed.values("k") == {1}, 15) < 8, "spread"
    made = fed.propose("r-us", "max_load", 0.8, scope="federation")
    assert made.decided.status == "committed"
    assert fed.world.run_until(lambda: fed.values("max_load") == {0.8}, 15) < 8
    fed.world.crash("l-us-1")
    child = fed.world.nodes["c-us-1-1"].core.state
    assert fed.world.run_until(lambda: child.parent == "l-us-2", 60) < 30, "re-attached"
    assert fed.world.run_until(lambda: fed.status("r-us", "regional:us", "l-us-1") == "failed", 60) < 30
    fed.world.start("l-us-1")
    assert fed.world.run_until(lambda: fed.complete() and child.parent == "l-us-1", 60) < 40, "home again"


def test_a_partition_between_regions_heals_by_itself(fleet, combination):
    fed = fleet(2, combination, loss=0.02)
    fed.grow()
    fed.world.run_until(fed.complete, 15)
    fed.world.network.partition([node for node in fed.ids if "eu" in node])
    fed.world.run(40)
    assert fed.status("g", "global", "r-eu") == "failed"
    fed.world.command("c-us-1-1", lambda core: core.replication.put("us", 1, "federation", None, None))
    fed.world.command("c-eu-1-1", lambda core: core.replication.put("eu", 2, "federation", None, None))
    fed.world.network.heal()
    assert fed.world.run_until(fed.complete, 60) < 30
    assert fed.world.run_until(lambda: (fed.values("us"), fed.values("eu")) == ({1}, {2}), 30) < 15


def test_a_leaving_node_is_left_not_failed(fleet, combination):
    fed = fleet(combination=combination)
    fed.grow()
    fed.world.run_until(fed.complete, 15)
    fed.world.leave("c-us-1-1")
    assert fed.world.run_until(lambda: fed.status("l-us-1", "local:l-us-1", "c-us-1-1") == "left", 5) < 1
    fed.world.run(20)
    assert fed.status("l-us-1", "local:l-us-1", "c-us-1-1") == "left"


def test_nobody_is_failed_by_ten_percent_loss(fleet, combination):
    fed = fleet(3, combination, loss=0.1)
    fed.grow()
    fed.world.run_until(fed.complete, 30)
    fed.world.run(120)
    changes = [o.event for n in fed.world.nodes.values() for o in n.events if type(o.event).__name__ == "MemberChanged"]
    assert [event for event in changes if event.change == "failed"] == []


def test_a_paused_node_that_resumes_convicts_nobody(fleet):
    fed = fleet(4)
    fed.grow()
    fed.world.run_until(fed.complete, 15)
    fed.world.pause("r-us")
    fed.world.run(60)
    fed.world.resume("r-us")
    fed.world.run(20)
    changes = [o.event for o in fed.world.nodes["r-us"].events if type(o.event).__name__ == "MemberChanged"]
    assert [event.member.id for event in changes if event.change == "failed" and event.by == "r-us"] == []
    assert fed.world.run_until(fed.complete, 60) < 30


def test_the_same_seed_replays_the_same_frames(fleet):
    digests = set()
    for _ in range(2):
        fed = fleet(5, loss=0.05)
        fed.grow()
        fed.world.run(20)
        digests.add(fed.world.digest())
    assert len(digests) == 1


def test_a_local_hub_dying_during_a_proposal_leaves_no_two_truths(fleet):
    for seed in range(5):
        fed = fleet(seed, loss=0.05)
        fed.grow()
        fed.world.run_until(fed.complete, 15)
        for at, value in (("l-us-1", "a"), ("l-us-2", "b")):
            fed.world.command(
                at, lambda core, value=value: core.decisions.propose(core.new_token(), "region", "k", value, 5 * 10**9)
            )
        fed.world.run(0.003 * seed)
        fed.world.crash("l-us-1")
        fed.world.run(20)
        fed.world.start("l-us-1")
        fed.world.run_until(fed.complete, 60)
        fed.world.run(10)
        held = {
            name: fed.world.nodes[name].core.replication.list("k", "region")[0].value
            for name in ("r-us", "l-us-1", "l-us-2")
        }
        assert len(set(held.values())) == 1, f"seed {seed}: {held}"


def test_a_further_global_hub_is_ready_once_a_seed_answers_or_none_does(fleet):
    fed = fleet()
    fed.grow(hubs=1)
    second = fed.add("g2", "global", "eu", None, seeds=(address_of("g"),))
    lonely = fed.add("g3", "global", "ap", None, seeds=(address_of("nobody"),))
    assert fed.world.run_until(lambda: second.core.state.life == "ready", 5) < 1
    assert fed.status("r-us", "global", "g2") == "alive"
    assert fed.world.run_until(lambda: lonely.core.state.life == "ready", 20) < 10
    assert fed.status("g3", "global", "g3") == "alive"


def test_a_pool_decides_again_after_any_of_its_nodes_left_and_came_back(fleet):
    """As in a rolling restart. Who comes back without its memory is told how often it left."""
    for node, forgets in (("g", True), ("r-us", False), ("l-us-1", True), ("c-us-1-1", False)):
        fed = fleet(7)
        fed.grow()
        fed.world.run_until(fed.complete, 15)
        fed.world.leave(node)
        fed.world.run(8)
        if forgets:
            fed.world.nodes[node].disk.wipe()
        fed.world.start(node)
        assert fed.world.run_until(fed.complete, 60) < 40
        fed.world.run(5)
        for at in ("g", "r-us", "l-us-1"):
            made = fed.propose(at, f"after-{node}", at, timeout_s=5.0)
            assert made.decided.status == "committed", f"{at} after {node} had left"


def test_pools_decide_on_through_a_rolling_restart(fleet):
    """One hub after the other. While a regional hub is away its children are in another pool and forget this one."""
    fed = fleet(9)
    fed.grow()
    fed.world.run_until(fed.complete, 15)
    for node in ("l-us-1", "g", "r-us", "l-us-2", "r-us"):
        fed.world.leave(node)
        fed.world.run(3)
        fed.world.start(node)
        assert fed.world.run_until(fed.complete, 60) < 40
        fed.world.run(5)
        for at in ("g", "r-us", "l-us-1"):
            made = fed.propose(at, f"after-{node}", at, timeout_s=5.0)
            assert made.decided.status == "committed", f"{at} after {node} had left"
