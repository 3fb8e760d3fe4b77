"""Policy `vector_clock`: concurrent values are all kept, as siblings, until a write that saw them takes their place.

A dotted version vector set (Preguiça et al. 2012, "Dotted Version Vectors: Efficient Causality Tracking for
Distributed Key-Value Stores") whose actors are nodes, not clients: a write at a node saw all that the node holds. So
there is at most one sibling for each actor, and the vector is as long as the writers of the key are many.
"""

from collections.abc import Iterable
from typing import ClassVar, Self

from msgspec import field, structs

from mpreg_core.contracts.api import Json, StatePolicy
from mpreg_core.state.clock import Actor, Stamp, VersionVector, covers, join, surviving
from mpreg_core.state.value import GONE, State, Write, decode_value, encode_value


class Siblings(State, frozen=True, array_like=True, tag=3):
    """`held`: actor -> (stamp, text) of its value that nobody has replaced; `seen`: all writes this state contains."""

    policy: ClassVar[StatePolicy] = "vector_clock"
    seen: VersionVector = field(default_factory=dict)
    held: dict[Actor, tuple[Stamp, bytes]] = field(default_factory=dict)

    def merge(self, other: Self) -> Self:
        ours = {actor: stamp for actor, (stamp, _) in self.held.items()}
        theirs = {actor: stamp for actor, (stamp, _) in other.held.items()}
        kept = surviving(ours, self.seen, theirs, other.seen)
        nothing = (0, GONE)
        held = {actor: max(self.held.get(actor, nothing), other.held.get(actor, nothing)) for actor in kept}
        return structs.replace(self, seen=join(self.seen, other.seen), held=held)

    def write(self, value: Json, by: Write) -> Self:
        text = encode_value(value)
        return structs.replace(self, seen={**self.seen, by.actor: by.stamp}, held={by.actor: (by.stamp, text)})

    def erase(self, by: Write) -> Self:
        return structs.replace(self, seen={**self.seen, by.actor: by.stamp}, held={})

    def alive(self) -> bool:
        return bool(self.held)

    def stamp(self) -> int:
        return max(self.seen.values(), default=0)

    def read(self) -> Json:
        return decode_value(self._newest_first()[0])

    def siblings(self) -> list[Json]:
        return [decode_value(text) for text in self._newest_first()[1:]]

    def _newest_first(self) -> list[bytes]:
        ranked = sorted(((stamp, actor, text) for actor, (stamp, text) in self.held.items()), reverse=True)
        return [text for _, _, text in ranked]

    def texts(self) -> Iterable[bytes]:
        return [text for _, text in self.held.values()]

    def check(self) -> None:
        super().check()
        if not covers(self.seen, {actor: stamp for actor, (stamp, _) in self.held.items()}):
            raise ValueError("expected the vector to cover every sibling")
        if any(text == GONE for text in self.texts()):
            raise ValueError("expected no removed value among the siblings")
