"""What a push missed is found by comparing, soon, and only what differs goes over the wire."""

import pytest
from msgspec import structs

from mpreg_core import Emit
from mpreg_gossip_epidemic.giving import GIVE_BYTES_MAX, GIVE_BYTES_PER_S
from mpreg_gossip_epidemic.messages import Branch, Carried, Digest, Ids, Leaves, News, Packed, Stamps, Want
from mpreg_gossip_epidemic.recent import version_id

THREE = {"ap": (1.3, 103.8), "eu": (50.0, 8.0), "us": (40.0, -75.0)}


def test_ten_thousand_keys_of_which_five_differ_cost_five_items_and_few_bytes(pool, item):
    p = pool("random", 2)
    for name in p.nodes:
        p.hold(name, [item(f"key/{i}") for i in range(10_000)])
    p.hold("n0", [item("key/7", 2), item("key/8", 2), item("new/a")])
    p.hold("n1", [item("key/9", 2), item("new/b")])
    p.run(2, p.in_sync)
    assert p.all_hold("key/8", 2)
    assert p.all_hold("key/9", 2)
    assert 5 <= p.items <= 8, "a stale version goes out where the stamps gave the wrong guess of which is newer"
    assert sum(p.bytes.values()) < 10_000
    p.run(10)
    assert p.items <= 8, "and then nothing"


def test_a_missed_message_is_delivered_within_two_intervals_exactly_once(pool, item, strategy):
    p = pool(strategy, 60, loss=0.01, regions=THREE)
    p.run(2)
    begun = {}
    for i in range(300):
        at = f"n{i * 7 % 60}"
        begun[p.publish(at, item(f"e{i}", origin=at, kept=False, at_ns=p.now_ns))] = p.now_ns
        p.run(0.02)
    p.run(2)
    late_ns = max(node.got_ns[version] - at_ns for node in p.nodes.values() for version, at_ns in begun.items())
    assert late_ns < 2e9
    assert {count for node in p.nodes.values() for count in node.got.values()} == {1}


def test_a_message_that_one_node_missed_altogether_is_pulled(pool, item):
    p = pool("random", 20)
    p.run(20)
    p.cut = lambda a, b: "n3" in (a, b)
    version = p.publish("n0", item("e", kept=False, at_ns=p.now_ns))
    p.run(0.1)
    p.cut = lambda a, b: False
    assert version not in p.nodes["n3"].got
    p.run(2, lambda: p.all_have(version))
    assert p.nodes["n3"].got[version] == 1


def test_a_message_that_another_lacks_is_given_at_once_when_it_shows(machine, member, item):
    m = machine("random", member("me"))
    message = item("e", kept=False)
    m.on_publish(0, message)
    second = message.born_ms // 1000
    (send,) = m.on_message(1, "a", Ids((second,), ()))
    assert (send.to, send.message) == (("a",), News((Carried(message, 1),), repair=True))
    assert m.on_message(2, "a", Ids((second,), (version_id("e", message.stamp),))) == []


def test_more_messages_than_are_given_at_once_are_offered_and_pulled(pool, item):
    p = pool("random", 2)
    p.run(2)
    p.cut = lambda a, b: True
    versions = [p.publish("n0", item(f"e{i}", kept=False, at_ns=p.now_ns)) for i in range(100)]
    p.run(0.1)
    p.cut = lambda a, b: False
    p.frames.clear()
    p.run(2, lambda: all(map(p.all_have, versions)))
    assert p.frames["Pull"] >= 1


def test_a_joiner_fills_at_once_and_items_come_once(pool, item, member):
    p = pool("random", 20)
    for name in p.nodes:
        p.hold(name, [item(f"key/{i}", size=200) for i in range(2000)])
    p.run(20)
    p.items = 0
    joiner = p.add("j", "eu")
    p.tell(joiner, [node.me for node in p.nodes.values()])
    for name in list(p.nodes)[:-1]:
        p.tell(p.nodes[name], [joiner.me])
    assert p.run(5, p.in_sync) < 0.2
    assert p.items < 2000 * 1.1
    assert len(joiner.got) == 2000


def test_a_hundred_joiners_at_once_are_in_sync_soon_and_overload_nobody(pool, item):
    p = pool("random", 100, know_all=False)
    for name, node in p.nodes.items():
        p.hold(name, [item(f"m/{name}", size=150, origin=name, priority=0)])
        p.tell(node, [other.me for other in p.nodes.values()])
    assert p.run(3, p.in_sync) < 2
    mean = sum(p.frames_to.values()) / 100
    assert max(p.frames_to.values()) < 3 * mean
    assert sum(p.bytes.values()) / 100 < 120_000, "serf: 66 to 120 kB an agent"


def test_a_pool_at_rest_costs_next_to_nothing(pool, item, strategy):
    p = pool(strategy, 30, regions=THREE)
    p.publish("n0", item("k"))
    p.publish("n0", item("e", kept=False))
    p.run(60)
    p.frames.clear()
    p.bytes.clear()
    p.run(100)
    assert set(p.frames) == {"Digest"}
    assert p.frames["Digest"] / 30 / 100 < 0.2
    assert p.bytes["Digest"] / p.frames["Digest"] <= 12


def test_a_digest_that_is_equal_needs_no_answer(machine, member):
    m = machine("random", member("me"))
    m.on_members(0, [member("a")])
    assert m.on_message(5, "a", Digest(0)) == []
    assert m.snapshot().counters["in_sync"] == 1


def test_a_healed_partition_is_in_sync_within_a_few_intervals(pool, item):
    p = pool("random", 30, interval=0.2)
    half = {f"n{i}" for i in range(15)}
    p.cut = lambda a, b: (a in half) != (b in half)
    for name, node in p.nodes.items():
        others = [other.me for at, other in p.nodes.items() if (at in half) != (name in half)]
        p.tell(node, [structs.replace(other, status="failed") for other in others])
    for i in range(30):
        p.publish(f"n{i}", item(f"k{i}", origin=f"n{i}"))
    p.run(75)
    assert not p.in_sync()
    p.cut = lambda a, b: False
    assert p.run(5, p.in_sync) < 2


def test_a_version_that_repair_brings_though_a_newer_is_held_is_answered_with_it(machine, member, replica, item):
    held = replica()
    held.put(item("k", 2))
    m = machine("random", member("me"), held)
    old = (Carried(item("k", 1), 1),)
    (send,) = m.on_message(0, "a", News(old, repair=True))
    assert (send.to, send.message.items[0].item, send.message.repair) == (("a",), item("k", 2), False)
    assert m.on_message(0, "a", News(old)) == []


def test_a_kept_item_that_was_lost_after_it_was_seen_is_taken_again_from_repair_alone(machine, member, item):
    m = machine("random", member("me"))
    m.on_members(0, [member("a"), member("b")])
    news = (Carried(item("k"), 1),)
    assert len(m.on_message(0, "a", News(news))) == 2, "delivered and pushed; this replica is never told"
    assert m.on_message(1, "a", News(news)) == []
    (emit,) = m.on_message(2, "a", News(news, repair=True))
    assert emit.event.key == "k"


def test_who_misses_much_gets_a_bounded_part_and_asks_again(pool, item):
    p = pool("random", 2)
    p.hold("n0", [item(f"key/{i}", size=4000) for i in range(500)])
    p.run(0.5, p.in_sync)
    parts = 500 * 4000 // GIVE_BYTES_MAX
    assert p.frames["Branches"] >= parts


def test_a_node_gives_no_more_than_its_budget(machine, member, replica, item):
    held = replica()
    for i in range(1000):
        held.put(item(f"key/{i}", size=20_000))
    m = machine("random", member("me"), held, compression_enabled=False)
    want = Want(tuple(f"key/{i}" for i in range(1000)))
    given = 0
    for _ in range(100):
        for send in m.on_message(0, "a", want):
            given += sum(len(carried.item.payload) for carried in send.message.items)
    assert GIVE_BYTES_PER_S * 0.9 < given < GIVE_BYTES_PER_S + GIVE_BYTES_MAX
    assert m.snapshot().refused > 0
    assert m.on_message(10**9, "a", want), "a second later there is a new budget"


def test_the_same_branch_is_not_asked_of_two_members_at_a_time(pool, item):
    p = pool("random", 3)
    for name in ("n1", "n2"):
        p.hold(name, [item(f"key/{i}") for i in range(1000)])
    joiner, branches = p.nodes["n0"].machine, None
    for name in ("n1", "n2"):
        (send,) = p.nodes[name].machine.on_message(0, "n0", Digest(0))
        branches = send.message
        asked = joiner.on_message(0, name, branches)
        assert len(asked) == (1 if name == "n1" else 0)
    (again,) = joiner.on_message(10**9, "n2", branches)
    assert isinstance(again.message, Leaves)


def test_nor_is_an_empty_leaf_asked_of_two_members_at_a_time(machine, member):
    m = machine("random", member("me"))
    theirs = Leaves((Branch(3, (0,) * 9 + (7,) + (0,) * 54),))
    (send,) = m.on_message(0, "a", theirs)
    assert send.message == Stamps((3 * 64 + 9,), ())
    assert m.on_message(1, "b", theirs) == []
    assert m.on_message(10**9, "b", theirs)


def test_an_item_twice_in_one_message_is_delivered_once(machine, member, item):
    m = machine("random", member("me"))
    for repair, key in ((False, "k1"), (True, "k2")):
        effects = m.on_message(0, "a", News((Carried(item(key), 1),) * 2, repair))
        assert [effect.event.key for effect in effects if isinstance(effect, Emit)] == [key]


@pytest.mark.parametrize("enabled", [True, False])
def test_messages_are_compressed_where_that_saves_and_is_wanted(machine, member, replica, item, enabled):
    held = replica()
    held.put(item("text", size=5000))
    m = machine("random", member("me"), held, compression_enabled=enabled)
    (send,) = m.on_message(0, "a", Want(("text",)))
    assert isinstance(send.message, Packed) is enabled
