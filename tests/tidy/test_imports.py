"""Imports run one way: the layers of the core, what pure code may not touch, and what a plugin may see.

The rules are tables, the checkers are functions from source text to complaints. So each rule is shown to bite on a
planted violation before it is asked about the tree.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Lowest first. A module may import its own layer and the ones below. "" is mpreg_core/__init__.py: it and the other
# modules that users import see everything but the command line. Its `__version__` is a constant for everyone.
LAYERS = (
    ("errors", "ids", "units", "limits", "__version__"),
    ("contracts",),
    ("wire", "membership", "state", "registry", "routing", "detecting"),
    ("node",),
    ("plugin", "config"),
    ("runtime", "sim", "security", "observe", "sockets"),
    ("assembly", "testing", "client", "embed", ""),
    ("demo",),
    ("cli", "__main__"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FACADE = ("client", "embed")  # may be several files each: client.py, client_frames.py

PURE = {"contracts", "wire", "membership", "state", "registry", "routing", "detecting", "node"}
IMPURE = {"anyio", "asyncio", "logging", "os", "random", "secrets", "socket", "threading", "time", "uuid"}
# Machines are handed their generator of chance; only the modules that hand it on may name its type.
PURE_EXCEPT = {"random.Random": {"contracts", "node"}}

# Beside the names that mpreg_core exports: the bounds, what routers, detectors and transports share, and the metrics
# for service plugins.
PUBLIC = {
    "mpreg_core",
    "mpreg_core.__version__",
    "mpreg_core.client",
    "mpreg_core.limits",
    "mpreg_core.observe",
    "mpreg_core.observe.metrics",
    "mpreg_core.detecting",
    "mpreg_core.routing",
    "mpreg_core.sockets",
}
PUBLIC_IN_TESTS = PUBLIC | {"mpreg_core.sim", "mpreg_core.testing"}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name, in full: `from a.b import c` is module `a.b`, target `a.b.c`. `for_types` never runs."""

    line: int
    module: str
    target: str
    for_types: bool


def imports_of(source: str, package: str) -> Iterator[Import]:
    """Every import of a module of `package`, at any depth of its code."""
    tree = ast.parse(source)
    for_types = {id(node) for block in ast.walk(tree) for node in guarded_by_type_checking(block)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, alias.name, id(node) in for_types)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node, package)
            for alias in node.names:
                yield Import(node.lineno, module, f"{module}.{alias.name}", id(node) in for_types)


def guarded_by_type_checking(block: ast.AST) -> Iterator[ast.AST]:
    """What runs only for type checkers in this `if`; its `else` does run."""
    if isinstance(block, ast.If) and ast.unparse(block.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
        for statement in block.body:
            yield from ast.walk(statement)


def absolute(node: ast.ImportFrom, package: str) -> str:
    if node.level == 0:
        assert node.module is not None
        return node.module
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - node.level + 1])
    return f"{base}.{node.module}" if node.module else base


def part_of(module: str) -> str:
    """The part of the core that a module lies in: the first folder or file under it, "" for mpreg_core itself."""
    first = module.split(".")[1] if "." in module else ""
    return next((name for name in FACADE if first.startswith(name)), first)


def part_imported(found: Import) -> str:
    """The part that an import reaches; `from mpreg_core import x` reaches a folder `x`, or the facade's own name."""
    part = part_of(found.target)
    return "" if found.module == "mpreg_core" and part not in LEVEL else part


def core_complaints(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What a module of the core, named in full, imports against the rules."""
    package = module if is_package else module.rpartition(".")[0]
    part = part_of(module)
    if part not in LEVEL:
        return [f"{module}: {part} has no layer; give it one in LAYERS"]
    complaints = []
    for found in imports_of(source, package):
        where = f"{module}:{found.line}"
        root, name = found.target.split(".")[0], found.target
        if root == "mpreg_core":
            imported = part_imported(found)
            if imported not in LEVEL:
                complaints.append(f"{where}: {imported} has no layer; give it one in LAYERS")
            elif LEVEL[imported] > LEVEL[part]:
                complaints.append(f"{where}: {part or 'mpreg_core'} may not import {name}, which is a layer above it")
        elif root == "mpreg" or root.startswith("mpreg_"):
            complaints.append(f"{where}: the core never imports a plugin, got {name}")
        elif part in PURE and root in IMPURE and not found.for_types and part not in PURE_EXCEPT.get(name, ()):
            complaints.append(f"{where}: {part} is pure, it may not import {name}; effects go out, time comes in")
    return complaints


def plugin_complaints(source: str, module: str, *, is_package: bool = False, is_test: bool = False) -> list[str]:
    """What a plugin's module imports beyond itself, the public core and third parties."""
    package = module if is_package else module.rpartition(".")[0]
    public = PUBLIC_IN_TESTS if is_test else PUBLIC
    complaints = []
    for found in imports_of(source, package):
        root = found.target.split(".")[0]
        if root == "mpreg_core":
            # `from mpreg_core import node` reaches a folder, `from mpreg_core import Member` does not.
            if found.module not in public or f"mpreg_core.{part_imported(found)}".rstrip(".") not in public:
                complaints.append(f"{module}:{found.line}: {found.target} is not public; ask mpreg_core to export it")
        elif (root == "mpreg" or root.startswith("mpreg_")) and root != module.split(".")[0]:
            complaints.append(f"{module}:{found.line}: a plugin never imports another, got {found.target}")
    return complaints


# --- the checkers bite ---


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("mpreg_core.wire.codec", "from mpreg_core.node.core import NodeCore", "a layer above"),
        ("mpreg_core.wire.codec", "from mpreg_core import node", "a layer above"),
        ("mpreg_core.wire.codec", "import mpreg_core.sim.world", "a layer above"),
        ("mpreg_core.wire.codec", "from ..plugin import discovery", "a layer above"),
        ("mpreg_core.wire.codec", "from mpreg_core import Member", "a layer above"),
        ("mpreg_core.node.core", "def f():\n    from mpreg_core.config import load", "a layer above"),
        ("mpreg_core.node.core", "from mpreg_core.plugin import registry", "a layer above"),
        (
            "mpreg_core.runtime.driver",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mpreg_core.assembly",
            "a layer above",
        ),
        ("mpreg_core.embed", "from mpreg_core.cli import main", "a layer above"),
        ("mpreg_core.node.core", "import time", "pure"),
        ("mpreg_core.node.core", "import os.path", "pure"),
        ("mpreg_core.contracts.transport", "from anyio.abc import TaskStatus", "pure"),
        ("mpreg_core.contracts.context", "import random", "pure"),
        ("mpreg_core.contracts.context", "from random import randint", "pure"),
        ("mpreg_core.state.store", "from random import Random", "pure"),
        ("mpreg_core.state.store", "if TYPE_CHECKING:\n    x = 1\nelse:\n    import uuid", "pure"),
        ("mpreg_core.sim.world", "import mpreg_detector_swim", "never imports a plugin"),
        ("mpreg_core.cli.demo", "from mpreg.production import ProductionNode", "never imports a plugin"),
        ("mpreg_core.client_frames", "import mpreg_core.cli", "a layer above"),
        ("mpreg_core.helpers.text", "", "has no layer"),
        ("mpreg_core.cli.main", "import mpreg_core.helpers.text", "has no layer"),
    ],
)
def test_a_planted_import_in_the_core_is_found(module: str, source: str, complaint: str) -> None:
    (found,) = core_complaints(source, module)
    assert complaint in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "mpreg_core.wire.codec",
            "import msgspec\nfrom mpreg_core import ids, __version__\nimport mpreg_core.state.clock",
        ),
        ("mpreg_core.wire.codec", "from . import envelope\nfrom .envelope import Envelope"),
        ("mpreg_core.node.core", "from random import Random"),
        ("mpreg_core.contracts.transport", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import anyio"),
        ("mpreg_core.runtime.clock", "import time\nfrom mpreg_core.node import core"),
        ("mpreg_core.cli.main", "from mpreg_core import Node\nfrom mpreg_core.assembly import build"),
    ],
)
def test_an_import_within_the_rules_is_left_alone(module: str, source: str) -> None:
    assert core_complaints(source, module) == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("from mpreg_core.contracts.effects import Send", "not public"),
        ("from mpreg_core import contracts", "not public"),
        ("import mpreg_core.node", "not public"),
        ("from mpreg_core.testing import check_strategy", "not public"),
        ("import mpreg_detector_phi.machine", "never imports another"),
        ("from mpreg.health import HealthChecker", "never imports another"),
    ],
)
def test_a_planted_import_in_a_plugin_is_found(source: str, complaint: str) -> None:
    (found,) = plugin_complaints(source, "mpreg_detector_swim.machine")
    assert complaint in found


def test_a_plugin_may_import_itself_and_the_public_core() -> None:
    source = "from mpreg_core import Send, __version__, client\nfrom mpreg_core.client import Client\nfrom . import x"
    assert plugin_complaints(source, "mpreg_detector_swim.machine") == []


def test_a_plugins_tests_may_also_import_the_simulator_and_the_kit() -> None:
    source = "from mpreg_core.testing import check_strategy\nfrom mpreg_core.sim import World"
    assert plugin_complaints(source, "mpreg_detector_swim.test_swim", is_test=True) == []


# --- the tree ---


def modules_under(folder: Path, base: Path) -> Iterator[tuple[str, str, bool]]:
    """Full name, text and whether it is a package, of each module under `folder`, which is imported from `base`."""
    for path in sorted(folder.rglob("*.py")):
        module = ".".join(path.relative_to(base).with_suffix("").parts)
        yield module.removesuffix(".__init__"), path.read_text(encoding="utf-8"), path.name == "__init__.py"


def test_the_core_keeps_its_layers_and_its_purity() -> None:
    complaints = []
    for module, source, is_package in modules_under(ROOT / "mpreg_core", ROOT):
        complaints += core_complaints(source, module, is_package=is_package)
    assert not complaints, "\n".join(complaints)


PROJECTS = [*sorted((ROOT / "plugins").iterdir()), ROOT / "contrib" / "mpreg-gossip-ring"]


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_a_plugin_sees_the_public_core_and_no_other_plugin(project: Path) -> None:
    complaints = []
    for module, source, is_package in modules_under(project / project.name.replace("-", "_"), project):
        complaints += plugin_complaints(source, module, is_package=is_package)
    for module, source, is_package in modules_under(project / "tests", project):
        own_name = f"{project.name.replace('-', '_')}.{module}"
        complaints += plugin_complaints(source, own_name, is_package=is_package, is_test=True)
    assert not complaints, "\n".join(complaints)
