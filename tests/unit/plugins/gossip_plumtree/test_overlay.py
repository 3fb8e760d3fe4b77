"""The overlay: one component, links that both ends know, and a lost one is made up for at once."""

from random import Random

import pytest

from mpreg_core import Address, Member
from mpreg_gossip_plumtree.links import Links
from mpreg_gossip_plumtree.messages import Link, Linked, Unlink


@pytest.mark.parametrize("seed", [1, 2])
def test_a_hundred_that_join_at_once_are_one_component(grove, seed):
    pool = grove(100, seed)
    pool.world.run(3)
    assert pool.component() == set(pool.ids)


def test_links_are_known_at_both_ends_and_bounded(grove):
    pool = grove(40)
    pool.world.run(5)
    links = pool.links()
    assert {(b, a) for a, b in links} == links
    for node in pool.ids:
        assert 4 <= sum(a == node for a, _ in links) <= 8


def test_a_third_that_dies_is_made_up_for(grove):
    pool = grove(60)
    pool.world.run(5)
    for node in pool.ids[5:25]:
        pool.world.crash(node)
    pool.world.run(20)
    alive = set(pool.pool.alive())
    assert pool.component() == alive
    assert all(b in alive for _, b in pool.links())


def member(name, status="alive"):
    return Member(
        id=name,
        incarnation=1,
        status=status,
        tier="cluster",
        region="here",
        address=Address(name, 1, 2, 3, 4),
        started_ms=0,
    )


def full(wanted=2):
    """Links of `me` that are all taken, with further members known."""
    links = Links("me", wanted, 0, Random(1))
    links.update([member(name) for name in "abcdefgh"])
    for name in "abcd":
        links.on_link(name, False)
    return links


def test_a_full_node_refuses_unless_it_is_urgent():
    links = full()
    effects, gone = links.on_link("e", False)
    assert ([effect.message for effect in effects], gone) == ([Linked(False)], None)
    effects, gone = links.on_link("e", True)
    assert [effect.message for effect in effects] == [Linked(True), Unlink()]
    assert gone in "abcd"
    assert set(links.linked) == set("abcde") - {gone}


@pytest.mark.parametrize("stranger", ["nobody", "me"])
def test_strangers_get_no_link(stranger):
    links = full()
    effects, _ = links.on_link(stranger, True)
    assert [effect.message for effect in effects] == [Linked(False)]
    assert links.on_linked(stranger, True) == (False, None)
    assert set(links.linked) == set("abcd")


def test_an_answer_to_no_question_makes_no_link():
    links = full()
    assert links.on_linked("e", True) == (False, None)


def test_the_dead_and_those_who_left_are_reported_as_lost():
    links = full()
    assert links.update([member("a", "failed"), member("b", "left"), member("e", "left")]) == ["a", "b"]
    assert links.live == ["c", "d", "f", "g", "h"]


def test_who_has_no_link_asks_urgently():
    links = Links("me", 2, 0, Random(1))
    links.update([member("a"), member("b"), member("c")])
    (send,) = links.seek(1)
    assert (len(send.to), send.message) == (2, Link(True))
    assert links.seek(2) == []
    assert links.next_deadline(2) > 2
