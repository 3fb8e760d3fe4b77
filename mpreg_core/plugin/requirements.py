"""Which versions of a distribution are required: `mpreg-consensus-raft>=1.2,<2`, the common part of PEP 440 and 508."""

import operator
import re
from collections.abc import Callable
from typing import NamedTuple

from mpreg_core.errors import ConfigError

VersionKey = tuple[tuple[int, ...], int, int]
"""Sorts as the versions do: release without its trailing zeros, stage, number within the stage."""

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(.*)", re.DOTALL)
_CLAUSE = re.compile(r"(==|!=|<=|>=|<|>)\s*(\S+)")
_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)(?:[._-]?(dev|a|b|rc|post)[._-]?(\d*))?(?:\+[a-z0-9._-]+)?", re.IGNORECASE)
_STAGES = {"dev": -4, "a": -3, "b": -2, "rc": -1, "": 0, "post": 1}
_COMPARE: dict[str, Callable[[VersionKey, VersionKey], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


class Requirement(NamedTuple):
    """A distribution's normalised name and what its version must satisfy: (operator, version) pairs."""

    text: str
    name: str
    clauses: tuple[tuple[str, VersionKey], ...]

    def accepts(self, version: str) -> bool:
        """True if a version satisfies all clauses; one that cannot be read satisfies only the empty requirement."""
        key = version_key(version)
        return not self.clauses or (key is not None and all(_COMPARE[sign](key, bound) for sign, bound in self.clauses))


def parse_requirement(text: str) -> Requirement:
    """Read a requirement. Raises `ConfigError`."""
    error = ConfigError(f"expected a distribution and versions, such as 'mpreg-consensus-raft>=1.2,<2', got {text!r}")
    match = _REQUIREMENT.fullmatch(text)
    if match is None:
        raise error
    clauses: list[tuple[str, VersionKey]] = []
    for clause in filter(None, (part.strip() for part in match[2].split(","))):
        found = _CLAUSE.fullmatch(clause)
        bound = version_key(found[2]) if found else None
        if found is None or bound is None:
            raise error
        clauses.append((found[1], bound))
    return Requirement(text.strip(), normalised(match[1]), tuple(clauses))


def version_key(text: str) -> VersionKey | None:
    """What a version sorts by; None when it is not of the common form."""
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        return None
    release = [int(part) for part in match[1].split(".")]
    while release and release[-1] == 0:
        release.pop()
    return tuple(release), _STAGES[(match[2] or "").lower()], int(match[3] or 0)


def normalised(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
