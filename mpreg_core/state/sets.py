"""Policy `set`: elements come and go on many nodes at once; of an addition and a concurrent removal, the addition wins.

An observed-remove set without tombstones (Bieniusa et al. 2012, "An Optimized Conflict-free Replicated Set"): an
element stands on the dots of its additions, and a removal takes away the dots that the remover saw.
"""

from collections.abc import Iterable
from typing import ClassVar, Self

from msgspec import field

from mpreg_core.contracts.api import Json, StatePolicy
from mpreg_core.errors import InvalidInputError
from mpreg_core.state.clock import Dots, VersionVector, covers, join, surviving
from mpreg_core.state.value import State, Write, decode_value, encode_value

EXISTS = ""
"""Stands beside the elements (no text is empty) for the set itself: so an empty set can be told from none."""

EXPECTED = 'expected {"add": [...], "remove": [...]} or one of the two for a set'


class AddWins(State, frozen=True, array_like=True, tag=5):
    """`elements`: JSON text -> the dots of its additions; `seen`: all writes this state contains."""

    policy: ClassVar[StatePolicy] = "set"
    seen: VersionVector = field(default_factory=dict)
    elements: dict[str, Dots] = field(default_factory=dict)

    def merge(self, other: Self) -> Self:
        elements: dict[str, Dots] = {}
        for element in self.elements.keys() | other.elements.keys():
            dots = surviving(self.elements.get(element, {}), self.seen, other.elements.get(element, {}), other.seen)
            if dots:
                elements[element] = dots
        return type(self)(join(self.seen, other.seen), elements)

    def write(self, value: Json, by: Write) -> Self:
        added, removed = _changes(value)
        dot = {by.actor: by.stamp}
        elements = {element: dots for element, dots in self.elements.items() if element not in removed}
        elements |= dict.fromkeys([EXISTS, *added], dot)
        return type(self)({**self.seen, **dot}, elements)

    def erase(self, by: Write) -> Self:
        return type(self)({**self.seen, by.actor: by.stamp}, {})

    def alive(self) -> bool:
        return bool(self.elements)

    def stamp(self) -> int:
        return max(self.seen.values(), default=0)

    def read(self) -> Json:
        return [decode_value(element.encode()) for element in sorted(self.elements) if element != EXISTS]

    def texts(self) -> Iterable[bytes]:
        return [element.encode() for element in self.elements if element != EXISTS]

    def check(self) -> None:
        super().check()
        for dots in self.elements.values():
            if not dots or not covers(self.seen, dots):
                raise ValueError("expected the vector to cover the dots of every element, and each to have one")


def _changes(value: Json) -> tuple[set[str], set[str]]:
    if not isinstance(value, dict) or not value or not value.keys() <= {"add", "remove"}:
        raise InvalidInputError(f"{EXPECTED}, got {value!r:.80}")
    added, removed = value.get("add", []), value.get("remove", [])
    if not isinstance(added, list) or not isinstance(removed, list):
        raise InvalidInputError(f"{EXPECTED}, got {value!r:.80}")
    return {encode_value(item).decode() for item in added}, {encode_value(item).decode() for item in removed}
