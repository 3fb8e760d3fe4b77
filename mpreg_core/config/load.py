"""Loads a node's configuration: file, environment and flags laid over the defaults, then decoded and checked.

Strength: flags and `--set`, then `MPREG_*` variables, then the file, then defaults.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, cast

import msgspec

from mpreg_core.config.checks import advise, check
from mpreg_core.config.decode import Decoder, Text, field_types, kind_of, unknown_key
from mpreg_core.config.environment import CONFIG_PATH, settings, substitute
from mpreg_core.config.model import SECTION_OF, SECTIONS, Choice, NodeConfig
from mpreg_core.config.problems import NOWHERE, ConfigProblems, Layer, Origin, Path, Problem, dotted
from mpreg_core.config.yaml import read_file, read_text
from mpreg_core.ids import Family, PoolTier

POOL_TIERS: tuple[PoolTier, ...] = ("local", "regional", "global")
_FAMILY_OF: dict[str, Family] = {section: family for family, section in SECTION_OF.items()}


def load_config(
    path: str | os.PathLike[str] | None = None,
    *,
    sets: Sequence[str] = (),
    overrides: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
) -> NodeConfig:
    """The configuration of a file (default: `MPREG_CONFIG_PATH`, else defaults alone), environment and flags.

    `sets` are `section.key=value`; `overrides` are flags, key path -> value (None = not given), stronger than `sets`;
    `env` is the process's environment unless given. Raises `ConfigProblems` with every problem found.
    """
    config, problems = read_config(path, sets=sets, overrides=overrides, env=env)
    if problems:
        raise ConfigProblems(problems)
    return config


def read_config(
    path: str | os.PathLike[str] | None = None,
    *,
    data: Mapping[str, object] | None = None,
    sets: Sequence[str] = (),
    overrides: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
) -> tuple[NodeConfig, list[Problem]]:
    """As `load_config`, but gives the problems, in order, beside what can be used: a wrong key has its default.

    `data` stands for a file's contents, for programs that make configurations. Raises `ConfigProblems` only for a file
    that cannot be read as YAML.
    """
    env = os.environ if env is None else env
    layers = _Layers()
    path = path or (env.get(CONFIG_PATH) if data is None else None)
    if path:
        data, layers.origins = _read_mapping(FilePath(path))
    layers.tree = cast("dict[str, object]", substitute(_copy(data or {}), env, layers.origins, layers.problems))
    found, warnings = settings(env)
    for key, text, origin in found:
        layers.put(key, text, origin)
    for setting in sets:
        layers.put_setting(setting)
    for key_path, value in (overrides or {}).items():
        if value is not None:
            text_or_value = Text(value) if isinstance(value, str) else value
            layers.put(tuple(key_path.split(".")), text_or_value, Origin(Layer.FLAG, "command line"))
    return _decode(layers, tuple(warnings))


def _read_mapping(path: FilePath) -> tuple[dict[str, object], dict[Path, Origin]]:
    data, origins = read_file(path)
    if data is not None and not isinstance(data, dict):
        message = f"expected a mapping of sections ({', '.join(SECTIONS)}), got {kind_of(data)}"
        raise ConfigProblems([Problem(str(path), 1, "", message)])
    return data or {}, origins


def _copy(value: object) -> object:
    """Plain lists and dicts of what the caller gave, so that laying values over it leaves the caller's alone."""
    if isinstance(value, Mapping):
        return {str(key): _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list | tuple) else value


class _Layers:
    """The values, where each came from, and which strategies were named before a stronger layer named another."""

    def __init__(self) -> None:
        self.tree: dict[str, object] = {}
        self.origins: dict[Path, Origin] = {}
        self.problems: list[Problem] = []
        self.shadowed: dict[Path, str | None] = {}

    def put(self, path: Path, value: object, origin: Origin) -> None:
        """Lay a value over what weaker layers said of this key."""
        at: dict[str, object] = self.tree
        for depth, key in enumerate(path[:-1], start=1):
            below = at.setdefault(str(key), {})
            if below is None:  # a section left empty
                below = at[str(key)] = {}
            if not isinstance(below, dict):
                message = f"expected a mapping at {dotted(path[:depth])} to set a key in, got {kind_of(below)}"
                self.problems.append(Problem(origin.file, 0, dotted(path), message))
                return
            at = below
        last = str(path[-1])
        if last == "strategy":
            before = at.get(last)
            self.shadowed.setdefault(path[:-1], before if isinstance(before, str) else None)
        at[last] = value
        for known in [known for known in self.origins if known[: len(path)] == path]:
            del self.origins[known]
        self.origins[path] = origin

    def put_setting(self, setting: str) -> None:
        """`section.key=value`; a value in [] or {} is read as YAML, any other is a text that stands for its type."""
        key, equals, text = setting.partition("=")
        path: Path = tuple(key.strip().split("."))
        origin = Origin(Layer.FLAG, "--set")
        if not equals or len(path) < 2 or not all(path):
            # What stands after the first dot may be a secret that lacks its key.
            message = f"expected section.key=value, got something that begins {str(path[0])[:30]!r}"
            self.problems.append(Problem("--set", 0, "", message))
            return
        value: object = Text(text)
        if text.lstrip()[:1] in ("[", "{"):
            try:
                value, _ = read_text(text, origin.file, Layer.FLAG)
            except ConfigProblems as error:
                self.problems += [problem._replace(line=0) for problem in error.problems]
                return
        self.put(path, value, origin)


def _decode(layers: _Layers, warnings: tuple[Problem, ...]) -> tuple[NodeConfig, list[Problem]]:
    decoder = Decoder(layers.origins)
    values: dict[str, Any] = {}
    for key, data in layers.tree.items():
        if key == "tiers":
            values[key] = _tiers(data, decoder, layers)
        elif key in _FAMILY_OF:
            values[key] = _choice(data, (key,), decoder, layers)
        elif key in SECTIONS:
            section = decoder.struct(field_types(NodeConfig)[key], data, (key,))
            if section is not None:
                values[key] = section
        else:
            decoder.problem((key,), unknown_key(key, list(SECTIONS)))
    config = NodeConfig(**values, origins=layers.origins)
    if not config.node.id and ("node", "id") not in layers.origins:
        config = msgspec.structs.replace(config, node=msgspec.structs.replace(config.node, id=_host_name()))
    config = msgspec.structs.replace(config, warnings=(*warnings, *advise(config)))
    # One problem is told once: a variable that is not set, then a wrong type, then a rule between keys.
    problems = layers.problems
    for found in (decoder.problems, check(config)):
        told = {problem.path for problem in problems if problem.path}
        problems = problems + [problem for problem in found if problem.path not in told]
    if any(problem.path.startswith("plugins.require[") for problem in problems):
        # Whoever goes on to look for more problems would stop at these.
        config = msgspec.structs.replace(config, plugins=msgspec.structs.replace(config.plugins, require=()))
    return config, sorted(set(problems))


def _host_name() -> str:
    return socket.gethostname().partition(".")[0]


def _tiers(data: object, decoder: Decoder, layers: _Layers) -> dict[PoolTier, dict[Family, Choice]]:
    tiers: dict[PoolTier, dict[Family, Choice]] = {}
    for tier, sections in _mapping(data, ("tiers",), decoder).items():
        if tier not in POOL_TIERS:
            decoder.problem(("tiers", tier), unknown_key(tier, list(POOL_TIERS)))
            continue
        own = tiers[tier] = {}
        for section, choice in _mapping(sections, ("tiers", tier), decoder).items():
            if section in _FAMILY_OF:
                own[_FAMILY_OF[section]] = _choice(choice, ("tiers", tier, section), decoder, layers)
            else:
                decoder.problem(("tiers", tier, section), unknown_key(section, list(_FAMILY_OF)))
    return tiers


def _choice(data: object, path: Path, decoder: Decoder, layers: _Layers) -> Choice:
    options = dict(_mapping(data, path, decoder))
    strategy = decoder.value(str | None, options.pop("strategy", None), (*path, "strategy"))
    if not isinstance(strategy, str):
        return Choice(options=options, path=path)
    # Values given as data, not as a file, have no origin: they count as the file's.
    named = layers.origins.get((*path, "strategy"), NOWHERE).layer
    weaker = [key for key in options if layers.origins.get((*path, key), NOWHERE).layer < named]
    written_for = {key: layers.shadowed.get(path) for key in weaker}
    return Choice(strategy=strategy, options=options, path=path, written_for=written_for)


def _mapping(data: object, path: Path, decoder: Decoder) -> Mapping[str, object]:
    if isinstance(data, Mapping):
        return data
    if data is not None:
        decoder.problem(path, f"expected a mapping, got {kind_of(data)}")
    return {}
