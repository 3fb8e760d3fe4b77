"""What the store and the items cost. Figures are printed (`pytest -s -m bench`); the bounds catch gross regressions."""

import tracemalloc
from collections.abc import Callable, Sequence
from time import perf_counter

import pytest

from mpreg_core.contracts.gossip import Item
from mpreg_core.state.items import ItemStore, make_stamp
from mpreg_core.state.store import StateStore

pytestmark = pytest.mark.bench

WALL_MS = 1_790_000_000_000
KEYS = [f"services/eu-central/{n:06d}" for n in range(20_000)]


def us_each(action: Callable[[str], object], keys: Sequence[str] = KEYS) -> float:
    start = perf_counter()
    for key in keys:
        action(key)
    return (perf_counter() - start) / len(keys) * 1e6


def filled() -> StateStore:
    store = StateStore("hub-eu-1", WALL_MS)
    for n, key in enumerate(KEYS):
        store.put(key, n, wall_ms=WALL_MS + n // 100)
    return store


def item(store: StateStore, key: str) -> Item:
    payload = store.payload(key)
    return Item(f"state/pool/{key}", make_stamp(payload, key), payload, "hub-eu-1", WALL_MS)


def test_a_hundred_thousand_keys_with_their_items_fit_in_150_mb() -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        store, items = filled(), ItemStore({})
        for key in KEYS:
            items.put(item(store, key))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    each = (after - before) / len(KEYS)
    print(f"\nmemory of a small key: {each:.0f} bytes, 100,000 of them: {each / 10:.0f} MB")
    assert each < 1_500


def test_writes_merges_and_items_take_microseconds() -> None:
    source, sink, items = filled(), StateStore("hub-eu-2", WALL_MS), ItemStore({})
    held = {key: item(source, key) for key in KEYS}
    figures = {
        "put": us_each(lambda key: source.put(key, "changed", wall_ms=WALL_MS + 9_000)),
        "merge, new": us_each(lambda key: sink.merge(key, "pool", source.payload(key), wall_ms=WALL_MS + 9_000)),
        "merge, known": us_each(lambda key: sink.merge(key, "pool", source.payload(key), wall_ms=WALL_MS + 9_000)),
        "news or not": us_each(lambda key: sink.is_news(key, "pool", held[key].payload, wall_ms=WALL_MS + 9_000)),
        "item put": us_each(lambda key: items.put(held[key])),
        "item replaced": us_each(lambda key: items.put(held[key])),
    }
    print("\nµs each: " + ", ".join(f"{name} {us:.1f}" for name, us in figures.items()))
    assert max(figures.values()) < 100


def test_a_snapshot_of_all_keys_is_made_and_restored_quickly() -> None:
    store = filled()
    start = perf_counter()
    data = store.snapshot()
    made = perf_counter()
    StateStore("hub-eu-2", WALL_MS).restore(data, wall_ms=WALL_MS)
    done = perf_counter()
    scale = 100_000 / len(KEYS)
    print(f"\n100,000 keys: snapshot {(made - start) * scale:.2f} s, restore {(done - made) * scale:.2f} s")
    assert (done - start) * scale < 5
