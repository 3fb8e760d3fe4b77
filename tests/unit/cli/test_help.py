"""Help is complete, fits 80 columns and imports no verb; words that the command line repeats are the contracts'."""

import json
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from typer.core import TyperGroup

from mpreg_core.cli import events, options, reference
from mpreg_core.cli.main import VERBS
from mpreg_core.contracts import api, members, router

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "cli.md"
HEAVY = ("rich", "httpx2", "msgspec", "anyio", "yaml", "pluggy", "mpreg_core.config", "mpreg_core.plugin")
NAMES = [verb.name for verb in VERBS]


def verb_of(name):
    return next(verb for verb in VERBS if verb.name == name)


def leaves(command, name):
    if isinstance(command, TyperGroup):
        return [
            (*path, leaf) for below, one in command.commands.items() for *path, leaf in leaves(one, f"{name} {below}")
        ]
    return [(name, command)]


def test_help_lists_every_verb_in_one_line_of_80_columns(cli):
    lines = cli("--help").stdout.splitlines()
    for verb in VERBS:
        assert [line for line in lines if re.match(rf"  {verb.name} +{re.escape(verb.help)}$", line)], verb.name
    assert max(map(len, lines)) <= 80


def test_help_imports_no_verb_and_nothing_heavy():
    code = (
        "import sys, json, mpreg_core.cli.main as main\n"
        "try: main.app(['--help'])\n"
        "except SystemExit: print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = json.loads(done.stderr)
    assert "mpreg_core.cli.main" in modules
    verbs = [f"mpreg_core.cli.{verb.name}" for verb in VERBS]
    assert [name for name in modules if name in verbs or name.startswith(HEAVY)] == []


def test_a_verb_imports_no_other_verb():
    code = (
        "import sys, mpreg_core.cli.main as main\n"
        "try: main.app(['drain', '--help'])\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {
        name.removeprefix("mpreg_core.cli.") for name in done.stderr.split() if name.startswith("mpreg_core.cli.")
    }
    assert loaded & set(NAMES) == {"drain"}


@pytest.mark.parametrize("name", NAMES)
def test_each_verb_tells_of_itself_and_of_each_option(name):
    for path, command in leaves(verb_of(name).load(), name):
        assert command.help, path
        for param in command.params:
            assert param.name == "help" or getattr(param, "help", None), f"{path}: {param.name} has no help"


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_tells_of_each_verb_as_it_is(name):
    text = PAGE.read_text(encoding="utf-8")
    assert reference.sheet(verb_of(name)) in text, "run: python -m mpreg_core.cli.reference > docs/reference/cli.md"


def test_the_reference_tells_of_no_other_verb():
    text = PAGE.read_text(encoding="utf-8")
    assert text.startswith(reference.INTRO)
    assert {heading.split()[0] for heading in re.findall(r"^### mpreg (.+)$", text, re.MULTILINE)} <= set(NAMES)


@pytest.mark.parametrize("path", reference.EXAMPLES)
def test_the_examples_of_the_reference_are_valid(path):
    program, *args = shlex.split(reference.EXAMPLES[path])
    assert (program, args[: path.count(" ") + 1]) == ("mpreg", path.split())
    command, given = verb_of(args[0]).load(), args[1:]
    if isinstance(command, TyperGroup):
        command, given = command.commands[args[1]], args[2:]
    command.make_context(path, given)


def test_the_version_is_printed(cli):
    from mpreg_core import __version__

    assert cli("--version").stdout == f"mpreg {__version__}\n"


def test_no_arguments_show_help(cli):
    result = cli()
    assert result.exit_code == 2
    assert "Usage: mpreg [OPTIONS] COMMAND" in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("repeated", "original"),
    [
        (options.Scope, api.Scope),
        (options.Consistency, api.Consistency),
        (options.RoutePolicy, router.Policy),
        (options.MemberStatus, members.Status),
        (options.ClusterStatus, get_type_hints(api.Cluster)["status"]),
    ],
)
def test_the_words_of_the_options_are_those_of_the_contracts(repeated, original):
    assert get_args(repeated) == get_args(original)


@pytest.mark.skipif(find_spec("mpreg_admin_http") is None, reason="the HTTP API is not installed")
def test_the_bounds_of_the_options_are_those_of_the_api():
    from mpreg_admin_http import messages, ring

    assert events.KEPT_MAX == ring.KEPT_MAX
    assert messages.Timeout.__metadata__[0].le == options.TIMEOUT_S_MAX


@pytest.mark.parametrize(
    ("args", "full"),
    [
        (["--watch"], ["--watch", "2.0"]),
        (["--watch", "5"], ["--watch", "5"]),
        (["-w", "--pool", "p"], ["-w", "2.0", "--pool", "p"]),
        (["--watch=5"], ["--watch=5"]),
        (["--", "--watch"], ["--", "--watch"]),
    ],
)
def test_watch_may_come_without_its_number(args, full):
    assert options.with_interval(args) == full
