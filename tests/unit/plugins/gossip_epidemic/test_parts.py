"""The parts by themselves: packing, the queue, the memory of what passed."""

import zlib
from random import Random

import msgspec
import pytest

from mpreg_core import BULK, NORMAL, URGENT
from mpreg_core.limits import DATAGRAM_BYTES_MAX, SEEN_ITEMS_MAX
from mpreg_gossip_epidemic.giving import ASKED_MAX, Asked
from mpreg_gossip_epidemic.messages import PARTS_MAX, SLICES_MAX, Carried, News, Packed, Slice
from mpreg_gossip_epidemic.options import EpidemicOptions
from mpreg_gossip_epidemic.outgoing import BYTES_MAX, ITEMS_MAX, Outgoing, Waiting
from mpreg_gossip_epidemic.packing import UNPACKED_BYTES_MAX, carried_bytes, pack, split, unpack
from mpreg_gossip_epidemic.plugin import SPECS, mpreg_gossip_strategies
from mpreg_gossip_epidemic.recent import MESSAGES_MAX, Recent, Seen, version_id

S = 10**9


def waiting(carried):
    return Waiting(carried, None, False)


# packing


@pytest.mark.parametrize("key", ["k", "k" * 512, "ключ/日本" * 20])
@pytest.mark.parametrize("size", [0, 1, 300, 70_000])
def test_an_item_takes_no_more_than_is_reckoned(item, key, size):
    carried = Carried(msgspec.structs.replace(item(key, size=size), stamp=2**63 - 1, origin="o" * 63), 64)
    assert len(msgspec.msgpack.encode(carried)) <= carried_bytes(carried)


def test_few_items_go_in_full_datagrams_and_many_in_one_message_by_stream(item):
    items = [Carried(item(f"k{i}", size=100), 1) for i in range(20)]
    few = list(pack(items, 65536, False))
    assert {lane for _, lane in few} == {"datagram"}
    assert [carried for news, _ in few for carried in news.items] == items
    assert all(len(msgspec.msgpack.encode(news)) <= DATAGRAM_BYTES_MAX - 64 for news, _ in few)
    many = list(pack(items * 4, 65536, False))
    assert [(len(news.items), lane) for news, lane in many] == [(80, "stream")]


def test_a_message_holds_at_most_what_it_may_and_a_larger_item_is_alone(item):
    items = [Carried(item(f"k{i}", size=size), 1) for i, size in enumerate([3000, 3000, 60_000, 3000, 3000])]
    runs = list(pack(items, 8192, False, repair=True, more=True))
    assert [len(news.items) for news, _ in runs] == [2, 1, 2]
    assert [news.more for news, _ in runs] == [False, False, True]
    assert all(news.repair for news, _ in runs)


def test_no_message_has_more_parts_than_its_receiver_takes():
    runs = split(range(3 * PARTS_MAX), lambda _: 1, 10**6)
    assert [len(run) for run, _ in runs] == [PARTS_MAX] * 3


def test_what_does_not_shrink_is_not_compressed(item):
    carried = Carried(msgspec.structs.replace(item("k"), payload=Random(1).randbytes(5000)), 1)
    ((message, _),) = pack([carried], 65536, True)
    assert isinstance(message, News)


def test_compressed_news_come_out_as_they_went_in(item):
    items = [Carried(item(f"k{i}", size=500), 1) for i in range(30)]
    ((message, lane),) = pack(items, 65536, True, repair=True)
    assert isinstance(message, Packed)
    assert lane == "stream"
    assert unpack(message) == News(tuple(items), True)


def test_a_bomb_is_not_unpacked(item):
    huge = News((Carried(item("k", size=20 * UNPACKED_BYTES_MAX), 1),))
    bomb = zlib.compress(msgspec.msgpack.encode(huge))
    assert len(bomb) < 50_000
    assert unpack(Packed(bomb)) is None


@pytest.mark.parametrize("data", [b"", b"junk", zlib.compress(b"junk"), zlib.compress(b"junk")[:-2]])
def test_junk_is_not_unpacked(data):
    assert unpack(Packed(data)) is None


# the queue


def test_urgent_items_go_first_and_leave_a_share_to_the_others(item):
    queue = Outgoing()
    for i in range(100):
        queue.add(i, waiting(Carried(item(f"b{i}", size=60, priority=BULK), 1)))
        queue.add(100 + i, waiting(Carried(item(f"n{i}", size=60), 1)))
        queue.add(200 + i, waiting(Carried(item(f"u{i}", size=60, priority=URGENT), 1)))
    taken = [each.carried.item for each in queue.take(4000)]
    priorities = [each.priority for each in taken]
    assert priorities == sorted(priorities)
    share = {priority: priorities.count(priority) / len(taken) for priority in (URGENT, NORMAL, BULK)}
    assert share[URGENT] > 0.6
    assert share[NORMAL] + share[BULK] > 0.15
    assert share[BULK] > 0


def test_urgent_items_take_all_when_nothing_else_waits(item):
    queue = Outgoing()
    sample = Carried(item("u10", size=60, priority=URGENT), 1)
    for i in range(10, 99):
        queue.add(i, waiting(Carried(item(f"u{i}", size=60, priority=URGENT), 1)))
    assert len(queue.take(20 * carried_bytes(sample))) == 20
    assert len(queue) == 69


def test_a_newer_version_takes_the_place_of_the_waiting_one(item):
    queue = Outgoing()
    for version in (1, 2, 3):
        queue.add(version, waiting(Carried(item("k", version), 1)))
        queue.add(10 + version, waiting(Carried(item("e", version, kept=False), 1)))
    taken = [each.carried.item for each in queue.take(10**6)]
    assert [(each.key, each.payload) for each in taken] == [("k", b"3:"), ("e", b"1:"), ("e", b"2:"), ("e", b"3:")]
    assert len(queue) == 0


def test_a_full_queue_drops_the_least_urgent_and_counts(item):
    queue = Outgoing()
    for i in range(ITEMS_MAX):
        queue.add(i, waiting(Carried(item(f"n{i}", priority=BULK if i < 10 else NORMAL), 1)))
    for i in range(20):
        queue.add(ITEMS_MAX + i, waiting(Carried(item(f"u{i}", priority=URGENT), 1)))
    assert len(queue) == ITEMS_MAX
    assert queue.dropped == 20
    taken = [each.carried.item.priority for each in queue.take(10**9)]
    assert (taken.count(URGENT), taken.count(BULK)) == (20, 0)


def test_the_queue_is_bounded_in_bytes_and_empty_when_emptied(item):
    queue = Outgoing()
    for i in range(100):
        queue.add(i, waiting(Carried(item(f"n{i}", size=200_000), 1)))
    assert len(queue) == BYTES_MAX // 200_040
    while queue.take(300_000):
        pass
    queue.add(1, waiting(Carried(item("n", size=BYTES_MAX - 1000), 1)))
    assert len(queue) == 1


# memory of what passed


def test_seen_remembers_half_of_its_bound_and_never_holds_more():
    seen = Seen()
    for i in range(3 * SEEN_ITEMS_MAX):
        seen.add(i)
        assert i in seen
    assert len(seen) <= SEEN_ITEMS_MAX
    assert all(i in seen for i in range(3 * SEEN_ITEMS_MAX - SEEN_ITEMS_MAX // 2, 3 * SEEN_ITEMS_MAX))
    assert 0 not in seen


def test_ids_tell_keys_and_versions_apart():
    ids = {version_id(f"k{key}", stamp) for key in range(100) for stamp in range(100)}
    assert len(ids) == 10_000
    assert all(0 <= id_ < 1 << 63 for id_ in ids)


def message(item, i, at_s, size=0):
    return version_id(f"e{i}", i), Carried(item(f"e{i}", kept=False, size=size, at_ns=int(at_s * S)), 1)


def test_two_nodes_that_heard_the_same_in_another_order_show_the_same(item):
    messages = [message(item, i, i / 10) for i in range(50)]
    one, two = Recent(10 * S), Recent(10 * S)
    for id_, carried in messages:
        one.add(5 * S, id_, carried)
    for id_, carried in reversed(messages):
        two.add(6 * S, id_, carried)
    assert sorted(one.slices(6 * S), key=str) == sorted(two.slices(6 * S), key=str)
    assert one.differing(6 * S, two.slices(6 * S)) == ()


def test_a_missing_message_shows_in_its_slice_alone(item):
    messages = [message(item, i, i / 10) for i in range(50)]
    one, two = Recent(10 * S), Recent(10 * S)
    for i, (id_, carried) in enumerate(messages):
        one.add(5 * S, id_, carried)
        if i != 25:
            two.add(5 * S, id_, carried)
    (second,) = one.differing(5 * S, two.slices(5 * S))
    assert (second,) == two.differing(5 * S, one.slices(5 * S))
    assert set(one.ids([second])) - set(two.ids([second])) == {messages[25][0]}


def test_who_heard_nothing_is_shown_all_that_is_young(item):
    one, two = Recent(10 * S), Recent(10 * S)
    one.add(0, *message(item, 1, 0))
    assert len(one.differing(S, two.slices(S))) == 1
    assert one.differing(6 * S, two.slices(6 * S)) == (), "held, but shown no more"
    assert len(two.differing(S, one.slices(S))) == 1


def test_messages_are_held_for_their_time_and_then_dropped(item):
    recent = Recent(10 * S)
    for i in range(10):
        recent.add(i * S, *message(item, i, i))
    recent.expire(14 * S)
    assert len(recent) == 6
    assert recent.find(version_id("e3", 3)) is None
    assert recent.find(version_id("e4", 4)) is not None
    recent.expire(99 * S)
    assert (len(recent), recent.slices(99 * S)) == (0, ())


def test_messages_held_are_bounded_in_number_and_bytes_whatever_their_time_of_birth(item):
    recent = Recent(10 * S)
    for i in range(2 * MESSAGES_MAX):
        recent.add(S, *message(item, i, i * 7))
    assert len(recent) == MESSAGES_MAX
    assert len(recent.slices(S)) == SLICES_MAX
    for i in range(100):
        recent.add(S, *message(item, 10**6 + i, 5, size=250_000))
    assert len(recent) <= 40
    assert recent.find(version_id(f"e{10**6 + 99}", 10**6 + 99)) is not None


def test_a_slice_that_is_full_up_keeps_its_newest(item):
    recent = Recent(10 * S)
    for i in range(MESSAGES_MAX + 5):
        recent.add(S, *message(item, i, 1))
    assert len(recent) == MESSAGES_MAX
    assert recent.find(version_id("e4", 4)) is None
    (slice_,) = recent.slices(S)
    digest = 0
    for id_ in recent.ids([slice_.second]):
        digest ^= id_
    assert slice_ == Slice(slice_.second, digest)


def test_nothing_is_asked_twice_within_its_time_and_what_is_remembered_is_bounded():
    asked = Asked(S)
    assert asked.may_ask(0, 1)
    assert not asked.may_ask(S - 1, 1)
    assert asked.may_ask(S, 1)
    assert sum(asked.may_ask(S, i) for i in range(2, 3 * ASKED_MAX)) == ASKED_MAX - 1
    asked.clear()
    assert asked.may_ask(S, 1)


# the spec


def test_four_names_one_protocol_and_the_guides_options():
    assert mpreg_gossip_strategies() == SPECS
    assert [spec.name for spec in SPECS] == ["random", "proximity", "topology_aware", "hybrid"]
    assert {spec.protocol for spec in SPECS} == {"epidemic"}
    options = EpidemicOptions()
    assert (options.interval, options.fanout, options.max_message_size) == (1.0, 3, 65536)
    assert (options.compression_enabled, options.batch_size) == (True, 10)


@pytest.mark.parametrize(
    "wrong", [{"interval": 0}, {"fanout": 0}, {"fanout": 99}, {"max_message_size": 100}, {"batch_size": 0}, {"nope": 1}]
)
def test_options_out_of_bounds_are_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, EpidemicOptions)
