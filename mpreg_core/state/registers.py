"""Policies that keep one value of several: the last written, the first written, the one decided."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Self

from msgspec import Meta, Struct
from msgspec.structs import astuple

from mpreg_core.contracts.api import Json, StatePolicy
from mpreg_core.errors import ConflictError
from mpreg_core.ids import NodeId, PoolId
from mpreg_core.state.clock import Stamp
from mpreg_core.state.value import GONE, State, Write, decode_value, encode_value

LAPSED: NodeId = ""
"""Who removes a value whose lease ended. It is below all ids: a write with the same stamp wins."""


class Register(Struct, frozen=True, array_like=True, gc=False):
    """A value's text (`GONE` when removed) with the write that put it there."""

    stamp: Stamp = 0
    node: NodeId = ""
    text: bytes = GONE

    def order(self) -> tuple[int, NodeId, bytes]:
        """A total order: by time; the writer's id and the text only part what would else be equal."""
        return (self.stamp, self.node, self.text)


class Lease(Struct, frozen=True, array_like=True, gc=False):
    """What ends a value by itself: a time, or the end of its holder's life as a member of a pool, or either.

    `expires_ms` is wall-clock milliseconds, 0 for never; `pool` is empty when the value outlives its holder.
    `started_ms` names the holder's life, as `Member.started_ms` does.
    """

    holder: NodeId
    started_ms: int
    expires_ms: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 0
    pool: PoolId = ""


class Last(State, frozen=True, array_like=True, tag=1):
    """`last_write_wins`: the write with the highest stamp. A removal is a write like others: a newer write revives.

    A `lease` belongs to the write that brought it.
    """

    policy: ClassVar[StatePolicy] = "last_write_wins"
    register: Register = Register()
    lease: Lease | None = None

    def merge(self, other: Self) -> Self:
        return self if self._order() >= other._order() else other

    def _order(self) -> tuple[object, ...]:
        return (self.register.order(), astuple(self.lease) if self.lease is not None else ())

    def lapse(self) -> Self:
        """What is left when the lease ended: the same at every replica, and older than any later write."""
        return type(self)(Register(self.register.stamp + 1, LAPSED, GONE))

    def has_lapsed(self) -> bool:
        """True if a lease's end removed the value, and nobody."""
        return self.register.stamp > 0 and self.register.node == LAPSED

    def write(self, value: Json, by: Write) -> Self:
        return type(self)(Register(by.stamp, by.node, encode_value(value)))

    def erase(self, by: Write) -> Self:
        return type(self)(Register(by.stamp, by.node, GONE))

    def alive(self) -> bool:
        return self.register.text != GONE

    def stamp(self) -> int:
        return self.register.stamp

    def read(self) -> Json:
        return decode_value(self.register.text)

    def texts(self) -> Iterable[bytes]:
        return (self.register.text,)


class First(State, frozen=True, array_like=True, tag=2):
    """`first_write_wins`: the write with the lowest stamp; later ones change nothing and see the first one's value."""

    policy: ClassVar[StatePolicy] = "first_write_wins"
    erased_by_epoch: ClassVar[bool] = True
    register: Register = Register()

    def merge(self, other: Self) -> Self:
        if not (self.alive() and other.alive()):
            return self if self.alive() else other
        return self if self.register.order() <= other.register.order() else other

    def write(self, value: Json, by: Write) -> Self:
        return self if self.alive() else type(self)(Register(by.stamp, by.node, encode_value(value)))

    def erase(self, by: Write) -> Self:
        return type(self)()

    def alive(self) -> bool:
        return self.register.text != GONE

    def stamp(self) -> int:
        return self.register.stamp

    def read(self) -> Json:
        return decode_value(self.register.text)

    def texts(self) -> Iterable[bytes]:
        return (self.register.text,)

    def check(self) -> None:
        super().check()
        if not self.alive() and self != type(self)():
            raise ValueError("expected no stamp or node beside a removed first write")


class Decision(State, frozen=True, array_like=True, tag=7):
    """`consensus`: what the engine decided last, by the index of the decision. Only a decision writes or removes it.

    Engines that do not order their decisions (index 0) leave the choice to the proposal's id: one decision for a key.
    """

    policy: ClassVar[StatePolicy] = "consensus"
    index: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 0
    proposal: str = ""
    text: bytes = GONE

    def merge(self, other: Self) -> Self:
        ours, theirs = (self.index, self.proposal, self.text), (other.index, other.proposal, other.text)
        return self if ours >= theirs else other

    def write(self, value: Json, by: Write) -> Self:
        raise ConflictError("the key's policy is consensus: only a decision changes it; write it linearizable")

    def erase(self, by: Write) -> Self:
        raise ConflictError("the key's policy is consensus: only a decision removes it; delete it linearizable")

    def alive(self) -> bool:
        return self.text != GONE

    def stamp(self) -> int:
        return 0

    def read(self) -> Json:
        return decode_value(self.text)

    def texts(self) -> Iterable[bytes]:
        return (self.text,)
