"""Is a history linearizable: could its operations have happened one at a time, each between its call and its answer?

The search of Wing and Gong (1993), with Lowe's memory of what was tried ("Testing for linearizability", 2017): a set of
operations that took effect together with the state they left need be looked at once. Histories of different keys are
judged apart, for linearizability is local (Herlihy and Wing 1990, theorem 1).
"""

from collections.abc import Callable, Hashable, Iterable, Sequence

from msgspec import Struct

Step = Callable[[Hashable, "Operation"], tuple[bool, Hashable]]
"""One operation of a sequential object: state before -> (could it have answered so, state after)."""

VISITS_MAX = 2_000_000
"""Of (operations, state) in one key's history: a search that would take longer is given up."""


class Operation(Struct, frozen=True):
    """One call by one client. `ended_s` is None if no answer came: it may take effect at any later time, or never.

    `call` is what was asked (a model's own words), `result` what came back.
    """

    key: str
    begun_s: float
    ended_s: float | None
    call: tuple[str, ...]
    result: Hashable = None
    by: str = ""


class UndecidedError(Exception):
    """The history is too tangled to be judged within `VISITS_MAX`."""


def not_linearizable(history: Iterable[Operation], step: Step, initial: Hashable) -> str:
    """What is wrong, naming the key and the operation no order has room for; empty if every key's history is well.

    Raises `UndecidedError`.
    """
    by_key: dict[str, list[Operation]] = {}
    for operation in history:
        by_key.setdefault(operation.key, []).append(operation)
    for key, operations in sorted(by_key.items()):
        stuck = _judge(operations, step, initial)
        if stuck is not None:
            return f"{key}: no order of the {len(operations)} operations explains {_told(stuck)}"
    return ""


def _told(operation: Operation) -> str:
    answer = "no answer" if operation.ended_s is None else f"{operation.result!r} after {operation.ended_s:.3f} s"
    return f"{' '.join(operation.call)} at {operation.begun_s:.3f} s by {operation.by or 'someone'}: {answer}"


class _Moment:
    """The call or the answer of an operation, in a list linked both ways, in the order of time."""

    __slots__ = ("answer", "before", "index", "is_call", "next")

    def __init__(self, index: int, is_call: bool) -> None:
        self.index = index
        self.is_call = is_call
        self.answer: _Moment | None = None
        self.before: _Moment | None = None
        self.next: _Moment | None = None

    def lift(self) -> None:
        """Take a call and its answer out of the list."""
        for moment in (self, self.answer):
            assert moment is not None
            assert moment.before is not None
            moment.before.next = moment.next
            if moment.next is not None:
                moment.next.before = moment.before

    def unlift(self) -> None:
        """Put them back where they were."""
        for moment in (self.answer, self):
            assert moment is not None
            assert moment.before is not None
            moment.before.next = moment
            if moment.next is not None:
                moment.next.before = moment


def _linked(operations: Sequence[Operation]) -> _Moment:
    """The moments in order, behind a head; calls before answers of the same time, answers that never came last."""
    last = float("inf")
    times = [(operation.begun_s, 0, index) for index, operation in enumerate(operations)]
    times += [(last if each.ended_s is None else each.ended_s, 1, index) for index, each in enumerate(operations)]
    head = tail = _Moment(-1, True)
    calls: dict[int, _Moment] = {}
    for _, is_answer, index in sorted(times):
        moment = _Moment(index, not is_answer)
        if is_answer:
            calls[index].answer = moment
        else:
            calls[index] = moment
        moment.before, tail.next = tail, moment
        tail = moment
    return head


def _judge(operations: Sequence[Operation], step: Step, initial: Hashable) -> Operation | None:
    """None if some order explains all; else the operation whose answer no order tried could come before."""
    head = _linked(operations)
    state, done = initial, 0
    tried: set[tuple[int, Hashable]] = set()
    stack: list[tuple[_Moment, Hashable]] = []
    deepest, stuck = -1, None
    at = head.next
    while head.next is not None:
        assert at is not None
        if at.is_call:
            fits, after = step(state, operations[at.index])
            mark = (done | 1 << at.index, after)
            if fits and mark not in tried:
                tried.add(mark)
                if len(tried) > VISITS_MAX:
                    raise UndecidedError(f"{operations[at.index].key}: more than {VISITS_MAX} cases to look at")
                stack.append((at, state))
                state, done = after, mark[0]
                at.lift()
                at = head.next
            else:
                at = at.next
            continue
        operation = operations[at.index]
        if operation.ended_s is None:
            return None  # only unanswered ones are left, and they need not have happened
        if len(stack) > deepest:
            deepest, stuck = len(stack), operation
        if not stack:
            return stuck
        at, state = stack.pop()
        done &= ~(1 << at.index)
        at.unlift()
        at = at.next
    return None


def register(state: Hashable, operation: Operation) -> tuple[bool, Hashable]:
    """A register: `("write", value)`, `("read",)` -> value, `("cas", expected, value)` -> True or False.

    The state is the value, None at first. What had no answer could have had any.
    """
    kind, *arguments = operation.call
    answered = operation.ended_s is not None
    if kind == "write":
        return True, arguments[0]
    if kind == "read":
        return not answered or operation.result == state, state
    swaps = state == arguments[0]
    if answered and bool(operation.result) is not swaps:
        return False, state
    return True, arguments[1] if swaps else state


def log(state: Hashable, operation: Operation) -> tuple[bool, Hashable]:
    """A log of decisions: `("propose", value)` -> its index, or None if it was not decided. Indexes only grow."""
    index = operation.result
    if not isinstance(index, int):
        return True, state
    assert isinstance(state, int)
    return index > state, max(index, state)
