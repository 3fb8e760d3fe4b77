"""Nothing that comes from the network raises, grows without end, or is answered with much more than it asked."""

import random
from functools import reduce
from operator import or_

import msgspec
import pytest

from mpreg_core import Emit, Send
from mpreg_core.limits import ITEM_BYTES_MAX, SEEN_ITEMS_MAX
from mpreg_gossip_epidemic.messages import (
    LEAVES,
    MESSAGES,
    Branch,
    Branches,
    Carried,
    Digest,
    Ids,
    Leaves,
    News,
    Packed,
    Pull,
    Slice,
    Stamps,
    Want,
)

DECODER = msgspec.msgpack.Decoder(reduce(or_, MESSAGES))
TOP = 2**63 - 1


@pytest.fixture
def m(machine, member, replica, item):
    """A machine that holds 100 items and knows 5 members."""
    held = replica()
    for i in range(100):
        held.put(item(f"key/{i}", size=50))
    m = machine("hybrid", member("me"), held)
    m.on_members(0, [member(f"n{i}") for i in range(5)])
    return m


def wrong_items(item):
    good = item("k")
    change = msgspec.structs.replace
    return [
        change(good, payload=bytes(ITEM_BYTES_MAX + 1)),
        change(good, key=""),
        change(good, key="k" * 513),
        change(good, key="é" * 300),
        change(good, stamp=-1),
        change(good, stamp=2**63),
        change(good, priority=3),
        change(good, priority=-1),
        change(good, origin="o" * 600),
    ]


def test_unsound_items_are_dropped_and_counted(m, item):
    for i, wrong in enumerate(wrong_items(item), 1):
        assert m.on_message(0, "x", News((Carried(wrong, 1),))) == []
        assert m.snapshot().counters["malformed"] == i


def test_one_unsound_item_does_not_take_the_others_with_it(m, item):
    effects = m.on_message(0, "x", News((Carried(item("", 1), 1), Carried(item("k"), 1))))
    assert [effect.event.key for effect in effects if isinstance(effect, Emit)] == ["k"]


@pytest.mark.parametrize(
    "message",
    [
        Digest(TOP),
        Digest(0, tuple(Slice(second, TOP) for second in (-(2**63), 0, 2**63))),
        Branches(()),
        Branches((1,) * 64),
        Branches((1,) * 63),
        Leaves(()),
        Leaves((Branch(0, ()),) * 64),
        Leaves((Branch(63, (1,) * 64),) * 64),
        Leaves((Branch(1, (1,) * 3),)),
        Stamps((), ()),
        Stamps((0, 0, LEAVES - 1), (("", 0), ("x", TOP), ("x", 1))),
        Stamps(tuple(range(LEAVES)), ()),
        Want(("", "nope", "key/1", "key/1")),
        Ids((), (0, TOP, TOP)),
        Ids((-(2**63), 2**63), ()),
        Pull((0, 0, TOP)),
        Packed(b""),
        News(()),
        News((), True, True),
    ],
    ids=lambda message: repr(message)[:40],
)
def test_odd_messages_from_a_stranger_are_taken_calmly(m, message):
    message = DECODER.decode(msgspec.msgpack.encode(message))
    for now_ns in (0, 0, 10**9):
        for effect in m.on_message(now_ns, "stranger", message):
            assert isinstance(effect, Send)
            assert effect.to == ("stranger",)
            DECODER.decode(msgspec.msgpack.encode(effect.message))


def test_wrong_shapes_do_not_decode():
    for body in ([3, -1], [3, 2**63], [4, [0] * 65], [5, [[64, []]]], [6, [LEAVES], []], [1, [[["k"], 1]]], [9, [-1]]):
        with pytest.raises(msgspec.ValidationError):
            DECODER.decode(msgspec.msgpack.encode(body))


def test_random_messages_never_raise_and_leave_nothing_unbounded(m, item):
    rng = random.Random(7)

    def number():
        return rng.choice([0, 1, TOP, rng.getrandbits(63), rng.getrandbits(8)])

    def some(make, most):
        return tuple(make() for _ in range(rng.randrange(most)))

    def key():
        return rng.choice(["", "k", f"key/{rng.randrange(120)}", "x" * 600])

    def carried():
        made = item(key(), rng.randrange(3), rng.randrange(100), kept=rng.random() < 0.5, priority=rng.randrange(4))
        return Carried(msgspec.structs.replace(made, born_ms=rng.choice([-1, 0, number()])), rng.randrange(1, 300))

    makers = [
        lambda: News(some(carried, 6), rng.random() < 0.5, rng.random() < 0.5),
        lambda: Packed(rng.randbytes(rng.randrange(50))),
        lambda: Digest(number(), some(lambda: Slice(number(), number()), 16)),
        lambda: Branches(some(number, 64)),
        lambda: Leaves(some(lambda: Branch(rng.randrange(64), some(number, 64)), 9)),
        lambda: Stamps(some(lambda: rng.randrange(LEAVES), 9), some(lambda: (key(), number()), 9)),
        lambda: Want(some(key, 9)),
        lambda: Ids(some(number, 9), some(number, 9)),
        lambda: Pull(some(number, 9)),
    ]
    now_ns = 0
    for _ in range(4000):
        now_ns += rng.randrange(10**7)
        message = DECODER.decode(msgspec.msgpack.encode(rng.choice(makers)()))
        effects = list(m.on_message(now_ns, f"n{rng.randrange(9)}", message))
        due_ns = m.next_deadline()
        if due_ns is not None and due_ns <= now_ns:
            effects += m.on_deadline(now_ns)
            assert m.next_deadline() > now_ns
        for effect in effects:
            if isinstance(effect, Send):
                DECODER.decode(msgspec.msgpack.encode(effect.message))
    assert m.snapshot().waiting < 100


def test_a_flood_of_messages_is_bounded_in_memory(m, item):
    for i in range(0, SEEN_ITEMS_MAX + 5000, 1000):
        news = tuple(Carried(item(f"e{j}", kept=False, at_ns=j * 10**9), 1) for j in range(i, i + 1000))
        m.on_message(i, "x", News(news))
    picture = m.snapshot()
    assert picture.seen <= SEEN_ITEMS_MAX
    assert picture.recent <= 4096
    assert picture.waiting <= 4096


def test_a_member_that_always_says_more_is_asked_only_as_often_as_it_gives_something_new(m, item):
    m.on_message(0, "n1", News((Carried(item("new"), 1),), repair=True, more=True))
    m.on_deadline(2)
    asked = m.snapshot().counters["exchanges"]
    for _ in range(100):
        m.on_message(3, "n1", News((Carried(item("key/1"), 1),), repair=True, more=True))
    m.on_deadline(5)
    assert m.snapshot().counters["exchanges"] == asked


def test_an_item_that_came_too_far_is_delivered_but_not_sent_on(m, item):
    (effect,) = m.on_message(0, "n1", News((Carried(item("far"), 64),)))
    assert isinstance(effect, Emit)


def test_an_hour_of_pause_is_made_up_for_by_one_round(m):
    hour_ns = 3600 * 10**9
    sends = m.on_deadline(hour_ns)
    assert len(sends) <= 2
    assert m.next_deadline() > hour_ns
    assert m.on_deadline(hour_ns) == []


def test_many_changes_of_members_leave_nothing_behind(machine, member):
    m = machine("hybrid", member("me"))
    for i in range(3000):
        m.on_members(i, [member(f"n{i}", f"r{i % 7}")])
        m.on_round_trip(i, f"n{i}", 10**6)
        m.on_members(i, [member(f"n{i}", f"r{i % 7}", status="failed" if i % 2 else "left")])
        m.on_members(i, [member(f"n{i}", f"r{i % 7}", status="left")])
    peers = m._peers
    assert (peers.live, peers.failed, peers.regions, len(peers._members), len(peers._rtts_ns)) == ([], [], ["eu"], 0, 0)
    m.on_deadline(10**12)
    assert m.next_deadline() is None
