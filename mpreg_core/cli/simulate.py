"""`mpreg simulate`: a fleet in the simulator, with faults, and what it promised looked at."""

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mpreg_core.cli.exits import DONE, NO, REFUSED, USAGE, fail, say
from mpreg_core.cli.options import OutputOption
from mpreg_core.cli.output import Asked, print_drawn
from mpreg_core.cli.text import facts, to_json

if TYPE_CHECKING:
    from mpreg_core.sim.faults import Schedule
    from mpreg_core.sim.scenario import Outcome, Plan

SHRINK_RUNS_MAX = 40


def command(
    shape: Annotated[
        list[str],
        typer.Option(
            metavar="AxBxC[xD]",
            help="Global hubs, regions, local hubs each, cluster nodes each; given again, both sizes are run.",
        ),
    ] = ["1x2x2"],  # noqa: B006
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="Take the strategies of this file.", show_default=False),
    ] = None,
    plugins: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="As `mpreg run --plugins`.")] = None,
    compare: Annotated[
        list[str] | None, typer.Option(metavar="SPEC", help="Run it again with these, and show both side by side.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="The same seed gives the same digest.")] = 1,
    duration: Annotated[float, typer.Option(metavar="S", min=1, max=86_400, help="Virtual seconds of work.")] = 60.0,
    faults: Annotated[
        str,
        typer.Option(metavar="SPEC", help="none, default, or KIND[:TARGET][*AMOUNT][@AT[+FOR]], comma-separated."),
    ] = "default",
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write report.html and figures.json there.", show_default=False)
    ] = None,
    output: OutputOption = None,
) -> None:
    """Run a fleet in the simulator: forms, works, suffers, recovers; 1 when a promise was not kept."""
    from mpreg_core.errors import ConfigError, InvalidInputError, PluginError
    from mpreg_core.sim.world import RunawayError

    sides = [tuple(plugins or ()), *([tuple(compare)] if compare else [])]
    try:
        runs = [
            Wanted(_named(each, specs, shape, sides), each, specs, plan(each, config, specs, seed, duration, faults))
            for each in shape
            for specs in sides
        ]
    except InvalidInputError as error:
        fail(str(error), USAGE)
    except (ConfigError, PluginError) as error:
        fail(str(error), REFUSED)
    try:
        outcomes = [(run.name, _played(run.name, run.plan)) for run in runs]
    except RunawayError as error:
        fail(str(error), NO)
    again = " && ".join(replay(run, config, run.plan.faults) for run in runs)
    _write(outcomes, Asked("", "", output), report, again)
    for run, (name, outcome) in zip(runs, outcomes, strict=True):
        _explain(name, outcome, run, config)
    raise SystemExit(DONE if all(outcome.held for _, outcome in outcomes) else NO)


class Wanted(NamedTuple):
    """A run that was asked for: what tells it from the others, and what it is made of."""

    name: str
    shape: str
    specs: tuple[str, ...]
    plan: "Plan"


def _named(shape: str, specs: tuple[str, ...], shapes: Sequence[str], sides: Sequence[object]) -> str:
    words = [shape] if len(shapes) > 1 else []
    if len(sides) > 1:
        words.append(" ".join(specs) or "as configured")
    return ", ".join(words) or "run"


def plan(shape: str, config: str | None, specs: tuple[str, ...], seed: int, duration_s: float, faults: str) -> "Plan":
    """What to run. Raises `InvalidInputError`, `ConfigError`, `PluginError`."""
    from mpreg_core.errors import InvalidInputError
    from mpreg_core.sim import Fleet, Plan, parse_faults, parse_shape
    from mpreg_core.testing import installed_parts

    try:
        numbers = parse_shape(shape)
    except ValueError as error:
        raise InvalidInputError(str(error), where="--shape") from error
    parts = installed_parts(*specs, config=config)
    regions = Fleet.names_of(*numbers)
    return Plan(parts, numbers, seed, duration_s, parse_faults(_listed(faults), regions, seed, duration_s))


def _listed(faults: str) -> str:
    """The faults as they are, or those of a YAML file that lists them. Raises `InvalidInputError`, `ConfigError`."""
    from mpreg_core.config.yaml import read_file
    from mpreg_core.errors import InvalidInputError

    if not faults.endswith((".yaml", ".yml")):
        return faults
    found, _ = read_file(Path(faults))
    listed = found.get("faults") if isinstance(found, dict) else None
    if not isinstance(listed, list) or not all(isinstance(fault, str) for fault in listed):
        raise InvalidInputError(f"expected a list of texts under the key faults, got {listed!r:.80}", where=faults)
    return ",".join(listed) or "none"


def _played(name: str, wanted: "Plan") -> "Outcome":
    from mpreg_core.sim.scenario import Run

    with _progress(name) as on_progress:
        return Run(wanted, on_progress).play()


@contextmanager
def _progress(name: str) -> Iterator[Callable[[float], None]]:
    """A bar on a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda share: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=1.0)
        yield lambda share: progress.update(task, completed=share)


def _write(outcomes: Sequence[tuple[str, "Outcome"]], asked: Asked, report: Path | None, again: str) -> None:
    from mpreg_core.sim.report import figures, page

    found = [figures(name, outcome) for name, outcome in outcomes]
    if asked.json:
        print(to_json(found if len(found) > 1 else found[0], indent=2))
    else:
        for each in found:
            print_drawn(
                facts({name.replace("_", " "): value for name, value in each.items() if value not in (None, [])})
            )
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)
        (report / "report.html").write_text(page(outcomes, again))
        stamp = {"written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "again": again, "runs": found}
        (report / "figures.json").write_text(json.dumps(stamp, indent=2) + "\n")
        say(f"mpreg: the report is in {report / 'report.html'}")


def replay(run: Wanted, config: str | None, faults: "Schedule") -> str:
    """The one command that gives the same run again."""
    seed, duration_s = run.plan.seed, run.plan.duration_s
    words = ["mpreg", "simulate", "--shape", run.shape, "--seed", str(seed), "--duration", f"{duration_s:g}"]
    words += ["--faults", ",".join(str(fault) for fault in faults) or "none"]
    words += ["--config", config] if config else []
    for spec in run.specs:
        words += ["--plugins", spec]
    return shlex.join(words)


def _explain(name: str, outcome: "Outcome", run: Wanted, config: str | None) -> None:
    """Say what was broken, and by how few faults."""
    from mpreg_core.sim.shrink import shrunk

    if outcome.held:
        return
    for check, what in outcome.violations:
        say(f"mpreg: {name}: {check.replace('_', ' ')}: {what}")
    wanted = outcome.plan
    if wanted.faults and outcome.formed_s is not None:
        say(f"mpreg: looking for fewer faults that do it, in at most {SHRINK_RUNS_MAX} runs ...")
        fewer = shrunk(wanted, runs_max=SHRINK_RUNS_MAX)
    else:
        fewer = wanted.faults
    say(f"again: {replay(run, config, fewer)}")
