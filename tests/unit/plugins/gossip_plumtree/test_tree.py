"""The tree: about one copy for each member, mended where members die or frames are lost."""

import pytest

from mpreg_core.sim import Fleet
from mpreg_core.testing import installed_parts
from mpreg_gossip_plumtree.messages import Graft, IHave, Prune
from mpreg_gossip_plumtree.tree import MISSING_MAX, Tree

MS = 1_000_000


def settled(grove, nodes, **more):
    """A pool whose tree has been pruned by a few items."""
    pool = grove(nodes, **more)
    pool.world.run(5)
    for number in range(12):
        pool.pool.put(pool.ids[number % len(pool.ids)], f"warm-{number}", number)
        pool.world.run(1)
    return pool


def test_a_settled_tree_brings_each_member_about_one_copy(grove):
    pool = settled(grove, 50)
    before = pool.total("duplicates")
    for number in range(10):
        pool.pool.put(pool.ids[3], f"k{number}", number)
        pool.world.run(0.3)
    assert all(pool.reached(f"k{number}") == 50 for number in range(10))
    assert (pool.total("duplicates") - before) / (10 * 50) < 0.15


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.2])
def test_losses_are_made_up_for_within_seconds(grove, loss):
    pool = settled(grove, 40, loss=loss)
    for number in range(10):
        pool.pool.put(pool.ids[number], f"k{number}", number)
    pool.world.run_until(lambda: all(pool.reached(f"k{n}") == 40 for n in range(10)), 5)
    assert [pool.reached(f"k{number}") for number in range(10)] == [40] * 10


def test_a_third_that_dies_unnoticed_holds_an_item_up_for_a_second(grove):
    pool = settled(grove, 60)
    for node in pool.ids[10:30]:
        pool.world.crash(node)
    pool.pool.put(pool.ids[1], "k", 1)
    took_s = pool.world.run_until(lambda: pool.reached("k") == len(pool.pool.alive()), 10)
    assert took_s < 3
    assert pool.total("grafts") > 0


def test_a_burst_from_several_members_reaches_all(grove):
    pool = settled(grove, 30)
    pool.pool.listen()
    pool.world.run(1)
    for number in range(200):
        pool.pool.publish(pool.ids[number % 5], f"topic.{number}", b'"%s"' % (b"x" * 198))
    pool.world.run(3)
    assert all(each.missing == 0 and each.waiting == 0 and each.dropped == 0 for each in pool.snapshots())
    assert pool.total("delivered") >= 200 * 29


def test_frames_for_each_member_do_not_grow_with_the_pool():
    rates = []
    for nodes in (20, 80):
        fleet = Fleet.of_shape(installed_parts("plumtree"), 1, 1, 1, nodes)
        fleet.world.run(30)
        before = fleet.world.frames
        fleet.world.run(30)
        rates.append((fleet.world.frames - before) / nodes / 30)
    assert rates[1] < 1.3 * rates[0]


def linked(*peers, timeout_ns=100 * MS):
    tree = Tree(timeout_ns)
    for peer in peers:
        tree.link(peer)
    return tree


def test_what_was_announced_and_does_not_come_is_fetched_from_one_after_the_other():
    tree = linked("a", "b")
    tree.on_prune("a")
    tree.on_announced(0, "a", [1, 2])
    tree.on_announced(10 * MS, "b", [1])
    assert tree.due_ns() == 100 * MS
    assert tree.fetch(50 * MS) == []
    assert [(each.to, each.message) for each in tree.fetch(100 * MS)] == [(("a",), Graft((1, 2)))]
    assert "a" in tree.eager
    assert tree.arrived(2, by_tree=True) == []
    assert [(each.to, each.message) for each in tree.fetch(200 * MS)] == [(("b",), Graft((1,)))]
    assert tree.due_ns() is None


def test_what_came_by_repair_though_it_was_announced_mends_the_tree():
    tree = linked("a", "b")
    tree.on_prune("a")
    tree.on_announced(0, "a", [1])
    assert [(each.to, each.message) for each in tree.arrived(1, by_tree=False)] == [(("a",), Graft(()))]
    assert "a" in tree.eager
    assert tree.arrived(1, by_tree=False) == []


def test_a_link_that_brings_nothing_new_is_pruned_once():
    tree = linked("a", "b")
    assert [each.message for each in tree.brought_nothing_new("a")] == [Prune()]
    assert tree.brought_nothing_new("a") == []
    assert (list(tree.eager), list(tree.lazy)) == (["b"], ["a"])
    tree.brought_news("a")
    assert "a" in tree.eager


def test_announcements_are_collected_and_do_not_go_back():
    tree = linked("a", "b", "c")
    tree.on_prune("a")
    tree.on_prune("b")
    tree.announce(1, None)
    tree.announce(2, "b")
    assert [(each.to, each.message) for each in tree.flush()] == [(("a",), IHave((1, 2))), (("b",), IHave((1,)))]
    assert tree.flush() == []


def test_a_lost_link_takes_its_announcements_with_it():
    tree = linked("a")
    tree.on_announced(0, "a", [1])
    tree.unlink("a")
    assert (len(tree), tree.due_ns(), dict(tree.eager)) == (0, None, {})


def test_announcements_are_bounded():
    tree = linked("a")
    tree.on_announced(0, "a", range(2 * MISSING_MAX))
    assert len(tree) == MISSING_MAX
