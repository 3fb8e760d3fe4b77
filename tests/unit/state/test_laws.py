"""Merging is commutative, associative and idempotent, for every policy and across policies.

States are made the way replicas make them: three replicas write, erase and merge in an order that hypothesis chooses.
"""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpreg_core.contracts.api import Json, StatePolicy
from mpreg_core.state.custom import Custom
from mpreg_core.state.registers import Decision, Last, Register
from mpreg_core.state.value import GONE, Write
from mpreg_core.state.version import STATES, AnyState, Version, decode, decode_checked, encode

EXAMPLES = 30
SMALL = st.integers(0, 3)
NAMES = st.sampled_from(["", "a", "b", "a/b", "~"])
LEAVES = st.none() | SMALL | st.just({}) | st.lists(SMALL, max_size=2)
VALUES: dict[StatePolicy, st.SearchStrategy[Json]] = {
    "last_write_wins": st.none() | SMALL,
    "first_write_wins": SMALL,
    "vector_clock": st.none() | SMALL,
    "counter": st.integers(-3, 3),
    "set": st.fixed_dictionaries({}, optional={"add": st.lists(SMALL), "remove": st.lists(SMALL)}).filter(bool),
    "map": st.recursive(
        st.dictionaries(NAMES, LEAVES, max_size=3),
        lambda inner: st.dictionaries(NAMES, inner | LEAVES, min_size=1, max_size=3),
        max_leaves=5,
    ),
    "sequence": st.lists(SMALL, max_size=5),
    "custom": st.none() | SMALL,
    "consensus": SMALL,
}

Step = tuple[int, StatePolicy, Json, int | None]
"""(replica, policy, value to write, replica to merge from instead); a write of no value is a removal."""


class Replicas:
    """Three replicas of one key, and every version that was ever published."""

    def __init__(self) -> None:
        self.held: list[Version | None] = [None, None, None]
        self.published: list[Version] = []
        self.index = 0

    def run(self, steps: list[Step]) -> None:
        for replica, policy, value, source in steps:
            if source is not None:
                version = self.held[source]
                if version is not None:
                    self.keep(replica, version)
            else:
                self.write(replica, policy, value)

    def write(self, replica: int, policy: StatePolicy, value: Json) -> None:
        held = self.held[replica]
        # The lowest stamp a replica may use: concurrent writes often share one.
        by = Write(held.stamp() + 1 if held else 1, f"n{replica}", f"n{replica}~1")
        if policy == "consensus":
            text = GONE if value is None else str(value).encode()
            self.index += 1
            self.keep(replica, Version(held.epoch if held else 0, Decision(self.index // 2, f"p{self.index}", text)))
        elif value == "erase":
            if held is not None and not isinstance(held.state, Decision):
                self.keep(replica, held.erase(by))
        elif held is None or held.state.policy == policy:
            base = held or Version(0, begun(policy, replica))
            self.keep(replica, Version(base.epoch, base.state.write(value, by)))
        elif not held.state.alive():
            self.keep(replica, Version(by.stamp, begun(policy, replica).write(value, by)))

    def keep(self, replica: int, version: Version) -> None:
        held = self.held[replica]
        merged = version if held is None else held.merge(version)
        self.held[replica] = merged
        self.published += [version, merged]


def begun(policy: StatePolicy, replica: int) -> AnyState:
    """An empty state; replicas that begin a custom key at once may choose other functions."""
    return Custom(name="max" if replica else "min") if policy == "custom" else STATES[policy]()


def steps_of(policies: list[StatePolicy]) -> st.SearchStrategy[list[Step]]:
    def step(policy: StatePolicy) -> st.SearchStrategy[Step]:
        values = VALUES[policy] | st.just("erase") if policy != "consensus" else VALUES[policy] | st.none()
        return st.tuples(st.integers(0, 2), st.just(policy), values, st.none() | st.integers(0, 2))

    return st.lists(st.sampled_from(policies).flatmap(step), min_size=3, max_size=14)


FAMILIES = [*([policy] for policy in STATES), list(STATES)]
each_family = pytest.mark.parametrize("policies", FAMILIES, ids="+".join)


def check(policies: list[StatePolicy], law: Callable[[Replicas], None]) -> None:
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(steps_of(policies))
    def holds(steps: list[Step]) -> None:
        replicas = Replicas()
        replicas.run(steps)
        law(replicas)

    holds()


def versions(replicas: Replicas) -> list[Version]:
    return [version for version in replicas.held if version is not None]


@each_family
def test_merging_is_commutative(policies: list[StatePolicy]) -> None:
    def law(replicas: Replicas) -> None:
        for a in versions(replicas):
            for b in versions(replicas):
                assert encode(a.merge(b)) == encode(b.merge(a))

    check(policies, law)


@each_family
def test_merging_is_associative(policies: list[StatePolicy]) -> None:
    def law(replicas: Replicas) -> None:
        if len(held := versions(replicas)) == 3:
            a, b, c = held
            assert encode(a.merge(b).merge(c)) == encode(a.merge(b.merge(c)))

    check(policies, law)


@each_family
def test_merging_is_idempotent_and_never_loses(policies: list[StatePolicy]) -> None:
    def law(replicas: Replicas) -> None:
        for a in versions(replicas):
            assert encode(a.merge(a)) == encode(a)
            for b in versions(replicas):
                both = a.merge(b)
                assert encode(both.merge(a)) == encode(both)

    check(policies, law)


@each_family
def test_replicas_that_saw_the_same_versions_in_any_order_hold_the_same(policies: list[StatePolicy]) -> None:
    def law(replicas: Replicas) -> None:
        results = set()
        for seed in range(3):
            order = replicas.published * 2
            Random(seed).shuffle(order)
            merged = order[0] if order else Version(0, STATES[policies[0]]())
            for version in order[1:]:
                merged = merged.merge(version)
            results.add(encode(merged))
        assert len(results) == 1

    check(policies, law)


@each_family
def test_what_honest_replicas_make_passes_the_check_and_comes_back_from_bytes(policies: list[StatePolicy]) -> None:
    def law(replicas: Replicas) -> None:
        for version in versions(replicas):
            again = decode_checked(encode(version))
            assert again == version
            if version.state.alive():
                assert again.state.read() == version.state.read()

    check(policies, law)


@pytest.mark.parametrize("state", STATES.values(), ids=list(STATES))
def test_the_bottom_changes_nothing(state: type[AnyState]) -> None:
    bottom = Version(0, state())
    assert not bottom.state.alive()
    assert decode(encode(bottom)) == bottom

    def law(replicas: Replicas) -> None:
        for version in versions(replicas):
            assert encode(version.merge(bottom)) == encode(bottom.merge(version)) == encode(version)

    check([state.policy], law)


def test_even_versions_that_differ_in_nothing_but_their_text_have_one_winner() -> None:
    a, b = (Version(0, Last(Register(1, "n", text))) for text in (b"1", b"2"))
    assert a.merge(b) == b.merge(a)
