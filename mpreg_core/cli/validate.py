"""`mpreg validate`: every problem of configuration files, with file, line and key path."""

from typing import Annotated

import typer

from mpreg_core.cli.exits import DONE, NO, say


def command(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Configuration files.")],
    plugins: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="As `mpreg run --plugins`.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="As `mpreg run --set`.")
    ] = None,
) -> None:
    """Check configuration files: every problem with file, line and key path."""
    outcomes = [validate(file, tuple(plugins or ()), tuple(sets or ())) for file in files]
    raise SystemExit(DONE if all(outcomes) else NO)


def validate(file: str, specs: tuple[str, ...] = (), sets: tuple[str, ...] = ()) -> bool:
    """Check one file against the installed plugins and say what is wrong with it; True if nothing is."""
    from mpreg_core.assembly import tiers_of
    from mpreg_core.config.load import read_config
    from mpreg_core.config.problems import ConfigProblems
    from mpreg_core.config.resolve import resolve
    from mpreg_core.errors import PluginError
    from mpreg_core.plugin.discovery import load_plugins

    others: list[str] = []
    try:
        config, problems = read_config(file, sets=sets)
        warnings = [*config.warnings]
        try:
            try:
                plugins = load_plugins(block=config.plugins.block, require=config.plugins.require)
            except PluginError as error:
                others.append(f"{file}: {error}")
                plugins = load_plugins(block=config.plugins.block)
            warnings += resolve(config, plugins, specs, tiers_of(config.node.hub_tier)).warnings
        except ConfigProblems as error:
            problems += [problem for problem in error.problems if problem not in problems]
        except PluginError as error:
            others = others or [f"{file}: {error}"]
    except ConfigProblems as error:
        problems, warnings = list(error.problems), []
    for problem in (*problems, *others):
        say(str(problem))
    for warning in warnings:
        say(f"warning: {warning}")
    count = len(problems) + len(others)
    verdict = "valid" if not count else f"{count} problem{'s' if count > 1 else ''}"
    print(f"{file}: {verdict}")
    return not count
