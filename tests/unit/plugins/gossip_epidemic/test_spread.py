"""News reaches everyone, once, at once; and it stops."""

from msgspec import structs

from mpreg_gossip_epidemic.messages import News

THREE = {"ap": (1.3, 103.8), "eu": (50.0, 8.0), "us": (40.0, -75.0)}


def test_an_item_reaches_all_of_1000_nodes_by_push_alone(pool, item):
    p = pool("random", 1000, interval=60.0)
    p.run(0.1)
    version = p.publish("n0", item("k"))
    took_s = p.run(0.05, lambda: p.all_have(version))
    assert took_s < 0.01, "some 8 hops of 0.5 to 0.75 ms"
    assert 3 * 1000 <= p.items < 3.01 * 1000


def test_an_item_reaches_all_regions_whatever_the_selection(pool, strategy, item):
    p = pool(strategy, 60, regions=THREE)
    p.run(1)
    versions = [p.publish(f"n{i}", item(f"k{i}", origin=f"n{i}")) for i in range(0, 60, 7)]
    p.run(1.5, lambda: all(map(p.all_have, versions)))
    assert all(count == 1 for node in p.nodes.values() for count in node.got.values())


def test_an_item_reaches_all_of_many_regions_of_one_node_each(pool, strategy, item):
    p = pool(strategy, 40, regions={f"r{i:02}": (i, 2 * i) for i in range(40)})
    p.run(1)
    version = p.publish("n5", item("k"))
    p.run(0.05, lambda: p.all_have(version))


def test_with_a_tenth_of_the_datagrams_lost_repair_completes_the_spread(pool, strategy, item):
    p = pool(strategy, 60, loss=0.1, regions=THREE)
    p.run(1)
    versions = [p.publish(f"n{i % 60}", item(f"k{i}", origin=f"n{i % 60}")) for i in range(100)]
    p.run(4, lambda: all(map(p.all_have, versions)))
    p.run(1, p.in_sync)


def test_a_lone_item_is_not_delayed(machine, member, item):
    m = machine("random", member("me"))
    m.on_members(0, [member(f"n{i}") for i in range(9)])
    sends = m.on_publish(5, item("k"))
    assert [len(send.to) for send in sends] == [3]


def test_items_in_quick_succession_leave_together(machine, member, item):
    m = machine("random", member("me"), batch_size=4)
    m.on_members(0, [member(f"n{i}") for i in range(9)])
    sends = [m.on_publish(5, item(f"k{i}")) for i in range(5)]
    assert [len(each) for each in sends] == [1, 0, 0, 0, 1]
    assert [carried.item.key for carried in sends[4][0].message.items] == ["k1", "k2", "k3", "k4"]
    assert m.on_publish(6, item("k9")) == []
    due_ns = 5 + 5_000_000
    assert m.next_deadline() <= due_ns
    pushed = next(send.message for send in m.on_deadline(due_ns) if isinstance(send.message, News))
    assert [carried.item.key for carried in pushed.items] == ["k9"]


def test_each_node_pushes_an_item_once_to_fanout_members_and_not_back(pool, item):
    p = pool("random", 50, fanout=4)
    p.run(30)
    p.items = 0
    version = p.publish("n0", item("k"))
    p.run(30)
    assert p.all_have(version)
    assert p.items == 4 * 50, "infect and die: 4 copies for each node, none after"


def test_a_stale_version_neither_overwrites_nor_spreads(pool, item):
    p = pool("random", 20)
    p.publish("n0", item("k", 2))
    p.run(30)
    p.items = 0
    old = p.nodes["n7"].machine.on_publish(p.now_ns, item("k", 1))
    p.step(p.nodes["n7"], old)
    p.run(30)
    assert p.all_hold("k", 2)
    assert p.items == 3, "those that were told dropped it"
    assert sum(node.machine.snapshot().counters["stale"] for node in p.nodes.values()) == 3


def test_the_newer_of_two_versions_wins_everywhere(pool, strategy, item):
    p = pool(strategy, 30, regions=THREE, loss=0.05)
    p.publish("n0", item("k", 1))
    p.publish("n15", item("k", 2, origin="n15"))
    p.run(4, lambda: p.all_hold("k", 2))
    p.run(1, p.in_sync)


def test_hops_count_from_the_origin(pool, item):
    p = pool("random", 100)
    version = p.publish("n0", item("k"))
    p.run(1)
    hops = [node.hops[version] for name, node in p.nodes.items() if name != "n0"]
    assert min(hops) == 1
    assert hops.count(1) == 3
    assert 4 <= max(hops) <= 12


def test_a_version_published_again_is_not_pushed_again(machine, member, item):
    m = machine("random", member("me"))
    m.on_members(0, [member(f"n{i}") for i in range(9)])
    news = item("k")
    assert m.on_publish(0, news)
    assert not m.on_publish(10**9, news)


def test_a_large_item_is_offered_and_goes_to_each_member_once(pool, item):
    p = pool("random", 30)
    p.run(1)
    version = p.publish("n0", item("big", size=200_000))
    p.run(1.5, lambda: p.all_have(version))
    p.run(5)
    assert p.items == 29, "one copy for each member"


def test_a_large_message_is_offered_and_delivered_once(pool, item):
    p = pool("random", 30)
    p.run(1)
    version = p.publish("n0", item("big", size=200_000, kept=False, at_ns=p.now_ns))
    p.run(1.5, lambda: p.all_have(version))
    p.run(5)
    assert p.items == 29
    assert all(node.got[version] == 1 for name, node in p.nodes.items() if name != "n0")


def test_a_burst_of_200_messages_is_everywhere_in_a_moment(pool, item):
    p = pool("random", 60, loss=0.01)
    p.run(2)
    versions = [p.publish("n0", item(f"e{i}", size=64, kept=False, at_ns=p.now_ns)) for i in range(200)]
    assert p.run(2, lambda: all(map(p.all_have, versions))) < 1
    assert {count for node in p.nodes.values() for count in node.got.values()} == {1}


def test_a_departing_node_sends_what_waits(machine, member, item):
    m = machine("random", member("me"))
    m.on_members(0, [member("a"), member("b")])
    m.on_publish(5, item("k1"))
    assert not m.on_publish(5, item("k2"))
    sends = m.on_leave(6)
    assert [carried.item.key for send in sends for carried in send.message.items] == ["k2"]


def test_members_that_left_or_failed_are_not_told(machine, member, item):
    m = machine("random", member("me"), fanout=9)
    m.on_members(0, [member(name) for name in "abcd"])
    m.on_members(1, [member("a", status="failed"), member("b", status="left"), member("c", status="suspect")])
    assert sorted(m.on_publish(5, item("k"))[0].to) == ["c", "d"]
    m.on_members(6, [structs.replace(member("a"), incarnation=2)])
    assert sorted(m.on_publish(10**9, item("k2"))[0].to) == ["a", "c", "d"]


def test_the_same_seed_gives_the_same_run(pool, strategy, item):
    def run(seed):
        p = pool(strategy, 20, regions=THREE, loss=0.05, seed=seed)
        for i in range(20):
            p.publish(f"n{i}", item(f"k{i}", origin=f"n{i}", kept=i % 2 == 0))
        p.run(5)
        return p.trace

    assert run(1) == run(1)
    assert run(1) != run(2)
