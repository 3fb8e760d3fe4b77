"""Shortest paths stay exact while links change: against a plain Dijkstra run afresh after each change."""

from heapq import heappop, heappush
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpreg_routing_graph.paths import REPAIR_LINKS_MAX, ShortestPaths

Links = dict[str, dict[str, int]]
NAMES = [f"n{number}" for number in range(9)]


def distances_from(source: str, links: Links) -> dict[str, float]:
    """The slow, obvious twin."""
    settled: dict[str, float] = {}
    queue = [(0.0, source)]
    while queue:
        reached, node = heappop(queue)
        if node not in settled:
            settled[node] = reached
            for head, weight in links.get(node, {}).items():
                heappush(queue, (reached + weight, head))
    return settled


def assert_exact(paths: ShortestPaths, links: Links) -> None:
    expected = distances_from("n0", links)
    for name in NAMES:
        assert paths.distance(name) == expected.get(name, inf), (name, links)
        path = paths.path(name)
        if name == "n0" or name not in expected:
            assert path == ()
        else:
            assert path[-1] == name
            assert sum(links[tail][head] for tail, head in pairwise(("n0", *path))) == expected[name]


some_links = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 9), max_size=6)
changes = st.lists(st.tuples(st.sampled_from(NAMES), some_links), min_size=1, max_size=30)


@given(changes, st.integers(0, 3))
def test_after_any_change_of_links_all_distances_and_paths_are_exact(
    news: list[tuple[str, dict[str, int]]], ask_every: int
) -> None:
    paths, links = ShortestPaths("n0"), Links()
    for step, (origin, told) in enumerate(news):
        paths.set_links(origin, told)
        links[origin] = {head: weight for head, weight in told.items() if head != origin}
        if step % (ask_every + 1) == 0:
            assert_exact(paths, links)
    assert_exact(paths, links)


@given(changes)
def test_no_change_said_means_that_every_path_is_still_a_shortest(news: list[tuple[str, dict[str, int]]]) -> None:
    paths, links = ShortestPaths("n0"), Links()
    for origin, told in news:
        before = {name: paths.path(name) for name in NAMES}
        changed = paths.set_links(origin, told)
        links[origin] = {head: weight for head, weight in told.items() if head != origin}
        if not changed:
            assert {name: paths.path(name) for name in NAMES} == before


@given(changes)
def test_disjoint_paths_share_no_member_and_are_real(news: list[tuple[str, dict[str, int]]]) -> None:
    paths, links = ShortestPaths("n0"), Links()
    for origin, told in news:
        paths.set_links(origin, told)
        links[origin] = {head: weight for head, weight in told.items() if head != origin}
    for goal in NAMES[1:]:
        found = paths.disjoint(goal, 3)
        inner = [member for _, path in found for member in path[:-1]]
        assert len(inner) == len(set(inner))
        assert [weight for weight, _ in found] == sorted(weight for weight, _ in found)
        for weight, path in found:
            assert len(path) >= 2
            assert goal not in path[:-1]
            assert sum(links[tail][head] for tail, head in pairwise(("n0", *path))) == weight
        straight = links.get("n0", {}).get(goal, inf)
        if paths.distance(goal) < straight:
            assert found[0][0] == paths.distance(goal)


def test_many_links_changed_at_once_are_right_too() -> None:
    paths = ShortestPaths("n0")
    hub = {f"x{number}": 10 for number in range(2 * REPAIR_LINKS_MAX)}
    paths.set_links("n0", hub)
    assert paths.distance("x3") == 10
    assert paths.set_links("n0", dict.fromkeys(hub, 4))
    assert paths.distance("x3") == 4


def test_a_change_off_the_tree_is_said_to_change_nothing() -> None:
    paths = ShortestPaths("n0")
    paths.set_links("n0", {"n1": 1, "n2": 1})
    paths.set_links("n1", {"n2": 5})
    assert paths.path("n2") == ("n2",)
    assert not paths.set_links("n1", {"n2": 7})
    assert not paths.set_links("n1", {})
    assert paths.set_links("n0", {"n1": 1})


@pytest.mark.parametrize("rounds", [50])
def test_members_nobody_links_to_any_more_are_forgotten(rounds: int) -> None:
    paths = ShortestPaths("n0")
    for number in range(rounds):
        paths.set_links("n0", {f"once-{number}": 1})
        assert paths.distance(f"once-{number}") == 1
    assert len(paths) == 1
    assert len(paths._index) == 2
    paths.set_links("n0", {})
    assert paths.distance("once-49") == inf
