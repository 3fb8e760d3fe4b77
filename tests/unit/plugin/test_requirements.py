"""Which versions a requirement takes."""

import pytest

from mpreg_core import ConfigError
from mpreg_core.plugin.requirements import normalised, parse_requirement, version_key


@pytest.mark.parametrize(
    ("requirement", "accepted", "refused"),
    [
        ("a", ["0.1", "99", "weird"], []),
        ("a>=1.2,<2", ["1.2", "1.2.0", "1.10", "1.99.1", "1.2.post1"], ["1.1.9", "2", "2.0.0", "1.2rc1", "weird"]),
        ("a == 1.0", ["1", "1.0", "1.0.0", "v1.0", "1.0+local"], ["1.0.1", "1.0a1", "1.0.post1"]),
        ("a!=1.5", ["1.4", "1.6"], ["1.5", "1.5.0"]),
        ("a>1,<=2", ["1.0.1", "2.0"], ["1", "2.0.1"]),
        ("a<1.0.dev3", ["0.9", "1.0.dev2"], ["1.0.dev3", "1.0a1"]),
    ],
)
def test_a_requirement_takes_the_versions_it_names(requirement: str, accepted: list[str], refused: list[str]) -> None:
    parsed = parse_requirement(requirement)
    assert [version for version in accepted + refused if parsed.accepts(version)] == accepted


def test_versions_sort_by_stage_within_a_release() -> None:
    versions = ["1.0.dev1", "1.0a1", "1.0a2", "1.0b1", "1.0rc1", "1.0", "1.0.post1", "1.0.1", "1.2", "1.10"]
    keys = [version_key(version) for version in versions]
    assert None not in keys
    assert sorted(keys, key=lambda key: key or ((), 0, 0)) == keys


@pytest.mark.parametrize("text", ["", ">=1", "a>=", "a>=x", "a~1", "a 1", "a>=1 <2", "-a", "a[extra]>=1"])
def test_a_requirement_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a distribution and versions"):
        parse_requirement(text)


def test_names_compare_as_distributions_do() -> None:
    assert parse_requirement("Mpreg_Consensus.Raft >= 1").name == normalised("mpreg-consensus--raft")
