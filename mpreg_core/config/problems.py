"""What is wrong with a configuration, and where each of its values came from."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from mpreg_core.errors import ConfigError

Path: TypeAlias = tuple[str | int, ...]
"""Where a value is: `("security", "gossip_keys", 0)`."""


class Layer(IntEnum):
    """Who said it; the higher one wins."""

    FILE = 0
    ENVIRONMENT = 1
    FLAG = 2


class Origin(NamedTuple):
    """Where a value was written: `file` is a file, `environment variable X` or a flag; `line` is 0 outside files."""

    layer: Layer
    file: str
    line: int = 0


Origins: TypeAlias = Mapping[Path, Origin]

NOWHERE = Origin(Layer.FILE, "")


class Problem(NamedTuple):
    """One thing that is wrong, or (in a list of warnings) odd. `line` is 0 and `path` empty where there is none."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class ConfigProblems(ConfigError):
    """The configuration is wrong: every problem found, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def dotted(path: Path) -> str:
    """The path as people write it: `security.gossip_keys[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def origin_of(path: Path, origins: Origins) -> Origin:
    """Where the value at `path` was written; else the nearest thing around it that was, else the first within it."""
    for end in range(len(path), 0, -1):
        if path[:end] in origins:
            return origins[path[:end]]
    return next((origin for at, origin in origins.items() if path and at[: len(path)] == path), NOWHERE)


def problem_at(path: Path, message: str, origins: Origins) -> Problem:
    """A problem with the value at `path`."""
    origin = origin_of(path, origins)
    return Problem(origin.file, origin.line, dotted(path), message)
