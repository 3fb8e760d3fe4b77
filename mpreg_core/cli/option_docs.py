"""The options of a strategy or service, from its Struct: as JSON Schema, and as rows for a table.

A Struct's docstring tells of its options in a list, one ``- `name`: what it does`` each.
"""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

_ITEM = re.compile(r"^- ((?:`\w+`(?:, )?)+): ", re.MULTILINE)
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<", "pattern": "like"}
_LENGTHS = {"minLength": ">=", "maxLength": "<=", "minItems": ">=", "maxItems": "<="}


def schema(options: type[Struct]) -> dict[str, Any]:
    """The JSON Schema of an options Struct as one object, with each option's description."""
    (top,), defs = msgspec.json.schema_components([options], ref_template="#/$defs/{name}")
    own = dict(defs.pop(options.__name__) if "$ref" in top else top)
    intro, texts = descriptions(options)
    own["properties"] = {
        name: found | ({"description": texts[name]} if name in texts else {})
        for name, found in own.get("properties", {}).items()
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **own, "description": intro} | (
        {"$defs": defs} if defs else {}
    )


def descriptions(options: type[Struct]) -> tuple[str, dict[str, str]]:
    """What the docstring says first, and of each option."""
    intro, *parts = _ITEM.split(inspect.cleandoc(options.__dict__.get("__doc__") or ""))  # its own one, not Struct's
    texts = {
        name: " ".join(text.split())
        for names, text in zip(parts[::2], parts[1::2], strict=True)
        for name in re.findall(r"\w+", names)
    }
    return " ".join(intro.split()), texts


def rows(options: type[Struct]) -> Iterator[tuple[str, str, str, str]]:
    """Each option: name, type with bounds, default, description."""
    whole = schema(options)
    for name, found in whole["properties"].items():
        default = found.get("default", "-")
        shown = "null" if default is None else default if isinstance(default, str) else msgspec.json.encode(default)
        text = shown.decode() if isinstance(shown, bytes) else shown
        yield name, kind(found, whole.get("$defs", {})), text, found.get("description", "")


def kind(found: dict[str, Any], defs: dict[str, Any]) -> str:
    """`number >= 0.05, <= 60`, `a or b`, `null or number`."""
    if "$ref" in found:
        return kind(defs[found["$ref"].rsplit("/", 1)[-1]], defs)
    if "anyOf" in found:
        return " or ".join(sorted((kind(one, defs) for one in found["anyOf"]), key="null".__eq__))
    if "enum" in found:
        return " or ".join(str(word) for word in found["enum"])
    name = str(found.get("type", "any"))
    if name == "array" and isinstance(found.get("items"), dict):
        name = f"list of {kind(found['items'], defs)}"
    bounds = [f"{sign} {_plain(found[key])}" for key, sign in _BOUNDS.items() if key in found]
    bounds += [f"length {sign} {found[key]}" for key, sign in _LENGTHS.items() if key in found]
    return f"{name} {', '.join(bounds)}" if bounds else name


def _plain(bound: float) -> float:
    """60 for 60.0: `Annotated` keeps whichever of two equal bounds a process saw first."""
    return int(bound) if bound == int(bound) else bound
