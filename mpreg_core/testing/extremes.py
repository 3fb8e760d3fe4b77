"""Hostile values: messages at the edges of their types, and how large a machine is."""

import gc
import sys
from collections.abc import Iterator, Sequence
from random import Random
from types import FunctionType, ModuleType
from typing import Any

import msgspec
from msgspec import Struct, inspect

from mpreg_core.ids import NodeId

PER_MESSAGE = 600
DEPTH_MAX = 4
_INTS = (0, 1, -1, 2**31, 2**53, 2**63 - 1, -(2**63), 255)
_TEXTS = ("", "n01", "nobody", "x" * 63, "x" * 4096, "\x00", "a/b", "é" * 40)
_BYTES = (b"", b"\x00", b"\xff" * 64, b"{}", b"\x00" * 8192)


def hostile_messages(
    kinds: Sequence[type[Struct]], known: Sequence[NodeId], seed: int
) -> Iterator[tuple[NodeId, Struct]]:
    """Messages that decode, with the values that hurt, from members, strangers and the node itself."""
    rng = Random(f"hostile/{seed}")
    for kind in kinds:
        info = inspect.type_info(kind)
        for _ in range(PER_MESSAGE):
            try:
                # through the wire's own rules: what they refuse never comes to a machine
                sender = rng.choice((*known, f"s{rng.randrange(10**9)}", f"s{rng.randrange(10**9)}"))
                yield sender, msgspec.convert(_value(info, rng, 0), kind, from_attributes=True)
            except (msgspec.ValidationError, ValueError, OverflowError):
                continue


def _value(kind: inspect.Type, rng: Random, depth: int) -> Any:
    match kind:
        case inspect.StructType():
            values = [_value(field.type, rng, depth + 1) for field in kind.fields]
            return _made(kind, values)
        case inspect.UnionType():
            return _value(rng.choice(kind.types), rng, depth + 1)
        case inspect.IntType():
            return rng.choice([value for value in _INTS if _within(value, kind)] or [kind.ge or 0])
        case inspect.FloatType():
            return rng.choice((0.0, -1.0, 1e308, 1e-308, 0.5))
        case inspect.StrType():
            longest = kind.max_length if kind.max_length is not None else 4096
            return rng.choice(_TEXTS)[:longest]
        case inspect.BytesType():
            return rng.choice(_BYTES)
        case inspect.BoolType():
            return rng.random() < 0.5
        case inspect.LiteralType():
            return rng.choice(kind.values)
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            count = 0 if depth > DEPTH_MAX else rng.choice((0, 1, 3, 40))
            return [_value(kind.item_type, rng, depth + 1) for _ in range(count)]
        case inspect.TupleType():
            return [_value(item, rng, depth + 1) for item in kind.item_types]
        case inspect.DictType():
            count = 0 if depth > DEPTH_MAX else rng.choice((0, 1, 20))
            return {
                _value(kind.key_type, rng, depth + 1): _value(kind.value_type, rng, depth + 1) for _ in range(count)
            }
        case inspect.Metadata():
            return _value(kind.type, rng, depth)
        case _:
            return None


def _made(kind: inspect.StructType, values: list[Any]) -> Any:
    """As the wire carries it: an array with its tag, or an object."""
    if kind.array_like:
        return [kind.tag, *values] if kind.tag is not None else values
    named = dict(zip((field.encode_name for field in kind.fields), values, strict=True))
    return {kind.tag_field: kind.tag, **named} if kind.tag_field else named


def _within(value: int, kind: inspect.IntType) -> bool:
    low = kind.ge if kind.ge is not None else (kind.gt + 1 if kind.gt is not None else -(2**63))
    high = kind.le if kind.le is not None else (kind.lt - 1 if kind.lt is not None else 2**63)
    return low <= value <= high


def sizes(machine: Any) -> int:
    """The bytes of all that a machine holds, shared things once; classes, modules and functions left out."""
    seen: set[int] = set()
    waiting, total = [machine], 0
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, type | ModuleType | FunctionType):
            continue
        seen.add(id(found))
        total += sys.getsizeof(found)
        waiting += gc.get_referents(found)
    return total
