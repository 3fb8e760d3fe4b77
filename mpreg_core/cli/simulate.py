"""`mpreg simulate`: a fleet in the simulator, with faults, and what it promised looked at."""

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
        str, typer.Option(metavar="AxBxC[xD]", help="Global hubs, regions, local hubs each, cluster nodes each.")
    ] = "1x2x2",
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

    try:
        plans = [("run", plan(shape, config, tuple(plugins or ()), seed, duration, faults))]
        if compare:
            plans = [
                (" ".join(plugins or ()) or "as configured", plans[0][1]),
                (" ".join(compare), plan(shape, config, tuple(compare), seed, duration, faults)),
            ]
    except InvalidInputError as error:
        fail(str(error), USAGE)
    except (ConfigError, PluginError) as error:
        fail(str(error), REFUSED)
    try:
        outcomes = [(name, _played(name, each)) for name, each in plans]
    except RunawayError as error:
        fail(str(error), NO)
    again = replay(shape, config, tuple(plugins or ()), seed, duration, plans[0][1].faults)
    _write(outcomes, Asked("", "", output), report, again)
    for name, outcome in outcomes:
        _explain(name, outcome, shape, config, tuple(plugins or ()))
    raise SystemExit(DONE if all(outcome.held for _, outcome in outcomes) else NO)


def plan(shape: str, config: str | None, specs: tuple[str, ...], seed: int, duration_s: float, faults: str) -> "Plan":
    """What to run. Raises `InvalidInputError`, `ConfigError`, `PluginError`."""
    from mpreg_core.assembly import parts_of
    from mpreg_core.config.load import load_config, read_config
    from mpreg_core.config.resolve import resolve
    from mpreg_core.errors import InvalidInputError
    from mpreg_core.plugin.discovery import load_plugins
    from mpreg_core.sim.faults import parse_faults
    from mpreg_core.sim.fleet import Fleet, parse_shape
    from mpreg_core.sim.scenario import Plan

    try:
        numbers = parse_shape(shape)
    except ValueError as error:
        raise InvalidInputError(str(error), where="--shape") from error
    chosen = load_config(config) if config is not None else read_config(data={}, env={})[0]
    parts = parts_of(resolve(chosen, load_plugins(), specs))
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


def replay(
    shape: str, config: str | None, specs: tuple[str, ...], seed: int, duration_s: float, faults: "Schedule"
) -> str:
    """The one command that gives the same run again."""
    words = ["mpreg", "simulate", "--shape", shape, "--seed", str(seed), "--duration", f"{duration_s:g}"]
    words += ["--faults", ",".join(str(fault) for fault in faults) or "none"]
    words += ["--config", config] if config else []
    for spec in specs:
        words += ["--plugins", spec]
    return shlex.join(words)


def _explain(name: str, outcome: "Outcome", shape: str, config: str | None, specs: tuple[str, ...]) -> None:
    """Say what was broken, and by how few faults."""
    from mpreg_core.sim.scenario import shrunk

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
    say(f"again: {replay(shape, config, specs, wanted.seed, wanted.duration_s, fewer)}")
