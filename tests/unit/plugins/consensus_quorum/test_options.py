"""The options, and how many votes a threshold means."""

from fractions import Fraction
from typing import Any

import msgspec
import pytest

from mpreg_consensus_quorum.options import QuorumOptions, votes_needed


@pytest.mark.parametrize(
    ("threshold", "needed"),  # for 1, 2, ... 10 voters
    [
        (0.1, [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]),
        (0.5, [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]),
        (0.6, [1, 2, 2, 3, 3, 4, 5, 5, 6, 6]),
        (0.66, [1, 2, 2, 3, 4, 4, 5, 6, 6, 7]),
        (0.7, [1, 2, 3, 3, 4, 5, 5, 6, 7, 7]),
        (0.8, [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]),
        (1.0, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    ],
)
def test_the_votes_needed_are_the_share_rounded_up_and_more_than_half(threshold: float, needed: list[int]) -> None:
    assert [votes_needed(voters, threshold) for voters in range(1, 11)] == needed


def test_the_count_is_exact_where_floats_are_not() -> None:
    assert 0.7 * 10 > 7 - 1e-12
    assert votes_needed(10, 0.7) == 7
    for percent in range(51, 101):
        for voters in range(1, 500):
            exact = Fraction(percent, 100) * voters
            assert votes_needed(voters, percent / 100) >= exact
            assert votes_needed(voters, percent / 100) - 1 < max(exact, Fraction(voters, 2) + 1)


def test_two_quorums_always_share_a_voter() -> None:
    for voters in range(1, 100):
        for threshold in (0.001, 0.3, 0.5, 0.6, 0.99, 1.0):
            assert voters < 2 * votes_needed(voters, threshold) <= 2 * voters


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 0},
        {"threshold": 1.01},
        {"threshold": -0.6},
        {"proposal_timeout": 0},
        {"max_proposals": 0},
        {"max_proposals": 1_001},
        {"retry_interval": 0},
        {"voting": "sometimes"},
        {"treshold": 0.6},
    ],
)
def test_an_option_out_of_bounds_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, QuorumOptions)


def test_the_defaults_are_those_of_the_guide() -> None:
    assert msgspec.convert({"threshold": 0.6, "proposal_timeout": 10.0, "max_proposals": 100}, QuorumOptions) == (
        QuorumOptions()
    )
