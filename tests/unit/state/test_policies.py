"""What each policy makes of concurrent writes, seen through stores that exchange their versions."""

from collections.abc import Sequence
from random import Random

import pytest

from mpreg_core.contracts.api import Json, PolicyName
from mpreg_core.errors import InvalidInputError, NotFoundError
from mpreg_core.state.store import StateStore

WALL_MS = 1_790_000_000_000


def wider(one: Json, other: Json) -> Json:
    """The span that covers two spans `[low, high]`."""
    (a, b), (c, d) = one, other
    return [min(a, c), max(b, d)]


MERGES = {"wider": wider}


class Pair:
    """Two stores that are cut off from each other until they `sync`; each write is a millisecond after the last."""

    def __init__(self, policy: PolicyName) -> None:
        self.policy = policy
        self.a, self.b = StateStore("a", 1, MERGES), StateStore("b", 1, MERGES)
        self.now = WALL_MS

    def put(self, store: StateStore, value: Json) -> Json:
        self.now += 1
        return store.put("k", value, policy=self.policy, wall_ms=self.now).value

    def delete(self, store: StateStore) -> None:
        self.now += 1
        store.delete("k", wall_ms=self.now)

    def sync(self) -> None:
        for source, sink in ((self.a, self.b), (self.b, self.a)):
            sink.merge("k", "pool", source.payload("k"), wall_ms=self.now)
        assert self.a.payload("k") == self.b.payload("k")

    def read(self) -> Json:
        self.sync()
        assert self.a.get("k").value == self.b.get("k").value
        assert self.a.get("k").version == self.b.get("k").version
        return self.a.get("k").value

    def gone(self) -> bool:
        self.sync()
        for store in (self.a, self.b):
            try:
                store.get("k")
            except NotFoundError:
                continue
            return False
        return True


def test_the_last_write_wins() -> None:
    pair = Pair("last_write_wins")
    pair.put(pair.b, "early")
    pair.put(pair.a, "late")
    assert pair.read() == "late"


def test_a_removal_loses_to_a_later_write_and_wins_over_an_earlier_one() -> None:
    pair = Pair("last_write_wins")
    pair.put(pair.a, 1)
    pair.sync()
    pair.delete(pair.a)
    pair.put(pair.b, 2)
    assert pair.read() == 2
    pair.put(pair.a, 3)
    pair.delete(pair.b)
    assert pair.gone()


def test_null_is_a_value_and_not_a_removal() -> None:
    pair = Pair("last_write_wins")
    pair.put(pair.a, None)
    assert pair.put(pair.b, None) is None
    assert pair.read() is None


def test_the_first_write_wins_and_a_later_writer_learns_it() -> None:
    pair = Pair("first_write_wins")
    pair.put(pair.b, "first")
    pair.put(pair.a, "second")
    assert pair.read() == "first"
    assert pair.put(pair.a, "third") == "first"
    assert pair.read() == "first"


def test_a_removed_first_write_makes_room_for_a_new_first_write() -> None:
    pair = Pair("first_write_wins")
    pair.put(pair.a, "old")
    pair.sync()
    pair.delete(pair.a)
    pair.put(pair.a, "new")
    assert pair.read() == "new"


def test_concurrent_values_stay_siblings_until_a_write_that_saw_them() -> None:
    pair = Pair("vector_clock")
    pair.put(pair.a, "left")
    pair.put(pair.b, "right")
    assert pair.read() == "right"
    assert pair.a.get("k").conflicts == pair.b.get("k").conflicts == ["left"]
    pair.put(pair.a, "both")
    assert pair.read() == "both"
    assert pair.b.get("k").conflicts == []


def test_a_write_on_top_of_another_makes_no_sibling() -> None:
    pair = Pair("vector_clock")
    for value in range(5):
        pair.put(pair.a, value)
        pair.sync()
        pair.put(pair.b, -value)
    assert pair.read() == -4
    assert pair.a.get("k").conflicts == []


def test_a_removal_spares_the_sibling_it_did_not_see() -> None:
    pair = Pair("vector_clock")
    pair.put(pair.a, "seen")
    pair.sync()
    pair.put(pair.b, "unseen")
    pair.delete(pair.a)
    assert pair.read() == "unseen"
    pair.delete(pair.a)
    assert pair.gone()


def test_a_counter_loses_no_increment() -> None:
    pair = Pair("counter")
    pair.put(pair.a, 5)
    pair.put(pair.b, {"add": 7})
    pair.put(pair.b, -3)
    assert pair.read() == 9
    pair.put(pair.a, {"add": -20})
    pair.put(pair.b, 1)
    assert pair.read() == -10


def test_a_removed_counter_begins_at_nought() -> None:
    pair = Pair("counter")
    pair.put(pair.a, 5)
    pair.sync()
    pair.delete(pair.b)
    assert pair.gone()
    pair.put(pair.a, 2)
    assert pair.read() == 2


def test_an_addition_wins_over_a_concurrent_removal() -> None:
    pair = Pair("set")
    pair.put(pair.a, {"add": ["x", "y"]})
    pair.sync()
    pair.put(pair.a, {"remove": ["x", "y"]})
    pair.put(pair.b, {"add": ["x"]})
    assert pair.read() == ["x"]


def test_an_element_that_was_removed_and_seen_stays_away() -> None:
    pair = Pair("set")
    pair.put(pair.a, {"add": [1, 2, {"deep": [1]}]})
    pair.sync()
    pair.put(pair.b, {"remove": [1, {"deep": [1]}]})
    assert pair.read() == [2]


def test_concurrent_edits_of_a_sequence_all_stay_each_run_together() -> None:
    pair = Pair("sequence")
    pair.put(pair.a, ["a", "b", "c"])
    pair.sync()
    pair.put(pair.a, ["a", 1, 2, "b", "c"])
    pair.put(pair.b, ["a", 3, 4, "b"])
    assert pair.read() in (["a", 1, 2, 3, 4, "b"], ["a", 3, 4, 1, 2, "b"])
    pair.put(pair.a, ["b", "last"])
    assert pair.read() == ["b", "last"]


def test_what_is_inserted_behind_a_removed_element_keeps_its_place() -> None:
    pair = Pair("sequence")
    pair.put(pair.a, ["a", "b", "c"])
    pair.sync()
    pair.put(pair.a, ["a", "c"])
    pair.put(pair.b, ["a", "b", "behind b", "c"])
    assert pair.read() == ["a", "behind b", "c"]


def test_equal_elements_of_a_sequence_are_apart_and_an_empty_one_is_not_removed() -> None:
    pair = Pair("sequence")
    pair.put(pair.a, [0, 0, 0])
    pair.sync()
    pair.put(pair.b, [0, 0])
    pair.put(pair.a, [0, 0, 0, 1])
    assert pair.read() == [0, 0, 1]
    pair.put(pair.a, [])
    assert pair.read() == []
    pair.delete(pair.b)
    assert pair.gone()
    pair.put(pair.a, ["new"])
    assert pair.read() == ["new"]


@pytest.mark.parametrize("size", [3, 150, 1_000])
def test_a_sequence_becomes_what_was_written_whatever_changed(size: int) -> None:
    rng = Random(size)
    pair = Pair("sequence")
    held: list[int] = []
    for _ in range(6):
        held = [item for item in held if rng.random() < 0.8]
        for _ in range(size // 3):
            held.insert(rng.randrange(len(held) + 1), rng.randrange(10))
        pair.put(pair.a, list(held))
        assert pair.read() == held


def test_an_empty_set_is_not_a_removed_one() -> None:
    pair = Pair("set")
    pair.put(pair.a, {"add": [1]})
    pair.put(pair.a, {"remove": [1]})
    assert pair.read() == []
    pair.delete(pair.b)
    assert pair.gone()


def test_true_and_one_are_two_elements() -> None:
    pair = Pair("set")
    pair.put(pair.a, {"add": [1, True, "1"]})
    assert pair.read() == ["1", 1, True]
    pair.put(pair.a, {"remove": [True]})
    assert pair.read() == ["1", 1]


def test_fields_of_a_map_are_written_independently() -> None:
    pair = Pair("map")
    pair.put(pair.a, {"x": 1, "deep": {"left": 1}})
    pair.put(pair.b, {"y": 2, "deep": {"right": 2}})
    assert pair.read() == {"x": 1, "y": 2, "deep": {"left": 1, "right": 2}}
    pair.put(pair.a, {"x": None, "deep": {"right": None}})
    assert pair.read() == {"y": 2, "deep": {"left": 1}}


@pytest.mark.parametrize(
    ("puts", "value"),
    [
        ([{"a": {"b": 1}}, {"a": 5}], {"a": 5}),
        ([{"a": 5}, {"a": {"b": 1}}], {"a": {"b": 1}}),
        ([{"a": {"b": 1, "c": 2}}, {"a": None}], {}),
        ([{"a": {"b": 1}}, {"a": None}, {"a": {"c": 3}}], {"a": {"c": 3}}),
        ([{"a": {"b": 1}}, {"a": {}}], {"a": {"b": 1}}),
        ([{"a": 1}, {"a": {}}], {"a": {}}),
        ([{}], {}),
        ([{"a": 1}, {}], {"a": 1}),
        ([{"a": 1}, {"a": None}], {}),
        ([{"/": {"~1": 1}, "": 2}, {"": {"": 3}}], {"/": {"~1": 1}, "": {"": 3}}),
        ([{"a": [1, {"b": 2}]}, {"a": [3]}], {"a": [3]}),
    ],
)
def test_a_map_reads_as_its_fields_were_written(puts: Sequence[Json], value: Json) -> None:
    pair = Pair("map")
    for put in puts:
        pair.put(pair.a, put)
    assert pair.a.get("k").value == value
    pair.put(pair.b, {"other": 1})
    assert pair.read() == ({**value, "other": 1} if isinstance(value, dict) else None)


def test_a_removed_map_keeps_the_fields_written_after_the_removal() -> None:
    pair = Pair("map")
    pair.put(pair.a, {"old": 1})
    pair.sync()
    pair.put(pair.b, {"before": 1})
    pair.delete(pair.a)
    pair.put(pair.b, {"after": 2})
    assert pair.read() == {"after": 2}
    pair.delete(pair.a)
    assert pair.gone()


@pytest.mark.parametrize(
    ("policy", "value", "expected"),
    [
        ("counter", "1", "whole number"),
        ("counter", True, "whole number"),
        ("counter", 1.5, "whole number"),
        ("counter", {"add": 1, "remove": 2}, "whole number"),
        ("counter", 1 << 62, "at or under"),
        ("sequence", {"add": [1]}, "a list"),
        ("set", [1], "remove"),
        ("set", {"add": 1}, "remove"),
        ("set", {}, "remove"),
        ("set", {"added": [1]}, "remove"),
        ("map", [1], "object"),
        ("map", None, "object"),
        ("last_write_wins", "\ud800", "JSON"),
        ("last_write_wins", {1: 2}, "JSON"),
        ("last_write_wins", object(), "JSON"),
    ],
)
def test_a_value_that_does_not_fit_its_policy_is_refused(policy: PolicyName, value: Json, expected: str) -> None:
    store = StateStore("a", 1)
    with pytest.raises(InvalidInputError, match=expected):
        store.put("k", value, policy=policy, wall_ms=WALL_MS)
    assert len(store) == 0


@pytest.mark.parametrize("levels", [64, 65, 5_000])
def test_a_value_may_be_sixty_four_levels_deep(levels: int) -> None:
    value: Json = 1
    for level in range(levels):
        value = [value, 0] if level % 2 else {"k": value}
    store = StateStore("a", 1)
    if levels <= 64:
        assert store.put("k", value, wall_ms=WALL_MS).value == value
    else:
        with pytest.raises(InvalidInputError):
            store.put("k", value, wall_ms=WALL_MS)


def test_a_custom_policy_makes_concurrent_values_one_by_its_function() -> None:
    pair = Pair("custom:wider")
    pair.put(pair.a, [1, 2])
    pair.put(pair.b, [5, 9])
    assert pair.read() == [1, 9]
    assert pair.a.get("k").policy == "custom:wider"
    assert pair.a.get("k").conflicts == []
    pair.put(pair.a, [0, 1])
    pair.put(pair.b, [3, 10])
    assert pair.read() == [0, 10]
    pair.delete(pair.b)
    assert pair.gone()


def test_a_custom_write_is_merged_with_what_is_held() -> None:
    pair = Pair("custom:wider")
    pair.put(pair.a, [1, 5])
    assert pair.put(pair.a, [3, 7]) == [1, 7]


def test_a_value_that_a_custom_function_does_not_take_is_refused() -> None:
    pair = Pair("custom:wider")
    pair.put(pair.a, [1, 5])
    with pytest.raises(InvalidInputError, match="custom:wider does not merge this value: ValueError"):
        pair.put(pair.a, [])
    assert pair.a.get("k").value == [1, 5]


def test_a_node_without_the_function_relays_and_shows_the_conflict() -> None:
    pair = Pair("custom:wider")
    plain = StateStore("plain", 1)
    pair.put(pair.a, [1, 2])
    pair.put(pair.b, [5, 9])
    for store in (pair.a, pair.b):
        plain.merge("k", "pool", store.payload("k"), wall_ms=pair.now)
    assert [plain.get("k").value, *plain.get("k").conflicts] == [[5, 9], [1, 2]]
    pair.a.merge("k", "pool", plain.payload("k"), wall_ms=pair.now)
    assert pair.a.get("k").value == [1, 9]
    with pytest.raises(InvalidInputError, match=r"expected a policy of .*, got 'custom:wider'"):
        plain.put("k", [0, 0], wall_ms=pair.now)
