"""What the states of all policies have in common, and how a JSON value is kept inside them: as canonical JSON text."""

from collections.abc import Iterable
from typing import ClassVar, NamedTuple, Self

import msgspec
from msgspec import Struct

from mpreg_core.contracts.api import Json, StatePolicy
from mpreg_core.errors import InvalidInputError
from mpreg_core.ids import NodeId
from mpreg_core.state.clock import Actor

NESTING_MAX = 64
"""How deep lists and objects may lie in one another in a value."""

GONE = b""
"""In place of a value's text: removed. No JSON text is empty."""


class Write(NamedTuple):
    """One write: its stamp, above all stamps the state holds, and who makes it."""

    stamp: int
    node: NodeId
    actor: Actor


class State(Struct, frozen=True, array_like=True):
    """One key's state under one policy. The instance without arguments is the bottom: nothing was ever written.

    `merge` is commutative, associative and idempotent, so replicas that saw the same writes hold the same, whatever
    way and order the writes came in. Two replicas' equal states have equal bytes once encoded.
    """

    policy: ClassVar[StatePolicy]
    erased_by_epoch: ClassVar[bool] = False
    """True where a removal cannot be told within the state: it begins anew under a higher epoch (see `version`)."""

    def merge(self, other: Self) -> Self:
        """What both sides know, together."""
        raise NotImplementedError

    def write(self, value: Json, by: Write) -> Self:
        """With a local write; may be self when the write changes nothing. Raises `InvalidInputError`."""
        raise NotImplementedError

    def erase(self, by: Write) -> Self:
        """With all that is here removed."""
        raise NotImplementedError

    def alive(self) -> bool:
        """False when nothing was written, or all of it was removed."""
        raise NotImplementedError

    def stamp(self) -> int:
        """The newest stamp inside; 0 where the policy keeps none."""
        raise NotImplementedError

    def read(self) -> Json:
        """The value, when alive."""
        raise NotImplementedError

    def siblings(self) -> list[Json]:
        """Values that were written concurrently with the one `read` gives."""
        return []

    def texts(self) -> Iterable[bytes]:
        """Every value's text inside, for `check`."""
        raise NotImplementedError

    def check(self) -> None:
        """Raises `ValueError` for a state that no honest node makes. For states that came from outside."""
        for text in self.texts():
            if text != GONE and nesting(decode_value(text), text) > NESTING_MAX:
                raise ValueError(f"expected at most {NESTING_MAX} levels in a value, got more")


def encode_value(value: Json) -> bytes:
    """The canonical text of a value: equal values, equal bytes. Raises `InvalidInputError`."""
    try:
        text = msgspec.json.encode(value, order="deterministic")
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidInputError(f"expected a JSON value, got one that cannot be encoded: {error}") from None
    if nesting(value, text) > NESTING_MAX:
        raise InvalidInputError(f"expected a value of at most {NESTING_MAX} levels, got a deeper one")
    return text


def decode_value(text: bytes) -> Json:
    """The value of a text. Raises `msgspec.DecodeError` or `RecursionError`."""
    value: Json = msgspec.json.decode(text)
    return value


def nesting(value: Json, text: bytes) -> int:
    """How many lists and objects lie in one another, or an upper bound of it that is small enough."""
    bound = text.count(b"[") + text.count(b"{")
    if bound <= NESTING_MAX:
        return bound
    levels, row = 0, [value]
    while row := [item for item in row if isinstance(item, dict | list | tuple)]:
        levels += 1
        if levels > NESTING_MAX:
            break
        row = [child for item in row for child in (item.values() if isinstance(item, dict) else item)]
    return levels
