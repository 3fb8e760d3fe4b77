"""Policies `custom:<name>`: concurrent values are kept as by `vector_clock`; a plugin's function makes them one."""

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import ClassVar, Self

from mpreg_core.contracts.api import StatePolicy
from mpreg_core.contracts.merge import MergeFunction
from mpreg_core.state.siblings import Siblings
from mpreg_core.state.value import decode_value, encode_value

PREFIX = "custom:"

Merges = Mapping[str, MergeFunction]
"""The functions that a node has, by name."""


class Custom(Siblings, frozen=True, array_like=True, tag=9):
    """Siblings, and the name of what merges them. Of two names chosen concurrently the higher one wins whole."""

    policy: ClassVar[StatePolicy] = "custom"
    name: str = ""

    def merge(self, other: Self) -> Self:
        if self.name != other.name:
            return self if self.name > other.name else other
        return super().merge(other)

    def check(self) -> None:
        super().check()
        if not self.name:
            raise ValueError("expected the name of a merge function beside the siblings")


def merged_text(texts: Iterable[bytes], merge: MergeFunction) -> bytes:
    """All values as one, in an order that is the same everywhere. Raises whatever `merge` raises on them."""
    return reduce(lambda one, other: encode_value(merge(decode_value(one), decode_value(other))), sorted(texts))
