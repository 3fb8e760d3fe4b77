"""What the environment contributes: `${NAME}` inside the file's values, and the `MPREG_*` variables."""

import re
from collections.abc import Mapping

from mpreg_core.config.decode import Text, field_types, is_struct
from mpreg_core.config.model import SECTION_OF, SECTIONS, NodeConfig
from mpreg_core.config.problems import Layer, Origin, Origins, Path, Problem, problem_at
from mpreg_core.errors import did_you_mean

VARIABLES: dict[str, Path] = {
    "MPREG_NODE_ID": ("node", "id"),
    "MPREG_REGION": ("node", "region"),
    "MPREG_HUB_TIER": ("node", "hub_tier"),
    "MPREG_PARENT_HUB": ("node", "parent_hub"),
    "MPREG_DATA_DIR": ("node", "data_dir"),
    "MPREG_LOG_LEVEL": ("logging", "level"),
    "MPREG_LOG_FORMAT": ("logging", "format"),
    "MPREG_METRICS_ENABLED": ("monitoring", "metrics_enabled"),
    "MPREG_METRICS_PORT": ("monitoring", "metrics_port"),
    "MPREG_MAX_REGIONAL_HUBS": ("hubs", "max_regional_hubs"),
    "MPREG_MAX_CHILD_HUBS": ("hubs", "max_child_hubs"),
    "MPREG_MAX_CLUSTERS": ("hubs", "max_clusters"),
}
"""Variable -> key. Every other key is `MPREG_<SECTION>__<KEY>`."""

CONFIG_PATH = "MPREG_CONFIG_PATH"
OTHER_VARIABLES = (CONFIG_PATH, "MPREG_API", "MPREG_TOKEN", "MPREG_PLUGINS", "MPREG_PLUGINS_BLOCK")
"""Variables that are not configuration of a node, but of the programs around it."""

_REFERENCE = re.compile(r"\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})?")


def substitute(data: object, env: Mapping[str, str], origins: Origins, problems: list[Problem]) -> object:
    """The data with `${NAME}` and `${NAME:-default}` replaced in its texts, once: what comes in is not looked into.

    A default stands for an unset or empty variable; an unset one without a default is a problem.
    """

    def walk(value: object, path: Path) -> object:
        if isinstance(value, dict):
            return {key: walk(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return Text(_REFERENCE.sub(lambda match: replace(match, path), value))
        return value

    def replace(match: re.Match[str], path: Path) -> str:
        name, default = match["name"], match["default"]
        if name is None:
            message = "expected ${NAME} or ${NAME:-default}, got a ${ that is neither"
        elif name in env and (env[name] or default is None):
            return env[name]
        elif default is not None:
            return default
        else:
            message = f"environment variable {name} is not set; set it, or write ${{{name}:-default}}"
        problems.append(problem_at(path, message, origins))
        return ""

    return walk(data, ())


def settings(env: Mapping[str, str]) -> tuple[list[tuple[Path, Text, Origin]], list[Problem]]:
    """What the `MPREG_*` variables set, by name, and a warning for each that sets nothing. An empty one is unset."""
    found: list[tuple[Path, Text, Origin]] = []
    warnings: list[Problem] = []
    for name in sorted(env):
        if not name.startswith("MPREG_") or name in OTHER_VARIABLES or not env[name]:
            continue
        path = VARIABLES.get(name) or _systematic(name)
        if path is None:
            guess = did_you_mean(name, known_variables()) or "; keys are MPREG_<SECTION>__<KEY>"
            warnings.append(Problem(f"environment variable {name}", 0, "", f"unknown, ignored{guess}"))
        else:
            found.append((path, Text(env[name]), Origin(Layer.ENVIRONMENT, f"environment variable {name}")))
    return found, warnings


def known_variables() -> list[str]:
    """The names of all variables, but for options of strategies, which only their plugins know."""
    names = [*VARIABLES, *OTHER_VARIABLES, *(f"MPREG_{section.upper()}__STRATEGY" for section in SECTION_OF.values())]
    for section, kind in field_types(NodeConfig).items():
        if is_struct(kind) and section not in SECTION_OF.values():
            names += [f"MPREG_{section}__{key}".upper() for key in field_types(kind)]
    return names


def _systematic(name: str) -> Path | None:
    """`MPREG_NODE__COORDINATES__LATITUDE` as a path, None if it names no key that there is."""
    path = tuple(name.removeprefix("MPREG_").lower().split("__"))
    if len(path) < 2 or not all(path) or path[0] not in SECTIONS:
        return None
    free = path[0] == "tiers" or path[0] in SECTION_OF.values()
    return path if free or path[1] in field_types(field_types(NodeConfig)[path[0]]) else None
