"""Whether what a plugin provides has the shape that the contract asks for, as far as it shows without running it."""

import inspect
import re
from functools import reduce
from operator import or_
from typing import Any

import msgspec
from msgspec import Struct

from mpreg_core.contracts.merge import MergePolicySpec
from mpreg_core.contracts.service import ServiceSpec
from mpreg_core.contracts.strategy import API_MINOR, AnySpec, TransportSpec
from mpreg_core.errors import ApiMismatchError, ContractViolationError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_WIRE_MAX = 65_535
SAMPLES_MIN = 3


def check_strategy_shape(spec: AnySpec) -> None:
    """Raises `ContractViolationError`, or `ApiMismatchError` for a spec made for a newer contract."""
    what = f"{spec.family} strategy {spec.name!r}"
    if not isinstance(spec.api, int) or not 0 <= spec.api <= API_MINOR:
        text = f"{what} needs contract 1.{spec.api}, this core has 1.{API_MINOR}: update mpreg-core"
        raise ApiMismatchError(text)
    _check_common(spec, what)
    if not isinstance(spec.protocol, str) or (spec.protocol and not _NAME.fullmatch(spec.protocol)):
        raise ContractViolationError(f"{what}: expected a name as protocol, got {spec.protocol!r}")
    low, high = _pair(spec.wire, what)
    if not 1 <= low <= high <= _WIRE_MAX:
        raise ContractViolationError(f"{what}: expected wire versions 1 <= lowest <= highest, got {spec.wire!r}")
    if not callable(spec.create) or inspect.iscoroutinefunction(spec.create):
        raise ContractViolationError(f"{what}: expected create to be a plain function, got {spec.create!r}")
    if not isinstance(spec, TransportSpec):
        _check_messages(spec.messages, what)


def check_service_shape(spec: ServiceSpec[Any]) -> None:
    """Raises `ContractViolationError`."""
    what = f"service {spec.name!r}"
    _check_common(spec, what)
    if not callable(spec.run):
        raise ContractViolationError(f"{what}: expected run to be an async function, got {spec.run!r}")


def check_merge_policy_shape(spec: MergePolicySpec) -> None:
    """Raises `ContractViolationError`."""
    what = f"merge policy {spec.name!r}"
    _check_name(spec, what)
    if not callable(spec.merge) or inspect.iscoroutinefunction(spec.merge):
        raise ContractViolationError(f"{what}: expected merge to be a plain function, got {spec.merge!r}")
    if not isinstance(spec.samples, tuple) or len(spec.samples) < SAMPLES_MIN:
        raise ContractViolationError(
            f"{what}: expected a tuple of at least {SAMPLES_MIN} samples, got {spec.samples!r}"
        )


def _check_common(spec: AnySpec | ServiceSpec[Any], what: str) -> None:
    _check_name(spec, what)
    _check_options(spec.options, what)


def _check_name(spec: AnySpec | ServiceSpec[Any] | MergePolicySpec, what: str) -> None:
    if not isinstance(spec.name, str) or not _NAME.fullmatch(spec.name):
        raise ContractViolationError(f"{what}: expected a name of lower case, digits, '_' and '-', got {spec.name!r}")
    if not isinstance(spec.summary, str) or not spec.summary or "\n" in spec.summary:
        raise ContractViolationError(f"{what}: expected one line as summary, got {spec.summary!r}")


def _check_options(options: type[Struct], what: str) -> None:
    if not (isinstance(options, type) and issubclass(options, Struct)):
        raise ContractViolationError(f"{what}: expected options to be a msgspec Struct, got {options!r}")
    config = options.__struct_config__
    for flag in ("frozen", "forbid_unknown_fields"):
        if not getattr(config, flag):
            raise ContractViolationError(f"{what}: expected {options.__name__} to have {flag}=True")
    fields = msgspec.structs.fields(options)
    for field in fields:
        if field.required:
            raise ContractViolationError(f"{what}: expected a default for option {field.name!r}, got none")
        if field.encode_name == "strategy":
            raise ContractViolationError(f"{what}: no option may be called 'strategy', the key that names the strategy")
    try:
        options()
    except (ValueError, TypeError) as error:
        raise ContractViolationError(f"{what}: the default options are refused by themselves: {error}") from error


def _check_messages(messages: tuple[type[Struct], ...], what: str) -> None:
    if not isinstance(messages, tuple):
        raise ContractViolationError(f"{what}: expected a tuple of messages, got {messages!r}")
    for message in messages:
        if not (isinstance(message, type) and issubclass(message, Struct)):
            raise ContractViolationError(f"{what}: expected messages to be msgspec Structs, got {message!r}")
        config = message.__struct_config__
        for flag in ("frozen", "array_like"):
            if not getattr(config, flag):
                raise ContractViolationError(f"{what}: expected message {message.__name__} to have {flag}=True")
        if config.tag is None:
            raise ContractViolationError(f"{what}: expected message {message.__name__} to have a tag")
    if messages:
        try:
            msgspec.msgpack.Decoder(reduce(or_, messages))
        except TypeError as error:  # two messages with one tag, a field of a type that has no wire form
            raise ContractViolationError(f"{what}: the messages cannot be decoded as one union: {error}") from error


def _pair(value: object, what: str) -> tuple[int, int]:
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, int) for part in value):
        return value
    raise ContractViolationError(f"{what}: expected two wire versions, lowest and highest, got {value!r}")
