"""Policy `counter`: a sum that nodes add to and take from at once, none of it lost."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Self, TypeAlias

from msgspec import Meta, field

from mpreg_core.contracts.api import Json, StatePolicy
from mpreg_core.errors import InvalidInputError
from mpreg_core.state.clock import Actor
from mpreg_core.state.value import State, Write

TOTAL_MAX = (1 << 62) - 1
Total: TypeAlias = Annotated[int, Meta(ge=0, le=TOTAL_MAX)]


class Counter(State, frozen=True, array_like=True, tag=4):
    """A PN-counter (Shapiro et al. 2011, "Conflict-free Replicated Data Types", specification 7).

    `totals`: actor -> (sum of what it added, sum of what it took away); each only grows and only its actor moves it.
    A removal ends the count for all: what others add before they learn of it goes with it.
    """

    policy: ClassVar[StatePolicy] = "counter"
    erased_by_epoch: ClassVar[bool] = True
    totals: dict[Actor, tuple[Total, Total]] = field(default_factory=dict)

    def merge(self, other: Self) -> Self:
        totals = dict(self.totals)
        for actor, (plus, minus) in other.totals.items():
            ours = totals.get(actor, (0, 0))
            totals[actor] = (max(plus, ours[0]), max(minus, ours[1]))
        return type(self)(totals)

    def write(self, value: Json, by: Write) -> Self:
        amount = _amount(value)
        plus, minus = self.totals.get(by.actor, (0, 0))
        after = (plus + max(amount, 0), minus + max(-amount, 0))
        if max(after) > TOTAL_MAX:
            raise InvalidInputError(f"expected a counter's sums to stay at or under {TOTAL_MAX}, got {max(after)}")
        return type(self)({**self.totals, by.actor: after})

    def erase(self, by: Write) -> Self:
        return type(self)()

    def alive(self) -> bool:
        return bool(self.totals)

    def stamp(self) -> int:
        return 0

    def read(self) -> Json:
        return sum(plus - minus for plus, minus in self.totals.values())

    def texts(self) -> Iterable[bytes]:
        return ()


def _amount(value: Json) -> int:
    amount = value["add"] if isinstance(value, dict) and value.keys() == {"add"} else value
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise InvalidInputError(f'expected a whole number or {{"add": number}} for a counter, got {value!r:.80}')
    return amount
