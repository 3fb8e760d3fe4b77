"""The ring's order, and that the strategy keeps mpreg's contract."""

from random import Random

from mpreg_core import Address, GossipContext, Item, Member
from mpreg_gossip_ring.machine import RingGossip
from mpreg_gossip_ring.messages import Passed
from mpreg_gossip_ring.options import RingOptions
from mpreg_gossip_ring.plugin import SPEC
from mpreg_gossip_ring.ring import Ring


def test_every_node_has_one_place_and_the_ring_closes():
    names = [f"n{number}" for number in range(10)]
    rings = {name: Ring(name) for name in names}
    for me, ring in rings.items():
        for name in names:
            if name != me:
                ring.add(name)
                ring.add(name)
    visited, at = ["n0"], "n0"
    while len(visited) < 10:
        (at,) = rings[at].successors(1)
        visited.append(at)
    assert sorted(visited) == names
    assert rings[at].successors(1) == ("n0",)


def test_the_dead_leave_and_the_rest_are_asked_once_each():
    ring = Ring("me")
    for name in ("a", "b", "c"):
        ring.add(name)
    ring.discard("b")
    ring.discard("nobody")
    assert sorted(ring.successors(9)) == ["a", "c"]


class Nothing:
    """A replica that holds nothing: all is news that it was not told of."""

    def __init__(self):
        self.known = set()

    def is_news(self, item):
        return item.key not in self.known


def test_news_goes_to_the_successors_and_stops_where_it_is_none():
    replica = Nothing()
    me = member("me")
    context = GossipContext(me, "local:hub", "local", Random(1), 0, replica)
    machine = RingGossip(context, RingOptions(successors=2))
    machine.on_members(0, [me, *(member(name) for name in "abcd")])
    item = Item("k", 1, b"1", "a", 0)
    emit, send = machine.on_message(1, "a", Passed((item,), 3))
    assert emit.event.hops == 3
    assert (len(send.to), send.message) == (2, Passed((item,), 4))
    replica.known.add("k")
    assert machine.on_message(2, "b", Passed((item,), 3)) == []
    assert machine.snapshot().duplicates == 1


def member(name):
    return Member(
        id=name,
        incarnation=1,
        status="alive",
        tier="cluster",
        region="here",
        address=Address(name, 1, 2, 3, 4),
        started_ms=0,
    )


def test_it_conforms(mpreg_conformance):
    print(mpreg_conformance(SPEC))
