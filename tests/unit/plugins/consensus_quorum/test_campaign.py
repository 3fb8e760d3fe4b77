"""What may have been chosen: the table of cases, and all small cases against the definition."""

from itertools import combinations, product

import pytest

from mpreg_consensus_quorum.campaign import is_out_of_reach, possibly_chosen
from mpreg_consensus_quorum.messages import Accepted, Ballot
from mpreg_core import Proposal

EPOCH = 3


def vote(round: int, name: str, epoch: int = EPOCH) -> Accepted:
    return Accepted(Ballot(round, "p", 1), Proposal(name, "k", b"", "p", 0, 1), epoch)


@pytest.mark.parametrize(
    ("reports", "noes", "expected"),  # of five voters a..e three decide
    [
        ({"a": None, "b": None, "c": None}, {}, None),
        ({"a": vote(1, "x"), "b": None, "c": None}, {}, "x"),
        ({"a": vote(1, "x"), "b": None, "c": None, "d": None}, {}, None),
        ({"a": vote(1, "x"), "b": vote(1, "x"), "c": None, "d": None}, {}, "x"),
        ({"a": vote(1, "x"), "b": vote(1, "x"), "c": None, "d": None, "e": None}, {}, None),
        ({"a": vote(1, "x"), "b": None, "c": None}, {"x": {"d"}}, None),
        ({"a": vote(1, "x"), "b": None, "c": None}, {"y": {"d", "e"}}, "x"),
        ({"a": vote(1, "x"), "b": None, "c": None}, {"x": {"b", "c"}}, "x"),
        ({"a": vote(1, "x"), "b": vote(2, "y"), "c": None}, {}, "y"),
        ({"a": vote(1, "x"), "b": vote(2, "y"), "c": None}, {"y": {"d"}}, "x"),
        ({"a": vote(1, "x"), "b": vote(2, "x"), "c": vote(3, "y"), "d": None, "e": None}, {}, None),
        ({"a": vote(1, "x", epoch=2), "b": None, "c": None, "d": None}, {}, None),
        ({"a": vote(1, "x", epoch=2), "b": vote(2, "x"), "c": None, "d": None, "e": None}, {}, None),
        ({"a": vote(1, "x", epoch=2), "b": vote(2, "x"), "c": vote(2, "x"), "d": None, "e": None}, {}, "x"),
    ],
)
def test_a_ballot_sticks_to_what_may_have_been_chosen(
    reports: dict[str, Accepted | None], noes: dict[str, set[str]], expected: str | None
) -> None:
    found = possibly_chosen(reports, noes, frozenset("abcde"), 3, EPOCH)
    assert (found.id if found else None) == expected


def test_what_was_chosen_is_always_found() -> None:
    """All histories of two ballots, x in 1 and then y or x in 2, among four voters of whom three decide."""
    voters, needed = "abcd", 3
    for first in product((False, True), repeat=4):
        for second_name, second in product("xy", product((False, True), repeat=4)):
            chosen = {"x"} if sum(first) >= needed else set()
            if chosen and second_name != "x":
                continue  # the second ballot would not have been allowed to ask for y
            chosen |= {second_name} if sum(second) >= needed else set()
            last = {
                voter: vote(2, second_name) if second[number] else vote(1, "x") if first[number] else None
                for number, voter in enumerate(voters)
            }
            for size in (3, 4):
                for promised in combinations(voters, size):
                    found = possibly_chosen({v: last[v] for v in promised}, {}, frozenset(voters), needed, EPOCH)
                    assert not chosen or (found is not None and found.id in chosen)


@pytest.mark.parametrize(
    ("clear", "is_older", "expected"), [(2, False, False), (3, False, True), (3, True, False), (5, True, True)]
)
def test_a_proposal_is_out_of_reach_when_enough_are_clear_of_it(clear: int, is_older: bool, expected: bool) -> None:
    assert is_out_of_reach(clear, 7, 5, is_older=is_older) is expected
