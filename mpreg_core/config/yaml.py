"""Reads a YAML file into plain data, with the line of every key. Trusts nothing about the file.

Of YAML it takes what a configuration needs: mappings, lists and plain scalars. Scalars mean what YAML 1.2 says they
mean, but for yes, no, on and off, which stay booleans as in YAML 1.1 since operators write them. So `12:30` and dates
are texts, not numbers in base 60. Aliases are expanded within a bound; tags and merge keys are refused.
"""

import math
import re
from pathlib import Path as FilePath

import yaml

from mpreg_core.config.problems import ConfigProblems, Layer, Origin, Path, Problem, dotted
from mpreg_core.limits import CONFIG_BYTES_MAX, CONFIG_DEPTH_MAX

NODES_MAX = 200_000
"""Values in one file, aliases expanded."""

_TAG = "tag:yaml.org,2002:"
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_HARMLESS = re.compile(r".{0,2}|<[a-z ]+>")  # a mark, or the parser's own name of a token
_TAGGED = "tags are not allowed; a text that begins with ! needs quotes"
_TOO_DEEP = f"nested deeper than {CONFIG_DEPTH_MAX} levels"


class _Loader(yaml.SafeLoader):
    """Composes nodes to a bounded depth; nothing is constructed by it."""

    yaml_implicit_resolvers: dict[str | None, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (pyyaml's own way)
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        """As the base class, but an error instead of a `RecursionError`."""
        if self.depth >= CONFIG_DEPTH_MAX:
            raise yaml.MarkedYAMLError(problem=_TOO_DEEP, problem_mark=self.get_mark())
        self.depth += 1
        try:
            return super().compose_node(parent, index)  # type: ignore[arg-type]
        finally:
            self.depth -= 1


for _name, _pattern, _first in (
    ("bool", r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", "-+0123456789."),
    ("merge", "<<", "<"),
):
    _firsts = [*_first, ""] if _name == "null" else list(_first)
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), _firsts)


def read_file(path: FilePath) -> tuple[object, dict[Path, Origin]]:
    """The file's data and where each of its keys is. Raises `ConfigProblems`."""
    try:
        with path.open("rb") as file:
            raw = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigProblems([Problem(str(path), 0, "", f"cannot be read: {error.strerror or error}")]) from error
    if len(raw) > CONFIG_BYTES_MAX:
        raise ConfigProblems([Problem(str(path), 0, "", f"expected at most {CONFIG_BYTES_MAX} bytes, got more")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigProblems([Problem(str(path), line, "", "expected UTF-8 text, got other bytes")]) from error
    return read_text(text, str(path))


def _shown(quoted: re.Match[str]) -> str:
    return quoted[0] if _HARMLESS.fullmatch(quoted[1] or quoted[2] or "") else "(...)"


def read_text(text: str, file: str, layer: Layer = Layer.FILE) -> tuple[object, dict[Path, Origin]]:
    """A YAML text's data and where each of its keys is; `file` names the text in errors. Raises `ConfigProblems`."""
    try:
        node = _compose(text)
    except yaml.MarkedYAMLError as error:
        # Not str(error): that quotes the line, and the line may hold a secret. So may a name quoted in the problem.
        mark = error.problem_mark or error.context_mark
        words = ", ".join(part for part in (error.context, error.problem) if part)
        message = f"not valid YAML: {_QUOTED.sub(_shown, words)}"
        raise ConfigProblems([Problem(file, mark.line + 1 if mark else 0, "", message)]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigProblems([Problem(file, line, "", "not valid YAML: a control character")]) from None
    reader = _Reader(file, layer)
    data = None if node is None else reader.read(node, ())
    if reader.problems:
        raise ConfigProblems(reader.problems)
    return data, reader.origins


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
        return node
    finally:
        loader.dispose()


class _Reader:
    """Walks composed nodes. An alias is the same node again: walking it again expands it, within the bounds."""

    def __init__(self, file: str, layer: Layer) -> None:
        self.file = file
        self.layer = layer
        self.origins: dict[Path, Origin] = {}
        self.problems: list[Problem] = []
        self.nodes = 0

    def read(self, node: yaml.Node, path: Path) -> object:
        self.nodes += 1
        if self.nodes > NODES_MAX:
            self._stop(node, f"expected at most {NODES_MAX} values with aliases expanded, got more")
        if len(path) > CONFIG_DEPTH_MAX:  # an alias within itself, or aliases that nest
            self._stop(node, _TOO_DEEP)
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            for index, item in enumerate(node.value):
                self._place(item, (*path, index))
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        return self._problem(node, path, _TAGGED)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        mapping: dict[str, object] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problem(key, path, "expected a text as key, got a mapping or list")
                continue
            # The text as written: an id such as 123 or `no` is a fine key.
            name: str = key.value
            here = (*path, name)
            if key.tag == _TAG + "merge":
                self._problem(key, path, "merge keys (<<) are not allowed, repeat the keys or use an alias")
            elif name in mapping:
                first = self.origins[here].line
                self._problem(key, here, f"duplicate key, first on line {first}")
            else:
                self._place(key, here)
                mapping[name] = self.read(value, here)
        return mapping

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> object:
        text: str = node.value
        kind = node.tag.removeprefix(_TAG)
        if kind == "str" or kind == "merge":
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in ("yes", "true", "on")
        if kind in ("int", "float"):
            try:
                number = int(text) if kind == "int" else float(text)
                if math.isfinite(number):
                    return number
            except (ValueError, OverflowError):
                pass
            return self._problem(node, path, "not a number that can be read")
        return self._problem(node, path, _TAGGED)

    def _place(self, node: yaml.Node, path: Path) -> None:
        self.origins[path] = Origin(self.layer, self.file, node.start_mark.line + 1)

    def _problem(self, node: yaml.Node, path: Path, message: str) -> object:
        self.problems.append(Problem(self.file, node.start_mark.line + 1, dotted(path), message))
        return None

    def _stop(self, node: yaml.Node, message: str) -> None:
        raise ConfigProblems([Problem(self.file, node.start_mark.line + 1, "", message)])
