"""`mpreg plugins check`: the conformance kit on a distribution's strategies, or on one of a module."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpreg_core.cli.exits import DONE, NO, USAGE, fail, say
from mpreg_core.cli.options import OutputOption, json_or_text
from mpreg_core.cli.output import Asked
from mpreg_core.cli.text import to_json

if TYPE_CHECKING:
    from mpreg_core.contracts.merge import MergePolicySpec
    from mpreg_core.contracts.strategy import AnySpec

STRATEGY_S, DEEP_STRATEGY_S = 300, 3600
"""How long the checks of one strategy may take: one that loops is stopped and named."""

MEMORY_BYTES_MAX = 4 << 30


def command(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A distribution, or module:SPEC.", show_default=False)
    ],
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="An option of the strategy.")
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Five times the seeds; takes minutes.")] = False,
    output: OutputOption = None,
) -> None:
    """Play the conformance kit on strategies; 1 when one of them does not conform."""
    from mpreg_core.errors import ConfigError, MpregError
    from mpreg_core.testing.finding import specs_of
    from mpreg_core.testing.kit import options_of

    options = dict(_option(text) for text in sets or ())
    if ":" in target:
        sys.path.insert(0, str(Path.cwd()))  # a file that one is writing, before it is installed
    try:
        specs = specs_of(target)
        for _, spec in specs:
            options_of(spec, options)
    except ConfigError as error:
        fail(str(error), USAGE)
    except MpregError as error:
        fail(str(error), NO)
    reports = [_checked(name, spec, options, deep) for name, spec in specs]
    if Asked("", "", output).json:
        print(to_json([{name: value for name, value in each.items() if name != "card"} for each in reports], indent=2))
    else:
        print("\n\n".join(report["card"] for report in reports))
    raise SystemExit(DONE if all(report["passed"] for report in reports) else NO)


def _option(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise typer.BadParameter(f"expected OPTION=VALUE, got {text!r}", param_hint="--set")
    return name, json_or_text(value)


def _checked(name: str, spec: "AnySpec | MergePolicySpec", options: dict[str, Any], deep: bool) -> dict[str, Any]:
    """The report on one strategy, made in a process that has an end: the strategy is a stranger's code."""
    limit_s = DEEP_STRATEGY_S if deep else STRATEGY_S
    say(f"mpreg: checking {_family(spec)} {spec.name} ...")
    asked = json.dumps({"name": name, "options": options, "deep": deep})
    command = [sys.executable, "-m", "mpreg_core.cli.plugins_check", asked]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return _hopeless(spec, f"no end of the checks after {limit_s} s: it loops, or does far too much")
    if done.returncode != 0:
        said = done.stderr.strip().rpartition("\n")[2] or f"the process ended with {done.returncode}"
        return _hopeless(spec, f"the checks could not be played: {said}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _hopeless(spec: "AnySpec | MergePolicySpec", why: str) -> dict[str, Any]:
    card = f"{_family(spec)} {spec.name}: failed\n  {why}"
    return {"strategy": spec.name, "family": _family(spec), "passed": False, "findings": [], "card": card}


def _family(spec: "AnySpec | MergePolicySpec") -> str:
    return getattr(spec, "family", "merge_policy")


def _play(asked: str) -> None:
    """In the process of its own: play, and print the report as JSON."""
    import resource

    from mpreg_core.testing import check_strategy
    from mpreg_core.testing.finding import spec_named

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    wanted = json.loads(asked)
    report = check_strategy(spec_named(wanted["name"]), wanted["options"], deep=wanted["deep"], name=wanted["name"])
    found: Any = report.as_json()
    print(json.dumps({**found, "card": str(report)}))


if __name__ == "__main__":
    _play(sys.argv[1])
