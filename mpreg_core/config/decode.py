"""Turns plain data into msgspec Structs and reports everything that is wrong with it, not only the first thing.

`msgspec.convert` does the work for each single value; this walks the containers around it, so that each problem has
its own key path and says what was expected, what came and which known word is closest.
"""

import math
import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from mpreg_core.config.problems import Origins, Path, Problem, problem_at
from mpreg_core.errors import did_you_mean

StructT = TypeVar("StructT", bound=Struct)

SECRET = {"secret": True}
"""`Meta(extra=SECRET)` on a field's type keeps its value out of all output."""

HIDDEN: Final = "***"
"""What stands in output for a secret."""

FAILED: Final = object()
"""What `Decoder.value` returns when it reported a problem instead."""

_USER_IN_URL = re.compile(r"://[^/\s]*@")
_WORDS = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
# bool before int, of which it is a subclass.
_KINDS: dict[type, str] = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}
_KINDS |= {list: "a list", tuple: "a list", dict: "a mapping"}
_SHOWN_MAX = 60


class Text(str):
    """A value that came from an environment variable or a flag: it stands for a number or truth value as well."""

    __slots__ = ()


class Decoder:
    """Decodes values and collects the problems. `suffix` ends each message about a value."""

    def __init__(self, origins: Origins, suffix: str = "") -> None:
        self.origins = origins
        self.suffix = suffix
        self.problems: list[Problem] = []

    def problem(self, path: Path, message: str) -> object:
        """Report a problem; gives `FAILED`."""
        self.problems.append(problem_at(path, message, self.origins))
        return FAILED

    def struct(self, kind: type[StructT], data: object, path: Path) -> StructT | None:
        """A Struct; None is an empty mapping. A field with a problem gets its default; if it has none, gives None."""
        if data is not None and not isinstance(data, Mapping):
            self.problem(path, f"expected a mapping, got {kind_of(data)}")
        given = data if isinstance(data, Mapping) else {}
        types_of = field_types(kind)
        values: dict[str, object] = {}
        for key, item in given.items():
            if key not in types_of:
                self.problem((*path, key), unknown_key(key, list(types_of)))
                continue
            value = self.value(types_of[key], item, (*path, key))
            if value is not FAILED:
                values[key] = value
        required = {field.encode_name for field in msgspec.structs.fields(kind) if field.required}
        for key in sorted(required - given.keys()):
            self.problem(path, f"expected the key {key!r}, got none")
        return self.build(kind, values, path) if values.keys() >= required else None

    def build(self, kind: type[StructT], values: Mapping[str, object], path: Path) -> StructT | None:
        """The Struct of values that are right one by one; None when they do not fit together (its `__post_init__`)."""
        names = {field.encode_name: field.name for field in msgspec.structs.fields(kind)}
        try:
            return kind(**{names[key]: value for key, value in values.items()})
        except (ValueError, TypeError) as error:
            self.problem(path, f"{error}{self.suffix}")
            return None

    def value(self, kind: Any, value: object, path: Path, secret: bool = False) -> object:
        """A value of any type that a field may have, or `FAILED`."""
        secret = secret or is_secret(kind)
        bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        origin, args = get_origin(bare), get_args(bare)
        if is_struct(bare):
            if isinstance(value, bare):
                return value
            built = self.struct(bare, value, path)
            return FAILED if built is None else built
        if origin in (Union, types.UnionType):
            if value is None and types.NoneType in args:
                return None
            some = [arg for arg in args if arg is not types.NoneType]
            fitting = [arg for arg in some if is_struct(arg) == isinstance(value, Mapping)] if len(some) > 1 else some
            if len(fitting) == 1:
                return self.value(fitting[0], value, path, secret)
        if origin is list or (origin is tuple and args[1:] == (...,)):
            if isinstance(value, Text):
                value = [Text(part.strip()) for part in value.split(",") if part.strip()]
            if isinstance(value, list | tuple):
                value = [self.value(args[0], item, (*path, index), secret) for index, item in enumerate(value)]
                return FAILED if FAILED in value else self.leaf(kind, value, path, secret)
        if origin is dict and isinstance(value, Mapping):
            value = {key: self.value(args[1], item, (*path, key), secret) for key, item in value.items()}
            return FAILED if FAILED in value.values() else self.leaf(kind, value, path, secret)
        return self.leaf(kind, value, path, secret)

    def leaf(self, kind: Any, value: object, path: Path, secret: bool) -> object:
        """A value that msgspec can judge as a whole."""
        if kind is Any:  # judged by whoever knows its type, who also needs to know if it is a `Text`
            return value
        text = isinstance(value, Text)
        bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        given = value
        if isinstance(value, str):
            if get_origin(bare) is Literal:
                value = next((word for word in get_args(bare) if str(word).lower() == value.lower()), value)
            elif bare is bool and text:
                value = _WORDS.get(value.lower(), value.lower())
        try:
            result: object = msgspec.convert(value, kind, strict=not text)
        except msgspec.ValidationError as error:
            return self.problem(path, f"{_complaint(kind, bare, given, secret, error)}{self.suffix}")
        if isinstance(result, float) and not math.isfinite(result):
            return self.problem(path, f"expected a finite number, got {shown(given, secret)}{self.suffix}")
        return str(result) if isinstance(result, Text) else result


def _complaint(kind: Any, bare: Any, value: object, secret: bool, error: msgspec.ValidationError) -> str:
    expected = describe(kind)
    if not expected:  # a type that configuration itself does not use: msgspec's own words, unless they show a secret
        return "not a valid value" if secret else str(error)
    got = shown(value, secret)
    if isinstance(value, bool) and bare is str:
        return f"expected {expected}, got {got}: YAML reads yes, no, on and off as true and false, so quote the text"
    guess = did_you_mean(value, get_args(bare)) if get_origin(bare) is Literal and isinstance(value, str) else ""
    return f"expected {expected}, got {got}{guess}"


def unknown_key(key: str, known: list[str]) -> str:
    """The message about a key that is not known."""
    return "unknown key" + (did_you_mean(key, known) or f" (known: {', '.join(sorted(known)) or 'none'})")


def describe(kind: Any) -> str:
    """A type in words: its `Meta(description=...)`, else its kind and bounds (`an integer from 0 to 65535`).

    Empty for a type that it has no words for.
    """
    bounds: dict[str, Any] = {}
    if get_origin(kind) is Annotated:
        kind, *metas = get_args(kind)
        for meta in metas:
            if isinstance(meta, Meta):
                if meta.description:
                    return meta.description
                if any(getattr(meta, bound) is not None for bound in ("min_length", "max_length", "pattern")):
                    return ""
                bounds |= {sign: getattr(meta, sign) for sign in _SIGNS if getattr(meta, sign) is not None}
    origin = get_origin(kind)
    if origin is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if origin in (Union, types.UnionType):
        members = [describe(arg) for arg in get_args(kind) if arg is not types.NoneType]
        return " or ".join(members) if all(members) else ""
    if is_struct(kind) or origin is dict:
        return "a mapping"
    word = _KINDS.get(origin or kind, "")
    if {"ge", "le"} <= bounds.keys():
        return f"{word} from {bounds['ge']} to {bounds['le']}"
    limits = " and ".join(f"{_SIGNS[sign]} {bound}" for sign, bound in bounds.items())
    return f"{word} {limits}".strip()


def kind_of(value: object) -> str:
    """A value's kind in words."""
    if isinstance(value, Mapping):
        return "a mapping"
    return next((word for kind, word in _KINDS.items() if isinstance(value, kind)), "nothing")


def shown(value: object, secret: bool) -> str:
    """A value as an error may show it: in full when short, its kind when it is a container or secret."""
    if value is None:
        return "nothing"
    if secret or isinstance(value, Mapping | list | tuple):
        return kind_of(value)
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(without_user(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 3]}..."


def without_user(text: str) -> str:
    """The text with users and passwords in URLs replaced."""
    return _USER_IN_URL.sub(f"://{HIDDEN}@", text)


def is_struct(kind: object) -> bool:
    """True for a Struct class."""
    return isinstance(kind, type) and issubclass(kind, Struct)


def field_types(kind: type[Struct]) -> dict[str, Any]:
    """Key -> type of a Struct's fields."""
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}


def is_secret(kind: Any) -> bool:
    """True if the type, or one within it, is marked with `SECRET`."""
    if get_origin(kind) is Annotated:
        kind, *metas = get_args(kind)
        if any(isinstance(meta, Meta) and (meta.extra or {}).get("secret") for meta in metas):
            return True
    return not is_struct(kind) and any(is_secret(arg) for arg in get_args(kind) if arg is not ...)
