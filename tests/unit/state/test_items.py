"""The replica of a pool: its digests find exactly what differs, and it tells news from what it knows."""

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpreg_core import limits
from mpreg_core.contracts.gossip import DIGEST_FANOUT, Item, Replica
from mpreg_core.errors import InvalidInputError, UnavailableError
from mpreg_core.state.items import ItemStore, make_stamp


def item(key: str, text: str = "", *, kept: bool = True, born_ms: int = 0) -> Item:
    payload = text.encode()
    return Item(key, make_stamp(payload, key), payload, "n1", born_ms, kept=kept)


def holding(*items: Item) -> ItemStore:
    store = ItemStore({})
    for each in items:
        store.put(each)
    return store


def all_stamps(replica: Replica) -> dict[str, int]:
    places = [(branch, leaf) for branch in range(DIGEST_FANOUT) for leaf in range(DIGEST_FANOUT)]
    return {key: stamp for place in places for key, stamp in replica.stamps(*place).items()}


def differing(a: Replica, b: Replica) -> Iterator[str]:
    """Keys in the leaves that differ, found from the root down."""
    if a.root() == b.root():
        return
    for branch in range(DIGEST_FANOUT):
        if a.branches()[branch] == b.branches()[branch]:
            continue
        for leaf in range(DIGEST_FANOUT):
            if a.leaves(branch)[leaf] != b.leaves(branch)[leaf]:
                yield from sorted(dict(a.stamps(branch, leaf).items() ^ b.stamps(branch, leaf).items()))


Keys = st.sampled_from([f"state/pool/{n}" for n in range(8)])
Steps = st.lists(st.tuples(Keys, st.none() | st.sampled_from("xyz")))


@settings(deadline=None)
@given(Steps, Steps)
def test_equal_roots_mean_equal_items_whatever_way_they_came(
    ours: list[tuple[str, str | None]], theirs: list[tuple[str, str | None]]
) -> None:
    stores = []
    for steps in (ours, theirs):
        store, model = ItemStore({}), dict[str, Item]()
        for key, text in steps:
            if text is None:
                store.remove(key)
                model.pop(key, None)
            else:
                store.put(item(key, text))
                model[key] = item(key, text)
        assert all_stamps(store) == {key: each.stamp for key, each in model.items()}
        assert {key: store.get(key) for key in model} == model
        stores.append((store, model))
    (a, held_by_a), (b, held_by_b) = stores
    assert (a.root() == b.root()) == (held_by_a == held_by_b)
    assert (a.root() == 0) == (not held_by_a)
    assert set(differing(a, b)) == {key for key in held_by_a | held_by_b if held_by_a.get(key) != held_by_b.get(key)}


def test_the_digests_of_a_level_are_the_exclusive_or_of_those_below() -> None:
    store = holding(*(item(f"k{n}", str(n)) for n in range(500)))
    root = 0
    for branch in range(DIGEST_FANOUT):
        below = 0
        for leaf in store.leaves(branch):
            below ^= leaf
        assert store.branches()[branch] == below
        root ^= below
    assert store.root() == root


def test_keys_spread_over_the_leaves() -> None:
    store = holding(*(item(f"state/pool/key-{n}") for n in range(4_096)))
    used = sum(leaf != 0 for branch in range(DIGEST_FANOUT) for leaf in store.leaves(branch))
    assert used > 2_400  # a fair hash leaves 1/e of 4,096 places empty: uses about 2,589


def test_a_stamp_is_63_bits_of_key_and_payload() -> None:
    stamps = {make_stamp(*pair) for pair in [(b"", ""), (b"a", ""), (b"", "a"), (b"b", "a"), (b"", "ab"), (b"ab", "")]}
    assert len(stamps) == 6
    assert all(0 <= stamp < 1 << 63 for stamp in stamps)
    assert make_stamp(b"x", "k") == make_stamp(b"x", "k")


def test_the_judge_of_its_prefix_decides_whether_a_kept_item_is_news() -> None:
    asked: list[tuple[Item | None, Item]] = []

    def judge(held: Item | None, new: Item) -> bool:
        asked.append((held, new))
        return new.payload > (held.payload if held else b"")

    store = ItemStore({"state": judge})
    low, high = item("state/pool/k", "1"), item("state/pool/k", "2")
    assert store.is_news(low)
    store.put(low)
    assert store.is_news(high)
    assert asked == [(None, low), (low, high)]
    store.put(high)
    assert not store.is_news(low)


def test_the_held_version_itself_is_no_news_and_bothers_no_judge() -> None:
    store = ItemStore({"state": lambda held, new: held is None or 1 / 0 > 0})
    store.put(item("state/k", "1"))
    assert not store.is_news(item("state/k", "1"))


def test_without_a_judge_the_later_born_is_news() -> None:
    store = holding(item("k", "old", born_ms=5))
    assert store.is_news(item("k", "new", born_ms=6))
    assert not store.is_news(item("k", "new", born_ms=4))


def test_of_two_versions_born_together_exactly_one_is_news_to_the_other() -> None:
    a, b = item("k", "a", born_ms=5), item("k", "b", born_ms=5)
    assert holding(a).is_news(b) != holding(b).is_news(a)


def test_a_message_is_news_once() -> None:
    store, message = ItemStore({}), item("events/1", "hi", kept=False)
    assert store.is_news(message)
    assert store.mark_seen(message.stamp)
    assert not store.is_news(message)
    assert not store.mark_seen(message.stamp)
    assert store.root() == 0


def test_messages_are_remembered_for_half_the_limit_and_never_above_it() -> None:
    store, half = ItemStore({}), limits.SEEN_ITEMS_MAX // 2
    messages = [item("k", str(number), kept=False) for number in range(3 * half)]
    for message in messages:
        assert store.mark_seen(message.stamp)
    known = [number for number, message in enumerate(messages) if not store.is_news(message)]
    assert known[-half:] == list(range(2 * half, 3 * half))
    assert len(known) <= limits.SEEN_ITEMS_MAX


@pytest.mark.parametrize("kept", [True, False])
def test_an_item_whose_stamp_is_not_its_payloads_is_no_news(kept: bool) -> None:
    forged = msgspec.structs.replace(item("k", "true", kept=kept), payload=b"false")
    assert not ItemStore({}).is_news(forged)


def test_a_full_replica_takes_new_versions_but_no_new_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STATE_KEYS_MAX", 2)
    store = holding(item("a", "1"), item("b", "1"))
    assert not store.is_news(item("c", "1"))
    with pytest.raises(UnavailableError, match="full"):
        store.put(item("c", "1"))
    store.put(item("a", "2"))
    store.remove("b")
    store.put(item("c", "1"))
    assert set(all_stamps(store)) == {"a", "c"}


@pytest.mark.parametrize("index", [-1, DIGEST_FANOUT])
def test_a_place_outside_the_tree_is_refused(index: int) -> None:
    store = ItemStore({})
    for ask in (lambda: store.leaves(index), lambda: store.stamps(index, 0), lambda: store.stamps(0, index)):
        with pytest.raises(InvalidInputError, match=f"got {index}"):
            ask()


def test_any_number_a_frame_can_carry_will_do_for_a_stamp() -> None:
    store = holding(*(Item(f"k{n}", stamp, b"", "n1", 0) for n, stamp in enumerate([0, -1, -(1 << 63), (1 << 64) - 1])))
    assert len(store) == 4
