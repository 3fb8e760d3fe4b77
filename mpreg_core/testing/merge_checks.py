"""Whether a plugin's merge function keeps the laws that make replicas agree (Shapiro et al. 2011, section 3.2)."""

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

from mpreg_core.contracts.merge import MergePolicySpec
from mpreg_core.state.value import decode_value, encode_value
from mpreg_core.testing.report import Finding, NotConformingError, Report

SAMPLES_MAX = 12
"""Every three of the samples are tried in every order: 1,728 merges of each law."""

Merge = Callable[[bytes, bytes], bytes]


def check_merge_policy(spec: MergePolicySpec, *, name: str = "") -> Report:
    """Try the laws on the samples of a policy. A function that raises or gives no JSON fails every law it did so in."""
    report = Report(spec.name, "merge_policy", f"mpreg plugins check {name or spec.name}")
    samples = [encode_value(sample) for sample in spec.samples[:SAMPLES_MAX]]
    for law in (purity, commutativity, associativity, idempotence):
        says = (law.__doc__ or "").partition("\n")[0]
        try:
            law(_merge(spec), samples)
        except NotConformingError as error:
            report.findings.append(Finding(law.__name__, says, "failed", str(error)))
        else:
            report.findings.append(Finding(law.__name__, says, "passed"))
    return report


def purity(merge: Merge, samples: list[bytes]) -> None:
    """The same values give the same, and are left as they are."""
    for one, other in product(samples, repeat=2):
        _equal(merge(one, other), merge(one, other), "the same result again", (one, other))


def commutativity(merge: Merge, samples: list[bytes]) -> None:
    """merge(a, b) = merge(b, a)."""
    for one, other in product(samples, repeat=2):
        _equal(merge(one, other), merge(other, one), "merge(a, b) = merge(b, a)", (one, other))


def associativity(merge: Merge, samples: list[bytes]) -> None:
    """merge(merge(a, b), c) = merge(a, merge(b, c))."""
    for a, b, c in product(samples, repeat=3):
        law = "merge(merge(a, b), c) = merge(a, merge(b, c))"
        _equal(merge(merge(a, b), c), merge(a, merge(b, c)), law, (a, b, c))


def idempotence(merge: Merge, samples: list[bytes]) -> None:
    """merge(a, b) changes nothing when merged with a, b or itself again."""
    for a, b in product(samples, repeat=2):
        both = merge(a, b)
        for again in (a, b, both):
            _equal(merge(both, again), both, "what was merged to change nothing when merged again", (a, b))


def _merge(spec: MergePolicySpec) -> Merge:
    def merge(one: bytes, other: bytes) -> bytes:
        values: list[Any] = [decode_value(one), decode_value(other)]
        try:
            text = encode_value(spec.merge(*values))
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise NotConformingError(f"a JSON value of {_shown((one, other))}", what) from error
        if [encode_value(value) for value in values] != [one, other]:
            raise NotConformingError(f"{_shown((one, other))} to be left as they are", "a changed argument")
        return text

    return merge


def _equal(got: bytes, expected: bytes, law: str, values: Iterable[bytes]) -> None:
    if got != expected:
        raise NotConformingError(f"{law} for {_shown(values)}", f"{got.decode():.60} and {expected.decode():.60}")


def _shown(values: Iterable[bytes]) -> str:
    return ", ".join(f"{value.decode():.40}" for value in values)
