"""Writes the reference pages that follow from code: `python contrib/reference.py`.

The pages are contracts, hooks, effects, events and options; the options are those of the strategies that are installed,
so run it where all of mpreg's own plugins are.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from mpreg_core.cli.option_docs import descriptions, rows
from mpreg_core.contracts import effects, events, machine
from mpreg_core.contracts.consensus import ConsensusEngine, Proposal, Voters
from mpreg_core.contracts.context import ConsensusContext, GossipContext, StrategyContext
from mpreg_core.contracts.failure_detector import FailureDetector
from mpreg_core.contracts.gossip import GossipStrategy, Item, Replica
from mpreg_core.contracts.members import Member
from mpreg_core.contracts.router import Router, View
from mpreg_core.contracts.strategy import StrategySpec
from mpreg_core.contracts.transport import Transport
from mpreg_core.plugin import hookspecs
from mpreg_core.plugin.discovery import load_plugins

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"
NOTE = "<!-- Written by `python contrib/reference.py`; do not edit. -->\n"
CONTRACTS = (
    machine.Machine,
    StrategySpec,
    StrategyContext,
    Member,
    FailureDetector,
    GossipStrategy,
    GossipContext,
    Item,
    Replica,
    ConsensusEngine,
    ConsensusContext,
    Proposal,
    Voters,
    Router,
    View,
    Transport,
)
"""What every author needs first, then family by family."""


def pages() -> dict[str, str]:
    """Every generated page, by its file name."""
    return {
        "contracts.md": contracts(),
        "hooks.md": hooks(),
        "effects.md": effects_page(),
        "events.md": events_page(),
        "options.md": options(),
    }


def hooks() -> str:
    """What a plugin module may provide."""
    text = f"# Hooks\n\n{NOTE}\n{_prose(hookspecs.__doc__)}\n\n"
    text += f"Entry point group: `{hookspecs.ENTRY_POINT_GROUP}`. `from mpreg_core import hookimpl`.\n\n"
    for node in ast.parse(inspect.getsource(hookspecs)).body:
        if isinstance(node, ast.FunctionDef):
            text += f"## `{node.name}`\n\n{_function(node)}"
    return text.rstrip() + "\n"


def contracts() -> str:
    """What a strategy of each family has to be."""
    text = f"# Contracts\n\n{NOTE}\n{_prose(machine.__doc__)}\n\n"
    for kind in CONTRACTS:
        (tree,) = ast.parse(inspect.getsource(kind)).body
        assert isinstance(tree, ast.ClassDef)
        text += f"## `{kind.__name__}`\n\n{_prose(kind.__doc__)}\n\n"
        attributes = [f"- `{ast.unparse(node)}`\n" for node in tree.body if isinstance(node, ast.AnnAssign)]
        text += "".join(attributes) + ("\n" if attributes else "")
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                text += _function(node)
    return text.rstrip() + "\n"


def effects_page() -> str:
    """What a machine may return."""
    text = f"# Effects\n\n{NOTE}\n{_prose(effects.__doc__)}\n\n"
    for kind in (effects.Send, effects.Persist, effects.Emit):
        text += _struct(kind)
    return text.rstrip() + "\n"


def events_page() -> str:
    """The facts, under the headings of their module."""
    text = f"# Events\n\n{NOTE}\n{_prose(events.__doc__)}\n\n{_struct(events.Occurrence)}"
    for heading, names in _sections():
        text += f"## {heading[0].upper()}{heading[1:]}\n\n"
        text += "".join(_struct(getattr(events, name), level=3) for name in names)
    return text.rstrip() + "\n"


def options() -> str:
    """The options of every strategy and service that mpreg ships."""
    text = f"# Options of strategies and services\n\n{NOTE}\n"
    text += (
        "Keys beside `strategy` in the strategy's section; times are seconds, sizes bytes. `mpreg plugins show NAME` "
        "prints them for whatever is installed, a stranger's plugins as well.\n\n"
    )
    found = load_plugins()
    specs = [(family, name, each.spec) for (family, name), each in sorted(found.strategies.items())]
    specs += [("service", name, spec) for name, spec in sorted(found.services.items())]
    told: dict[type[Struct], str] = {}
    for family, name, spec in specs:
        heading = f"## {family.replace('_', ' ')}: {name}\n\n{spec.summary}\n\n"
        if spec.options in told:
            text += f"{heading}The same options as `{told[spec.options]}`.\n\n"
            continue
        told[spec.options] = name
        table = [_row(each) for each in rows(spec.options)]
        intro = descriptions(spec.options)[0]
        head = "| option | type | default | what it does |\n|---|---|---|---|\n"
        text += heading + (f"{intro}\n\n{head}{''.join(table)}\n" if table else "It has no options.\n\n")
    return text.rstrip() + "\n"


def _row(cells: tuple[str, str, str, str]) -> str:
    name, kind, default, what = (each.replace("|", "\\|") for each in cells)
    return f"| `{name}` | {kind} | {default} | {what} |\n"


def _struct(kind: type[Struct], level: int = 2) -> str:
    fields = "".join(f"    {line}\n" for line in _fields(kind))
    code = f"```python\n{kind.__name__}(\n{fields})\n```\n\n" if fields else ""
    return f"{'#' * level} `{kind.__name__}`\n\n{code}{_prose(kind.__doc__)}\n\n"


def _fields(kind: type[Struct]) -> Iterator[str]:
    """The fields as they stand in the source, with defaults."""
    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, ast.AnnAssign):
            yield f"{ast.unparse(node)},"


def _sections() -> Iterator[tuple[str, list[str]]]:
    """The comments that part the module of events, with the classes below each."""
    heading, names = "", list[str]()
    for line in inspect.getsource(events).splitlines():
        if line.startswith("# "):
            if names:
                yield heading, names
            heading, names = line[2:], []
        elif heading and (found := re.match(r"class (\w+)\(Event", line)):
            names.append(found[1])
    yield heading, names


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Its head as it stands in the source, and what it says."""
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    gives = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    head = f"{kind} {node.name}({ast.unparse(node.args)}){gives}".replace("'", "")
    return f"```python\n{head}\n```\n\n{_prose(ast.get_docstring(node))}\n\n"


def _prose(text: str | None) -> str:
    return inspect.cleandoc(text or "")


if __name__ == "__main__":
    for name, page in pages().items():
        (FOLDER / name).write_text(page)
