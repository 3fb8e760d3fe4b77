"""The store: what a caller may rely on, and that replicas agree once they have exchanged what they know."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpreg_core import limits
from mpreg_core.contracts.api import Json, PolicyName, Scope
from mpreg_core.errors import (
    ConflictError,
    InvalidInputError,
    MpregError,
    NotFoundError,
    PayloadTooLargeError,
    ProtocolError,
    UnavailableError,
)
from mpreg_core.state import history
from mpreg_core.state.clock import COUNTER_BITS
from mpreg_core.state.custom import Merges
from mpreg_core.state.history import Change, Compacted
from mpreg_core.state.registers import Last, Register
from mpreg_core.state.store import ABSENT, AHEAD_MS_MAX, TOMBSTONE_MS, StateStore
from mpreg_core.state.version import STATES, Version, encode

WALL_MS = 1_790_000_000_000
LIFE = WALL_MS
MERGES: Merges = {"larger": max}
SAMPLES: dict[PolicyName, Json] = {
    "custom:larger": 3,
    "sequence": ["a", 1],
    "counter": 1,
    "set": {"add": [1], "remove": [2]},
    "map": {"f": {"g": 1}, "h": None},
}
POLICIES = ["custom:larger" if policy == "custom" else policy for policy in STATES if policy != "consensus"]


@pytest.fixture
def store() -> StateStore:
    return StateStore("a", LIFE, MERGES)


def put(store: StateStore, key: str, value: Json, policy: PolicyName | None = None, after_ms: int = 0) -> str:
    return store.put(key, value, policy=policy, wall_ms=WALL_MS + after_ms).version


def send(source: StateStore, sink: StateStore, key: str = "k", scope: Scope = "pool", after_ms: int = 0) -> bool:
    return sink.merge(key, scope, source.payload(key, scope), wall_ms=WALL_MS + after_ms).changed


# reading and writing


def test_what_was_put_is_read_in_its_scope_alone(store: StateStore) -> None:
    entry = store.put("k", {"b": [1, None], "a": "x"}, "region", wall_ms=WALL_MS)
    assert entry == store.get("k", "region")
    assert (entry.key, entry.value, entry.policy, entry.scope) == (
        "k",
        {"b": [1, None], "a": "x"},
        "last_write_wins",
        "region",
    )
    assert entry.conflicts == []
    assert entry.revision == store.revision
    with pytest.raises(NotFoundError):
        store.get("k", "pool")


def test_the_version_changes_with_the_value_and_is_the_same_on_every_replica(store: StateStore) -> None:
    first = put(store, "k", 1)
    second = put(store, "k", 2)
    assert first != second
    other = StateStore("b", LIFE)
    send(store, other)
    assert other.get("k").version == second


def test_keys_are_listed_by_prefix_and_scope_in_order(store: StateStore) -> None:
    scopes: list[Scope] = ["federation", "pool"]
    for scope in scopes:
        for key in ("b/2", "b/1", "a", "c"):
            store.put(key, key, scope, wall_ms=WALL_MS)
    store.delete("c", "pool", wall_ms=WALL_MS)
    assert [(entry.key, entry.scope) for entry in store.list("b/", "pool")] == [("b/1", "pool"), ("b/2", "pool")]
    everything = [(entry.key, entry.scope) for entry in store.list()]
    assert everything == sorted(everything)
    assert ("c", "federation") in everything
    assert ("c", "pool") not in everything


def test_a_compare_and_set_writes_only_on_the_version_it_names(store: StateStore) -> None:
    first = put(store, "k", 1)
    second = store.put("k", 2, if_version=first, wall_ms=WALL_MS).version
    for stale in (first, ABSENT, ""):
        with pytest.raises(ConflictError, match=second):
            store.put("k", 3, if_version=stale, wall_ms=WALL_MS)
        with pytest.raises(ConflictError, match=second):
            store.delete("k", if_version=stale, wall_ms=WALL_MS)
    assert store.get("k").value == 2
    store.delete("k", if_version=second, wall_ms=WALL_MS)


def test_a_key_can_be_created_only_if_it_does_not_exist(store: StateStore) -> None:
    store.put("k", 1, if_version=ABSENT, wall_ms=WALL_MS)
    with pytest.raises(ConflictError):
        store.put("k", 2, if_version=ABSENT, wall_ms=WALL_MS)
    store.delete("k", wall_ms=WALL_MS)
    with pytest.raises(ConflictError, match="got '0'"):
        store.put("k", 3, if_version="anything", wall_ms=WALL_MS)
    assert store.put("k", 3, if_version=ABSENT, wall_ms=WALL_MS).value == 3


def test_a_local_write_wins_over_a_version_that_is_stamped_in_the_future(store: StateStore) -> None:
    ahead = StateStore("b", LIFE)
    put(ahead, "k", "future", after_ms=3_600_000)
    assert send(ahead, store)
    assert store.clock.refused == 1
    put(store, "k", "now")
    assert store.get("k").value == "now"
    assert send(store, ahead)
    assert ahead.get("k").value == "now"


# removing


def test_a_removed_key_is_not_found_and_comes_back_with_a_newer_write(store: StateStore) -> None:
    put(store, "k", 1)
    before = store.revision
    assert store.delete("k", wall_ms=WALL_MS) == store.revision == before + 1
    for gone in (lambda: store.get("k"), lambda: store.delete("k", wall_ms=WALL_MS)):
        with pytest.raises(NotFoundError, match="'k'"):
            gone()
    put(store, "k", 2)
    assert store.get("k").value == 2


@pytest.mark.parametrize("policy", POLICIES)
def test_a_removal_reaches_others_and_outlives_the_old_version(policy: PolicyName, store: StateStore) -> None:
    values: dict[PolicyName, Json] = {
        "sequence": ["a"],
        "counter": 1,
        "custom:larger": 1,
        "set": {"add": [1]},
        "map": {"f": 1},
    }
    value = values.get(policy, "x")
    late, other = StateStore("late", LIFE), StateStore("b", LIFE, MERGES)
    put(store, "k", value, policy)
    send(store, late)
    send(store, other)
    store.delete("k", wall_ms=WALL_MS + 1)
    assert send(store, other)
    assert not send(late, other)
    assert not send(late, store)
    assert [entry.key for each in (store, other) for entry in each.list()] == []
    put(other, "k", value, policy, after_ms=2)
    assert send(other, store)
    assert store.get("k") == msgspec.structs.replace(other.get("k"), revision=store.revision)


def test_a_removal_is_forgotten_after_its_time_and_no_late_replica_brings_it_back(store: StateStore) -> None:
    put(store, "k", 1)
    put(store, "other", 1)
    other = StateStore("b", LIFE)
    store.delete("k", wall_ms=WALL_MS)
    send(store, other)
    tombstone = other.payload("k")
    late_ms = TOMBSTONE_MS + 1
    assert store.collect(WALL_MS + TOMBSTONE_MS) == []
    assert store.collect(WALL_MS + late_ms) == [("pool", "k")]
    assert len(store) == 1
    assert not store.is_news("k", "pool", tombstone, wall_ms=WALL_MS + late_ms)
    merged = store.merge("k", "pool", tombstone, wall_ms=WALL_MS + late_ms)
    assert (merged.changed, merged.payload) == (False, b"")
    with pytest.raises(NotFoundError):
        store.payload("k")


def test_a_removal_whose_time_is_over_counts_as_nothing_even_before_it_is_collected(store: StateStore) -> None:
    put(store, "k", 1, "counter")
    store.delete("k", wall_ms=WALL_MS)
    fresh = StateStore("b", LIFE)
    put(fresh, "k", 5, "counter", after_ms=TOMBSTONE_MS + 1)
    assert send(fresh, store, after_ms=TOMBSTONE_MS + 1)
    assert store.get("k").value == 5


def test_a_key_that_was_removed_and_written_again_is_not_collected(store: StateStore) -> None:
    for n in range(3):
        put(store, "k", n)
        store.delete("k", wall_ms=WALL_MS)
    put(store, "k", "back")
    put(store, "gone", 1)
    store.delete("gone", wall_ms=WALL_MS)
    assert store.collect(WALL_MS + 2 * TOMBSTONE_MS) == [("pool", "gone")]
    assert store.get("k").value == "back"


# policies and decisions


def test_a_key_keeps_its_policy_until_it_is_removed(store: StateStore) -> None:
    put(store, "k", 1, "counter")
    assert put(store, "k", 2) == store.get("k").version
    assert store.get("k").value == 3
    with pytest.raises(ConflictError, match=r"expected policy counter.*got map"):
        put(store, "k", {"f": 1}, "map")
    store.delete("k", wall_ms=WALL_MS)
    other = StateStore("b", LIFE)
    send(store, other)
    put(store, "k", {"f": 1}, "map")
    assert send(store, other)
    assert other.get("k").value == {"f": 1}
    assert other.get("k").policy == "map"


def test_a_removed_key_forgets_its_policy(store: StateStore) -> None:
    put(store, "k", 1, "counter")
    store.delete("k", wall_ms=WALL_MS)
    put(store, "k", "text")
    assert store.get("k").policy == "last_write_wins"


def test_of_two_policies_chosen_concurrently_one_wins_everywhere(store: StateStore) -> None:
    other = StateStore("b", LIFE)
    put(store, "k", {"f": 1}, "map")
    put(other, "k", 9, after_ms=50)
    send(store, other)
    send(other, store)
    assert store.payload("k") == other.payload("k")
    assert store.get("k").value == {"f": 1}


def test_only_a_decision_changes_a_consensus_key(store: StateStore) -> None:
    store.decide("k", "first", index=1, proposal="p1", wall_ms=WALL_MS)
    assert store.get("k").policy == "consensus"
    for attempt in (lambda: put(store, "k", 1), lambda: str(store.delete("k", wall_ms=WALL_MS))):
        with pytest.raises(ConflictError, match="decision"):
            attempt()
    with pytest.raises(ConflictError, match="decision"):
        put(store, "new", 1, "consensus")
    assert store.get("k").value == "first"


def test_decisions_count_in_their_order_and_not_as_they_arrive(store: StateStore) -> None:
    other = StateStore("b", LIFE)
    decisions = [(1, "one"), (2, "two"), (3, "three")]
    for replica, order in ((store, decisions), (other, decisions[::-1])):
        for index, value in order:
            replica.decide("k", value, index=index, proposal=f"p{index}", wall_ms=WALL_MS)
    assert store.get("k").value == other.get("k").value == "three"
    assert store.payload("k") == other.payload("k")
    store.decide("k", None, index=4, proposal="p4", gone=True, wall_ms=WALL_MS)
    assert store.list() == []
    assert not store.decide("k", "late", index=3, proposal="p3", wall_ms=WALL_MS).changed
    put(store, "gone", 1)
    store.delete("gone", wall_ms=WALL_MS)
    assert store.collect(WALL_MS + 9 * TOMBSTONE_MS) == [("pool", "gone")]


def test_a_decision_takes_the_key_from_any_other_policy(store: StateStore) -> None:
    put(store, "k", {"add": [1]}, "set")
    merged = store.decide("k", "decided", index=7, proposal="p", wall_ms=WALL_MS)
    assert merged.changed
    assert store.get("k").value == "decided"


# merging


def test_a_merge_tells_what_it_did(store: StateStore) -> None:
    other = StateStore("b", LIFE)
    put(store, "k", 1, "counter")
    put(other, "k", 2, "counter")
    ours, theirs = store.payload("k"), other.payload("k")

    merged = store.merge("k", "pool", theirs, wall_ms=WALL_MS)
    assert (merged.changed, merged.novel) == (True, True)
    assert merged.payload == store.payload("k")
    assert merged.visible is not None
    assert (merged.visible.revision, merged.visible.deleted) == (store.revision, False)
    assert merged.visible.entry({}) == store.get("k")

    again = store.merge("k", "pool", theirs, wall_ms=WALL_MS)
    assert (again.changed, again.novel, again.visible) == (False, False, None)
    taken = other.merge("k", "pool", merged.payload, wall_ms=WALL_MS)
    assert (taken.changed, taken.novel) == (True, False)
    stale = other.merge("k", "pool", ours, wall_ms=WALL_MS)
    assert (stale.changed, stale.payload) == (False, merged.payload)


def test_the_removal_of_an_unknown_key_is_remembered_and_not_seen(store: StateStore) -> None:
    other = StateStore("b", LIFE)
    put(other, "k", 1)
    old = other.payload("k")
    other.delete("k", wall_ms=WALL_MS)
    revision = store.revision
    assert send(other, store)
    assert store.revision == revision
    assert not store.is_news("k", "pool", old, wall_ms=WALL_MS)


Steps = st.lists(
    st.tuples(
        st.integers(0, 2),  # replica
        st.sampled_from(["k", "l"]),
        st.sampled_from(POLICIES),
        st.sampled_from(["write", "delete", "send 0", "send 1", "send 2"]),
        st.integers(0, 2),  # ms that pass
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=60)
@given(Steps)
def test_replicas_that_exchanged_everything_agree(steps: list[tuple[int, str, PolicyName, str, int]]) -> None:
    stores = [StateStore(f"n{n}", LIFE, MERGES) for n in range(3)]
    now = WALL_MS
    for replica, key, policy, action, passed_ms in steps:
        now += passed_ms
        store = stores[replica]
        try:
            if action == "write":
                store.put(key, SAMPLES.get(policy, now), policy=policy, wall_ms=now)
            elif action == "delete":
                store.delete(key, wall_ms=now)
            else:
                payload = store.payload(key)
                sink = stores[int(action[-1])]
                news = sink.is_news(key, "pool", payload, wall_ms=now)
                assert sink.merge(key, "pool", payload, wall_ms=now).changed == news
        except (ConflictError, NotFoundError):
            continue
    for _ in range(2):
        for source in stores:
            for sink in stores:
                for key in ("k", "l"):
                    if any(key == held for _, held, _ in snapshot_entries(source)):
                        send(source, sink, key, after_ms=now - WALL_MS)
    assert snapshot_entries(stores[0]) == snapshot_entries(stores[1]) == snapshot_entries(stores[2])


def snapshot_entries(store: StateStore) -> list[tuple[str, str, bytes]]:
    _, _, entries = msgspec.msgpack.decode(store.snapshot())
    return [tuple(entry) for entry in entries]


def test_a_node_that_lost_its_memory_loses_no_write_of_either_life(store: StateStore) -> None:
    other = StateStore("b", LIFE)
    put(store, "hits", 5, "counter")
    put(store, "tags", {"add": ["old"]}, "set")
    for key in ("hits", "tags"):
        send(store, other, key)
    reborn = StateStore("a", LIFE + 1, MERGES)
    put(reborn, "hits", 2, "counter", after_ms=1)
    put(reborn, "tags", {"add": ["new"]}, "set", after_ms=1)
    for key in ("hits", "tags"):
        send(reborn, other, key, after_ms=1)
    assert other.get("hits").value == 7
    assert other.get("tags").value == ["new", "old"]


# watching


def test_a_watcher_resumes_from_the_revision_it_saw(store: StateStore) -> None:
    put(store, "a/1", 1)
    seen = store.revision
    put(store, "a/2", 2)
    put(store, "b", 3)
    store.delete("a/1", wall_ms=WALL_MS)
    changes = store.watch(seen, "a/")
    assert not isinstance(changes, Compacted)
    assert [(change.key, change.deleted, change.revision - seen) for change in changes] == [
        ("a/2", False, 1),
        ("a/1", True, 3),
    ]
    assert changes[0].entry({}) == store.get("a/2")
    assert changes[1].entry({}) is None
    assert store.watch(store.revision) == []
    assert store.watch(seen, scope="region") == []


def test_a_change_keeps_the_value_it_had_then(store: StateStore) -> None:
    seen = store.revision
    put(store, "k", "then")
    put(store, "k", "now")
    changes = store.watch(seen)
    assert not isinstance(changes, Compacted)
    entries = [change.entry({}) for change in changes]
    assert [entry.value if entry else None for entry in entries] == ["then", "now"]


def test_a_watcher_that_is_too_late_is_told_so(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STATE_HISTORY_MAX", 3)
    start = store.revision
    for n in range(5):
        put(store, "k", n)
    assert store.watch(start + 1) == Compacted(oldest=start + 2, revision=start + 5)
    changes = store.watch(start + 2)
    assert not isinstance(changes, Compacted)
    assert [change.revision for change in changes] == [start + 3, start + 4, start + 5]


def test_a_revision_the_store_never_gave_is_answered_like_a_lost_one(store: StateStore) -> None:
    put(store, "k", 1)
    for never in (0, store.revision + 1, -1):
        assert isinstance(store.watch(never), Compacted)


def test_the_history_holds_on_to_bounded_bytes(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "HISTORY_BYTES_MAX", 1_000)
    start = store.revision
    for _ in range(5):
        put(store, "k", "x" * 300)
    answer = store.watch(start)
    assert isinstance(answer, Compacted)
    assert answer.oldest == start + 2


def test_revisions_are_not_given_out_again_in_a_later_life(store: StateStore) -> None:
    for n in range(100):
        put(store, "k", n)
    reborn = StateStore("a", LIFE + 1, MERGES)
    assert reborn.revision > store.revision
    assert isinstance(reborn.watch(store.revision), Compacted)


def test_a_write_that_changes_nothing_takes_no_revision(store: StateStore) -> None:
    put(store, "k", "first", "first_write_wins")
    before = store.revision
    assert store.put("k", "second", wall_ms=WALL_MS).revision == before == store.revision


# snapshots


def test_a_snapshot_brings_everything_back(store: StateStore) -> None:
    for n, policy in enumerate(POLICIES):
        put(store, f"k{n}", SAMPLES.get(policy, n), policy)
    store.decide("d", 1, "region", index=1, proposal="p", wall_ms=WALL_MS)
    store.delete("k0", wall_ms=WALL_MS)
    reborn = StateStore("a", LIFE + 1, MERGES)
    reborn.restore(store.snapshot(), wall_ms=WALL_MS)
    assert snapshot_entries(reborn) == snapshot_entries(store)
    assert [entry.value for entry in reborn.list()] == [entry.value for entry in store.list()]
    assert reborn.revision > store.revision
    assert reborn.clock.last >= store.clock.last


def test_a_snapshot_takes_nothing_newer_away(store: StateStore) -> None:
    put(store, "k", "old")
    data = store.snapshot()
    put(store, "k", "new")
    store.restore(data, wall_ms=WALL_MS)
    assert store.get("k").value == "new"


def test_a_store_may_restore_its_later_self_without_going_back(store: StateStore) -> None:
    for n in range(5):
        put(store, "k", n)
    early = StateStore("a", LIFE)
    early.restore(store.snapshot(), wall_ms=WALL_MS)
    assert early.revision > store.revision


@pytest.mark.parametrize("data", [b"", b"\x93\x01\x02", b"junk", b"\x93\x01\x02\x91\x93\xa4pool\xa1k\xc4\x01x"])
def test_a_damaged_snapshot_changes_nothing(data: bytes, store: StateStore) -> None:
    put(store, "k", 1)
    before = store.snapshot()
    with pytest.raises(ProtocolError):
        store.restore(data, wall_ms=WALL_MS)
    assert store.snapshot() == before


# limits and bad input


@pytest.mark.parametrize(
    ("key", "scope", "policy", "error", "text"),
    [
        ("", "pool", None, InvalidInputError, "1 to 512 bytes, got 0"),
        ("ä" * 257, "pool", None, InvalidInputError, "got 514"),
        ("\udc80", "pool", None, InvalidInputError, "surrogates"),
        ("k", "planet", None, InvalidInputError, "pool, region, federation, got 'planet'"),
        ("k", "pool", "last_write_win", InvalidInputError, "did you mean 'last_write_wins'"),
    ],
)
def test_a_bad_argument_is_named(
    key: str, scope: Scope, policy: PolicyName | None, error: type[MpregError], text: str, store: StateStore
) -> None:
    with pytest.raises(error, match=text):
        store.put(key, 1, scope, policy, wall_ms=WALL_MS)
    assert len(store) == 0


def test_a_value_over_the_limit_is_refused_and_the_old_one_stays(store: StateStore) -> None:
    put(store, "k", "small")
    for key in ("k", "new"):
        with pytest.raises(PayloadTooLargeError, match=str(limits.ITEM_BYTES_MAX)):
            put(store, key, "x" * limits.ITEM_BYTES_MAX)
    assert store.get("k").value == "small"
    assert len(store) == 1


def test_a_merge_over_the_limit_is_refused_and_is_no_news(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ITEM_BYTES_MAX", 300)
    other = StateStore("b", LIFE)
    put(store, "k", {"add": ["x" * 150]}, "set")
    put(other, "k", {"add": ["y" * 150]}, "set")
    held = store.payload("k")
    assert not store.is_news("k", "pool", other.payload("k"), wall_ms=WALL_MS)
    with pytest.raises(PayloadTooLargeError, match="with what the key keeps"):
        send(other, store)
    assert store.payload("k") == held


def test_a_full_store_takes_no_new_key_but_writes_the_ones_it_has(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "a", 1)
    put(store, "b", 1)
    other = StateStore("b", LIFE)
    put(other, "c", 1)
    monkeypatch.setattr(limits, "STATE_KEYS_MAX", 2)
    with pytest.raises(UnavailableError, match="at most 2 keys"):
        put(store, "c", 1)
    with pytest.raises(UnavailableError):
        send(other, store, "c")
    assert not store.is_news("c", "pool", other.payload("c"), wall_ms=WALL_MS)
    put(store, "a", 2)
    assert [entry.value for entry in store.list()] == [2, 1]


def _stamped(stamp: int, text: bytes = b"1") -> bytes:
    return encode(Version(0, Last(Register(stamp, "x", text))))


def _deep(levels: int) -> bytes:
    return _stamped(1, b"[" * levels + b"]" * levels)


HOSTILE: list[tuple[str, Callable[[], bytes]]] = [
    ("nothing", lambda: b""),
    ("junk", lambda: b"\xc1\x00"),
    ("unknown policy", lambda: msgspec.msgpack.encode([0, [99, 1]])),
    ("negative stamp", lambda: msgspec.msgpack.encode([0, [1, [-1, "x", b"1"]]])),
    ("stamp over 63 bits", lambda: msgspec.msgpack.encode([0, [1, [1 << 63, "x", b"1"]]])),
    ("value that is no JSON", lambda: _stamped(1, b"{")),
    ("value that is too deep", lambda: _deep(65)),
    ("value deeper than the stack", lambda: _deep(100_000)),
    ("stamp of the far future", lambda: _stamped((WALL_MS + AHEAD_MS_MAX + 1) << COUNTER_BITS)),
    ("over the limit", lambda: _stamped(1, b'"' + b"x" * limits.ITEM_BYTES_MAX + b'"')),
    ("sibling not in the vector", lambda: msgspec.msgpack.encode([0, [3, {}, {"x": [1, b"1"]}]])),
    ("removed sibling", lambda: msgspec.msgpack.encode([0, [3, {"x": 1}, {"x": [1, b""]}]])),
    ("negative count", lambda: msgspec.msgpack.encode([0, [4, {"x": [-1, 0]}]])),
    ("element without a dot", lambda: msgspec.msgpack.encode([0, [5, {"x": 1}, {"1": {}}]])),
    ("dot not in the vector", lambda: msgspec.msgpack.encode([0, [5, {"x": 1}, {"1": {"x": 2}}]])),
    ("element that is no JSON", lambda: msgspec.msgpack.encode([0, [5, {"x": 1}, {"{": {"x": 1}}]])),
    ("path without a slash", lambda: msgspec.msgpack.encode([0, [6, {"f": [1, "x", b"1"]}]])),
    ("path of 65 names", lambda: msgspec.msgpack.encode([0, [6, {"/f" * 65: [1, "x", b"1"]}]])),
    ("first write that is gone but stamped", lambda: msgspec.msgpack.encode([0, [2, [5, "x", b""]]])),
]


@pytest.mark.parametrize("make", [make for _, make in HOSTILE], ids=[name for name, _ in HOSTILE])
def test_bytes_that_no_honest_node_sends_are_refused(make: Callable[[], bytes], store: StateStore) -> None:
    put(store, "k", 1)
    before = store.snapshot()
    for key in ("k", "new"):
        assert not store.is_news(key, "pool", make(), wall_ms=WALL_MS)
        with pytest.raises(ProtocolError):
            store.merge(key, "pool", make(), wall_ms=WALL_MS)
    assert store.snapshot() == before


@settings(deadline=None)
@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda rest: b"\x92\x00" + rest))
def test_no_bytes_at_all_make_the_store_raise_anything_else(data: bytes) -> None:
    store = StateStore("a", LIFE)
    try:
        store.merge("k", "pool", data, wall_ms=WALL_MS)
    except ProtocolError:
        return
    store.list()
    store.snapshot()


def test_a_field_a_later_release_appends_is_passed_over(store: StateStore) -> None:
    payload = msgspec.msgpack.encode([0, [1, [WALL_MS << COUNTER_BITS, "x", b"1", "later"], None, "later"], "later"])
    assert store.merge("k", "pool", payload, wall_ms=WALL_MS).changed
    assert store.get("k").value == 1


def test_a_change_holds_no_more_than_bytes(store: StateStore) -> None:
    put(store, "k", 1)
    changes = store.watch(store.revision - 1)
    assert isinstance(changes, list)
    assert [type(change) for change in changes] == [Change]
    assert changes[0].payload is store.payload("k")
