"""`mpreg plugins new`: a plugin project that conforms from its first day, made from a family's simplest strategy."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mpreg_core.cli.exits import NO, USAGE, fail

NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


@dataclass(frozen=True, slots=True)
class Template:
    """A family's part of the project: names in `mpreg_core.testing.stand_ins`, its one option, and what to import."""

    machine: str
    message: str
    hook: str
    spec: str
    option: str
    edits: Mapping[str, str]
    needs: str


TEMPLATES = {
    "failure_detector": Template(
        machine="Heartbeats",
        message="Beat",
        hook="mpreg_failure_detectors",
        spec="FailureDetectorSpec",
        option='    - `silence_s`: a member that is not heard for so long is failed.\n    """\n\n'
        "    silence_s: Annotated[float, Meta(gt=0, le=3600)] = 8.0\n",
        edits={
            "    silence_ns = 8 * NS_PER_S\n\n": "",
            "        self.me = context.me.id\n": "        self.me = context.me.id\n"
            "        self.silence_ns = ns(options.silence_s)\n",
        },
        needs="NOTHING, NS_PER_MS, NS_PER_S, Effect, Effects, Emit, Evidence, Member, NodeId, RoundTrip, Send, "
        "StrategyContext, Verdict, ns",
    ),
    "gossip": Template(
        machine="Rumours",
        message="Told",
        hook="mpreg_gossip_strategies",
        spec="GossipSpec",
        option='    - `fanout`: how many members hear of news at once.\n    """\n\n'
        "    fanout: Annotated[int, Meta(ge=1, le=100)] = 4\n",
        edits={
            "    fanout = 4\n\n": "",
            "        self.context = context\n": "        self.context = context\n"
            "        self.fanout = options.fanout\n",
        },
        needs="DIGEST_FANOUT, NOTHING, NS_PER_S, Delivered, Effects, Emit, GossipContext, Item, Member, NodeId, Send",
    ),
    "routing": Template(
        machine="Straight",
        message="",
        hook="mpreg_routers",
        spec="RouterSpec",
        option='    - `hop_cost_ms`: what each hop is said to cost.\n    """\n\n'
        "    hop_cost_ms: Annotated[float, Meta(gt=0, le=60_000)] = 1.0\n",
        edits={
            "        self.view: View | None = None\n": "        self.view: View | None = None\n"
            "        self.cost_ns = ns(options.hop_cost_ms / 1000)\n",
            "Forward(way, NS_PER_MS, ": "Forward(way, self.cost_ns, ",
        },
        needs="NOTHING, Effects, Forward, Local, NodeId, Policy, Refuse, Route, StrategyContext, Target, View, ns",
    ),
}


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where; must not be there or be empty.")],
    family: Annotated[str, typer.Option(metavar="FAMILY", help=f"{', '.join(TEMPLATES)}.")] = "failure_detector",
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The strategy's name; default: DIR's.", show_default=False)
    ] = None,
) -> None:
    """Make a plugin project: a strategy that works and conforms, its tests, and how to go on."""
    from mpreg_core.errors import did_you_mean

    if family in ("consensus", "transport"):
        fail(
            f"--family: {family} has no starting point that is small and keeps the contract: begin from a shipped one "
            "(mpreg-consensus-quorum, mpreg-transport-tcp) and `mpreg plugins check`",
            USAGE,
        )
    if family not in TEMPLATES:
        fail(
            f"--family: expected one of {', '.join(TEMPLATES)}{did_you_mean(family, list(TEMPLATES))}, got {family!r}",
            USAGE,
        )
    chosen = name if name is not None else folder.name.removeprefix("mpreg-").replace("-", "_")
    if not NAME.fullmatch(chosen):
        fail(f"--name: expected lower-case letters, digits and _, beginning with a letter, got {chosen!r}", USAGE)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        fail(f"{folder} is there already: name a folder that is not, or an empty one", NO)
    for path, text in project(chosen, family).items():
        where = folder / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text)
    print(
        f"{folder}: a {family} strategy {chosen!r}. Next:\n\n  cd {folder}\n  pip install -e .\n  pytest\n  "
        f"mpreg plugins check mpreg-{chosen.replace('_', '-')}\n  mpreg demo --plugins {chosen}"
    )


def project(name: str, family: str) -> dict[str, str]:
    """The files of a project, by their path in it."""
    template, package = TEMPLATES[family], f"mpreg_{name}"
    kind = "".join(part.capitalize() for part in name.split("_"))
    values = {
        "name": name,
        "dist": f"mpreg-{name.replace('_', '-')}",
        "package": package,
        "kind": kind,
        "family": family,
        "hook": template.hook,
        "spec": template.spec,
        "message": template.message,
        "messages": f"({template.message},)" if template.message else "()",
    }
    files = {
        "pyproject.toml": PYPROJECT,
        "README.md": README,
        "tox.ini": TOX,
        f"{package}/__init__.py": '"""The strategy {name} for mpreg."""\n\n__version__ = "0.1.0"\n',
        f"{package}/py.typed": "",
        f"{package}/options.py": OPTIONS.replace("<option>", template.option),
        f"{package}/plugin.py": PLUGIN if template.message else PLUGIN.replace(_MESSAGE_IMPORT, ""),
        "tests/test_conformance.py": TESTS,
    }
    made = {path: _filled(text, values) for path, text in files.items()}
    made[f"{package}/machine.py"] = _machine(template, kind, package)
    made[f"{package}/messages.py"] = _messages(template)
    return made


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _machine(template: Template, kind: str, package: str) -> str:
    """The stand-in's source, under its new name and with an option of its own."""
    from mpreg_core.testing import stand_ins

    source = inspect.getsource(getattr(stand_ins, template.machine))
    edits = {
        **template.edits,
        f"class {template.machine}:": f"class {kind}:",
        "options: NoOptions": f"options: {kind}Options",
    }
    for old, new in edits.items():
        assert old in source, old
        source = source.replace(old, new)
    source = source.replace("Watching(", "Snapshot(")
    top = ["from collections import deque"] if "deque" in source else []
    top += ["from collections.abc import Sequence"] if "Sequence[" in source else []
    top += ["from typing import Any"] if "Any)" in source else []
    own = f", {template.message}" if template.message else ""
    return (
        '"""The strategy: a pure machine. Time and chance come in, effects go out; see mpreg\'s contracts."""\n\n'
        + "\n".join(top)
        + "\n\nfrom mpreg_core import (\n"
        + "".join(f"    {each},\n" for each in template.needs.split(", "))
        + f")\nfrom msgspec import Struct\n\nfrom {package}.messages import Snapshot{own}\n"
        + f"from {package}.options import {kind}Options\n\n\n{source}"
    )


def _messages(template: Template) -> str:
    from mpreg_core.testing import stand_ins

    head = '"""What goes over the wire. Fields are only ever appended, with defaults."""\n\n'
    imports = "from msgspec import Struct\n"
    if template.message:
        made: Any = getattr(stand_ins, template.message)
        source = inspect.getsource(made)
        imports = "from mpreg_core import Item\nfrom msgspec import Struct\n" if "Item" in source else imports
        imports += f"\n\n{source}"
    return head + imports + SNAPSHOT


_MESSAGE_IMPORT = "from {package}.messages import {message}\n"

SNAPSHOT = '''

class Snapshot(Struct, frozen=True):
    """What `mpreg status` and checkers see of it."""

    known: int
'''

PYPROJECT = """[build-system]
requires = ["flit_core>=3.12"]
build-backend = "flit_core.buildapi"

[project]
name = "{dist}"
version = "0.1.0"
description = "mpreg plugin: the {family} strategy {name}."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["mpreg-core"]

[project.optional-dependencies]
test = ["pytest"]

[project.entry-points."mpreg.v1"]
{name} = "{package}.plugin"

[tool.flit.module]
name = "{package}"
"""

README = """# {dist}

The {family} strategy `{name}` for mpreg.

    pip install -e .[test]
    pytest                                    # the conformance kit, and your own tests
    mpreg plugins check {dist}        # the same kit, as a report card
    mpreg demo --plugins {name}               # a federation that runs it, over real sockets
    mpreg simulate --plugins {name}           # and one under faults

`{package}/machine.py` is the strategy, `options.py` what an operator may set, `messages.py` what goes over the wire,
`plugin.py` what the entry point names.
"""

TOX = """[tox]
env_list = py

[testenv]
extras = test
commands = pytest {posargs}
"""

OPTIONS = '''"""The options of `{name}`."""

from typing import Annotated

from msgspec import Meta, Struct


class {kind}Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator may set. Times are seconds.

<option>'''

PLUGIN = '''"""What the entry point names: the spec of `{name}`."""

from collections.abc import Sequence

from mpreg_core import {spec}, hookimpl

from {package}.machine import {kind}
from {package}.messages import {message}
from {package}.options import {kind}Options

SPEC = {spec}(
    name="{name}",
    summary="Say in a line what it does.",
    options={kind}Options,
    messages={messages},
    create={kind},
)


@hookimpl
def {hook}() -> Sequence[object]:
    """Provide `{name}`."""
    return (SPEC,)
'''

TESTS = '''"""The strategy keeps mpreg's contract. Add what is special about yours."""

from {package}.plugin import SPEC


def test_it_conforms(mpreg_conformance):
    print(mpreg_conformance(SPEC))
'''
