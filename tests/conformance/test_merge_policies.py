"""The kit tries the laws on the functions of merge policies."""

import pytest

from mpreg_core import Json, MergePolicySpec
from mpreg_core.testing import check_strategy


def spec(merge: object, *samples: Json) -> MergePolicySpec:
    return MergePolicySpec(name="tried", summary="A function under test.", merge=merge, samples=samples)  # type: ignore[arg-type]


def add(one: list[int], other: list[int]) -> list[int]:
    one.extend(other)
    return sorted(set(one))


@pytest.mark.parametrize(
    ("merge", "samples", "failed"),
    [
        (max, (1, 2, 3), []),
        (lambda one, other: sorted({*one, *other}), ([], [1], [1, 2]), []),
        (lambda one, other: one, (1, 2, 3), ["commutativity"]),
        (lambda one, other: one + other, (0, 1, 2), ["idempotence"]),
        (lambda one, other: (one + other) / 2, (0, 1, 2), ["associativity", "idempotence"]),
        (add, ([1], [2], [3]), ["purity", "commutativity", "associativity", "idempotence"]),
        (lambda one, other: object(), (1, 2, 3), ["purity", "commutativity", "associativity", "idempotence"]),
        (max, (1, "a", 3), ["purity", "commutativity", "associativity", "idempotence"]),
    ],
)
def test_a_function_that_breaks_a_law_is_told(merge, samples, failed):
    report = check_strategy(spec(merge, *samples))
    assert [finding.check for finding in report.failed] == failed, str(report)
