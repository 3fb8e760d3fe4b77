"""Policy `sequence`: a list that many nodes edit at once; what was inserted at one place stays together, in one order.

A replicated growable array (Roh et al. 2011, "Replicated abstract data types"): an element stands after the one that it
was inserted behind; of several behind the same one, the newest comes first. A removed element keeps its place, without
its value, for what stands behind it. A write is the whole list: what differs from the list before are its edits.
"""

from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import ClassVar, Self, TypeAlias

from msgspec import Struct

from mpreg_core.contracts.api import Json, StatePolicy
from mpreg_core.errors import InvalidInputError
from mpreg_core.state.clock import Actor, Stamp
from mpreg_core.state.value import GONE, State, Write, decode_value, encode_value

COMPARED_MAX = 200
"""Up to so many elements between the ends that did not change are compared for what stays; more are replaced."""

Place: TypeAlias = tuple[Stamp, int, Actor]
"""An element's id: the write that inserted it, which one of that write's, and by whom."""

START: Place = (0, 0, "")


class Element(Struct, frozen=True, array_like=True):
    """One element: its id, the id it stands behind, and its JSON text; `GONE` once it is removed."""

    id: Place
    after: Place
    text: bytes


class Sequence(State, frozen=True, array_like=True, tag=8):
    """`elements` by id, removed ones included; `written` is the last write's stamp, 0 for never."""

    policy: ClassVar[StatePolicy] = "sequence"
    erased_by_epoch: ClassVar[bool] = True
    written: Stamp = 0
    elements: tuple[Element, ...] = ()

    def merge(self, other: Self) -> Self:
        elements = {element.id: element for element in self.elements}
        for element in other.elements:
            held = elements.get(element.id)
            if held is None or held.text != GONE:  # removed for one is removed for all
                elements[element.id] = element
        return type(self)(max(self.written, other.written), _sorted(elements))

    def write(self, value: Json, by: Write) -> Self:
        if not isinstance(value, list):
            raise InvalidInputError(f"expected a list for a sequence, got {value!r:.80}")
        wanted = [encode_value(item) for item in value]
        shown = self._shown()
        elements = {element.id: element for element in self.elements}
        number = 0
        for first, last, texts in _edits([element.text for element in shown], wanted):
            for element in shown[first:last]:
                elements[element.id] = Element(element.id, element.after, GONE)
            after = shown[first - 1].id if first else START
            for text in texts:
                number += 1
                after, behind = (by.stamp, number, by.actor), after
                elements[after] = Element(after, behind, text)
        return type(self)(by.stamp, _sorted(elements))

    def erase(self, by: Write) -> Self:
        return type(self)()

    def alive(self) -> bool:
        return self.written > 0

    def stamp(self) -> int:
        return self.written

    def read(self) -> Json:
        return [decode_value(element.text) for element in self._shown()]

    def texts(self) -> Iterable[bytes]:
        return [element.text for element in self.elements]

    def check(self) -> None:
        super().check()
        known, last = {START}, START
        for element in self.elements:
            if element.id <= last or element.after not in known or element.id[0] > self.written:
                raise ValueError("expected elements in the order of their ids, each behind an older one")
            known.add(element.id)
            last = element.id

    def _shown(self) -> list[Element]:
        """The elements that are there, in the list's order: each before what stands behind it, newest first."""
        behind: dict[Place, list[Element]] = {}
        for element in self.elements:  # oldest first, so the newest is on top of the stack
            behind.setdefault(element.after, []).append(element)
        found, waiting = [], behind.get(START, []).copy()
        while waiting:
            element = waiting.pop()
            if element.text != GONE:
                found.append(element)
            waiting += behind.get(element.id, ())
        return found


def _sorted(elements: dict[Place, Element]) -> tuple[Element, ...]:
    return tuple(elements[place] for place in sorted(elements))


def _edits(before: list[bytes], after: list[bytes]) -> list[tuple[int, int, list[bytes]]]:
    """What becomes of one list to make it the other: (from, to, texts in their place), with places of the first."""
    shorter = min(len(before), len(after))
    head = next((place for place in range(shorter) if before[place] != after[place]), shorter)
    left = shorter - head
    tail = next((place for place in range(left) if before[-1 - place] != after[-1 - place]), left)
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    if not old and not new:
        return []
    if len(old) > COMPARED_MAX or len(new) > COMPARED_MAX:
        return [(head, head + len(old), new)]
    return [
        (head + first, head + last, new[begin:end])
        for kind, first, last, begin, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        if kind != "equal"
    ]
