"""Writes golden bytes of wire messages that have none yet: `python tests/golden/write.py`. What is there stays."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, inspect

from mpreg_core.plugin.discovery import load_plugins
from mpreg_core.wire import control, request
from mpreg_core.wire.envelope import Envelope

FILE = Path(__file__).parent / "wire.json"


def messages() -> Iterator[tuple[str, type[Struct]]]:
    """Every message that goes between nodes, by a name that stays."""
    yield "core/envelope", Envelope
    for module in (control, request):
        for name, kind in vars(module).items():
            if isinstance(kind, type) and issubclass(kind, Struct) and kind.__struct_config__.tag is not None:
                yield f"core/{name}", kind
    for (family, strategy), found in sorted(load_plugins().strategies.items()):
        for kind in getattr(found.spec, "messages", ()):
            yield f"{family}/{found.spec.protocol or strategy}/{kind.__name__}", kind


def typical(kind: inspect.Type) -> Any:
    """A value of a type as the wire carries it: each field has something in it."""
    match kind:
        case inspect.StructType():
            values = [typical(field.type) for field in kind.fields]
            if kind.array_like:
                return [kind.tag, *values] if kind.tag is not None else values
            named = dict(zip((field.encode_name for field in kind.fields), values, strict=True))
            return {kind.tag_field: kind.tag, **named} if kind.tag_field else named
        case inspect.UnionType():
            return typical(next(each for each in kind.types if not isinstance(each, inspect.NoneType)))
        case inspect.IntType():
            low = kind.ge if kind.ge is not None else (kind.gt + 1 if kind.gt is not None else 7)
            return max(low, min(7, kind.le if kind.le is not None else 7))
        case inspect.FloatType():
            return 0.5
        case inspect.StrType():
            return "node-1"[: kind.max_length or 6]
        case inspect.BytesType():
            return b"bytes"
        case inspect.BoolType():
            return True
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            return [typical(kind.item_type)]
        case inspect.TupleType():
            return [typical(item) for item in kind.item_types]
        case inspect.DictType():
            return {typical(kind.key_type): typical(kind.value_type)}
        case inspect.Metadata():
            return typical(kind.type)
        case inspect.RawType():
            return 7
        case _:
            return None


def golden() -> dict[str, str]:
    """The bytes of the releases, hexadecimal, by name."""
    found: dict[str, str] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return found


def main() -> None:
    """Append what is missing."""
    held = golden()
    for name, kind in messages():
        if name not in held:
            made = msgspec.msgpack.decode(msgspec.msgpack.encode(typical(inspect.type_info(kind))), type=kind)
            held[name] = msgspec.msgpack.encode(made).hex()
    FILE.write_text(json.dumps(held, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
