"""The linearizability checker: known good histories pass, known bad ones are found, whoever answers late or never."""

from itertools import permutations
from random import Random

import pytest

from mpreg_core.sim import linearizability
from mpreg_core.sim.linearizability import Operation, UndecidedError, log, not_linearizable, register


def op(begun, ended, *call, result=None, key="k"):
    return Operation(key, begun, ended, call, result)


GOOD = {
    "nothing": [],
    "one after the other": [op(0, 1, "write", "a"), op(2, 3, "read", result="a")],
    "a read beside a write sees either": [op(0, 9, "write", "a"), op(1, 2, "read"), op(3, 4, "read", result="a")],
    "two writes at once, read in one order": [
        op(0, 9, "write", "a"), op(0, 9, "write", "b"), op(1, 2, "read", result="b"), op(3, 4, "read", result="a"),
    ],
    "a write without an answer may show later": [
        op(0, None, "write", "a"), op(1, 2, "read"), op(3, 4, "read", result="a"),
    ],
    "a write without an answer may never show": [op(0, None, "write", "a"), op(1, 2, "read"), op(8, 9, "read")],
    "one of two swaps wins": [
        op(0, 1, "write", "a"), op(2, 9, "cas", "a", "b", result=True), op(2, 9, "cas", "a", "c", result=False),
    ],
    "a swap without an answer may have worked": [
        op(0, 1, "write", "a"), op(2, None, "cas", "a", "b"), op(3, 4, "read", result="b"),
    ],
    "keys are apart": [op(0, 1, "write", "a"), op(2, 3, "read", key="other")],
}  # fmt: skip

BAD = {
    "a stale read": [op(0, 1, "write", "a"), op(2, 3, "write", "b"), op(4, 5, "read", result="a")],
    "a read of what nobody wrote": [op(0, 1, "write", "a"), op(2, 3, "read", result="x")],
    "back to the past": [
        op(0, 9, "write", "a"), op(1, 2, "read", result="a"), op(3, 4, "read"),
    ],
    "a lost write": [op(0, 1, "write", "a"), op(2, 3, "read")],
    "two readers disagree on the order": [
        op(0, 1, "write", "a"), op(0, 1, "write", "b"),
        op(2, 3, "read", result="a"), op(4, 5, "read", result="b"),
    ],
    "both swaps win": [
        op(0, 1, "write", "a"), op(2, 9, "cas", "a", "b", result=True), op(2, 9, "cas", "a", "c", result=True),
    ],
    "a swap that fails without reason": [op(0, 1, "write", "a"), op(2, 3, "cas", "a", "b", result=False)],
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history_passes(name):
    assert not_linearizable(GOOD[name], register, None) == ""


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_is_found(name):
    assert "no order of" in not_linearizable(BAD[name], register, None)


def test_what_is_wrong_names_key_operation_and_client():
    history = [op(0, 1, "write", "a"), Operation("k", 2.0, 3.0, ("read",), "x", "n1")]
    told = not_linearizable(history, register, None)
    assert told == "k: no order of the 2 operations explains read at 2.000 s by n1: 'x' after 3.000 s"


def brute_force(history):
    """Every order that keeps to the times, by definition; for histories where all was answered."""
    for order in permutations(history):
        if any(later.ended_s < earlier.begun_s for at, earlier in enumerate(order) for later in order[at + 1 :]):
            continue
        state = None
        for each in order:
            fits, state = register(state, each)
            if not fits:
                break
        else:
            return True
    return False


def test_it_agrees_with_brute_force():
    rng, found = Random(1), set()
    for _ in range(400):
        history = []
        for _ in range(rng.randrange(2, 6)):
            begun = rng.randrange(10)
            ended = begun + rng.randrange(1, 6)
            kind = rng.choice(("write", "read", "cas"))
            value = rng.choice("ab")
            call = {"write": ("write", value), "read": ("read",), "cas": ("cas", "a", "b")}[kind]
            result = {"write": None, "read": rng.choice(("a", "b", None)), "cas": rng.random() < 0.5}[kind]
            history.append(op(begun, ended, *call, result=result))
        verdict = not_linearizable(history, register, None) == ""
        assert verdict is brute_force(history), history
        found.add(verdict)
    assert found == {True, False}


def test_a_long_history_of_a_correct_register_is_judged_in_time():
    """2,000 operations of 8 clients whose real effect lay within each call."""
    rng, now, state, history = Random(2), 0.0, None, []
    free = [0.0] * 8
    for number in range(2000):
        client = min(range(8), key=free.__getitem__)
        begun = max(now, free[client])
        now = begun + rng.random() * 0.01
        free[client] = ended = now + rng.random() * 0.05
        if rng.random() < 0.5:
            state = str(number)
            history.append(op(begun, ended, "write", state))
        else:
            history.append(op(begun, ended, "read", result=state))
    assert not_linearizable(history, register, None) == ""


def test_a_history_too_tangled_is_given_up(monkeypatch):
    monkeypatch.setattr(linearizability, "VISITS_MAX", 100)
    history = [op(0, 9, "write", str(value)) for value in range(12)] + [op(10, 11, "read", result="x")]
    with pytest.raises(UndecidedError, match="k: more than 100 cases"):
        not_linearizable(history, register, None)


def test_a_log_only_grows_in_the_order_of_time():
    assert not_linearizable([op(0, 1, "propose", result=1), op(2, 3, "propose", result=2)], log, 0) == ""
    assert not_linearizable([op(0, 3, "propose", result=2), op(1, 4, "propose", result=1)], log, 0) == ""
    assert not_linearizable([op(0, 1, "propose", result=2), op(2, 3, "propose", result=1)], log, 0)
    assert not_linearizable([op(0, 1, "propose", result=1), op(2, 3, "propose", result=1)], log, 0)
