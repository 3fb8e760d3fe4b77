"""`mpreg plugins`: what is installed on this machine, selected where, and why it failed. No node is asked."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from mpreg_core.cli.exits import NO, fail, say
from mpreg_core.cli.options import OutputOption, VerbCommand, group
from mpreg_core.cli.output import Asked, write
from mpreg_core.cli.plugins_check import command as check
from mpreg_core.cli.plugins_new import command as new

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mpreg_core.config.model import NodeConfig
    from mpreg_core.contracts.service import ServiceSpec
    from mpreg_core.contracts.strategy import AnySpec
    from mpreg_core.plugin.registry import Found, Loaded, Plugins

app = group("Show what is installed, or why it failed to load; check or begin one of your own. No node is needed.")
app.command("check", cls=VerbCommand)(check)
app.command("new", cls=VerbCommand)(new)

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="Also show where this file selects it.", show_default=False),
]
SpecsOption = Annotated[list[str] | None, typer.Option("--plugins", metavar="SPEC", help="As `mpreg run --plugins`.")]
SetsOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="As `mpreg run --set`.")
]

Places = Mapping[tuple[str, str], Sequence[str]]
"""(family, strategy) -> the tiers whose pools run it."""


class Installed(NamedTuple):
    """The plugins of this machine, where a configuration selects them (None = there is none), and what is wrong."""

    plugins: "Plugins"
    places: Places | None
    problems: Sequence[str]


@app.command("list", cls=VerbCommand)
def list_plugins(
    config: ConfigOption = None,
    specs: SpecsOption = None,
    sets: SetsOption = None,
    output: OutputOption = None,
) -> None:
    """List the plugins with what they provide, or why they failed; 1 when the configuration cannot have its own."""
    installed = look(config, tuple(specs or ()), tuple(sets or ()))
    listed: Any = installed.plugins.as_json()
    if installed.places is not None:
        for strategy in (strategy for row in listed for strategy in row.get("strategies", ())):
            strategy["selected"] = list(installed.places.get((strategy["family"], strategy["name"]), ()))
    write(listed, draw_list, Asked("", "", output))
    _end(installed)


@app.command("show", cls=VerbCommand)
def show_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A strategy, service or plugin.", show_default=False)],
    config: ConfigOption = None,
    specs: SpecsOption = None,
    sets: SetsOption = None,
    output: OutputOption = None,
) -> None:
    """Show a strategy or service with its options; as JSON Schema with --output json."""
    installed = look(config, tuple(specs or ()), tuple(sets or ()))
    found = _find(installed.plugins, name)
    sheets = [_sheet(spec, plugin.found, installed.places) for plugin, spec in found]
    asked = Asked("", "", output)
    if asked.json:
        write(sheets[0] if len(sheets) == 1 else sheets, _as_is, asked)
    else:
        write([(sheet, spec.options) for sheet, (_, spec) in zip(sheets, found, strict=True)], draw_sheets, asked)
    _end(installed)


def look(config: str | None, specs: tuple[str, ...], sets: tuple[str, ...]) -> Installed:
    """Load the plugins, as a node with this configuration would. Ends the program where two provide the same."""
    from mpreg_core.config.load import read_config
    from mpreg_core.config.problems import ConfigProblems
    from mpreg_core.errors import ConfigError, PluginError
    from mpreg_core.plugin.discovery import load_plugins

    try:
        if config is None and not specs and not sets:
            return Installed(load_plugins(), None, ())
        try:
            settings, found = read_config(config, sets=sets)
        except ConfigProblems as error:
            return Installed(load_plugins(), None, [str(problem) for problem in error.problems])
        problems = [str(problem) for problem in found]
        try:
            plugins = load_plugins(block=settings.plugins.block, require=settings.plugins.require)
        except PluginError as error:
            plugins = load_plugins(block=settings.plugins.block)
            problems.append(str(error))
        places, more = _resolved(settings, plugins, specs)
        return Installed(plugins, places, list(dict.fromkeys([*problems, *more])))
    except (ConfigError, PluginError) as error:
        fail(str(error))


def _resolved(config: "NodeConfig", plugins: "Plugins", specs: tuple[str, ...]) -> tuple[Places | None, list[str]]:
    """Where the pools of the configured node run which strategy, or the problems with that."""
    from mpreg_core.assembly import tiers_of
    from mpreg_core.config.problems import ConfigProblems
    from mpreg_core.config.resolve import resolve
    from mpreg_core.errors import PluginError

    try:
        resolved = resolve(config, plugins, specs, tiers_of(config.node.hub_tier))
    except ConfigProblems as error:
        return None, [str(problem) for problem in error.problems]
    except PluginError as error:
        return None, [str(error)]
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for tier, pool in resolved.pools.items():
        for family, name in pool.names().items():
            places[family, name].append(tier)
    return places, []


def _find(plugins: "Plugins", name: str) -> "list[tuple[Loaded, AnySpec | ServiceSpec[Any]]]":
    """What is called so: strategies and services, else all that a plugin or distribution of this name provides."""
    from mpreg_core.errors import did_you_mean

    provided = [(plugin, spec) for plugin in plugins.loaded for spec in (*plugin.strategies, *plugin.services)]
    by_name = [(plugin, spec) for plugin, spec in provided if spec.name == name]
    if by_name:
        return by_name
    for failure in plugins.failures:
        if name in _names(failure.found):
            fail(str(failure.error))
    for skipped in plugins.skipped:
        if name in _names(skipped.found):
            fail(f"plugin {skipped.found.name} ({skipped.found.source}) is not loaded: {skipped.reason}")
    if named := [plugin for plugin in plugins.loaded if name in _names(plugin.found)]:
        if by_plugin := [(plugin, spec) for plugin, spec in provided if plugin in named]:
            return by_plugin
        fail(f"plugin {named[0].found.name} ({named[0].found.source}) provides no strategy or service to show")
    known = sorted({spec.name for _, spec in provided} | {plugin.found.name for plugin in plugins.loaded})
    fail(f"no strategy, service or plugin is called {name!r}{did_you_mean(name, known)} (known: {', '.join(known)})")


def _names(found: "Found") -> tuple[str, str]:
    """What a plugin is called by."""
    return found.name, found.distribution


def _sheet(spec: "AnySpec | ServiceSpec[Any]", found: "Found", places: Places | None) -> dict[str, Any]:
    """The JSON Schema of the options, and beside its own words what they belong to."""
    from mpreg_core.cli.option_docs import schema

    family = getattr(spec, "family", "service")
    about: dict[str, Any] = {
        "name": spec.name,
        "family": family,
        "summary": spec.summary,
        "plugin": found.name,
        "distribution": found.distribution,
        "version": found.version,
    }
    if places is not None:
        about["selected"] = list(places.get((family, spec.name), ()))
    return about | schema(spec.options)


def draw_list(listed: Any) -> "RenderableType":
    """A row per plugin."""
    from mpreg_core.cli.text import table

    selects = any("selected" in strategy for row in listed for strategy in row.get("strategies", ()))
    return table(
        ("PLUGIN", "FROM", "STATUS", "PROVIDES", *(["SELECTED"] if selects else [])),
        (
            (
                row["name"],
                f"{row['distribution']} {row['version']}",
                row["status"],
                row.get("error") or _provided(row),
                *([_selected(row)] if selects else []),
            )
            for row in listed
        ),
        fold=("FROM", "PROVIDES", "SELECTED"),
    )


def draw_sheets(sheets: Any) -> "RenderableType":
    """Each strategy or service: its facts, then a row per option."""
    from mpreg_core.cli.option_docs import rows
    from mpreg_core.cli.text import facts, stack, table

    parts: list[RenderableType] = []
    for sheet, options in sheets:
        about = {name: sheet[name] for name in ("name", "family", "summary", "plugin")}
        about["from"] = f"{sheet['distribution']} {sheet['version']}"
        if "selected" in sheet:
            about["selected"] = sheet["selected"]
        columns = ("OPTION", "TYPE", "DEFAULT", "MEANING")
        parts += [facts(about), table(columns, rows(options), fold=("TYPE", "MEANING"))]
    return stack(*parts)


def _provided(row: Any) -> str:
    """`gossip: hybrid, random; service: admin-http`."""
    families: dict[str, list[str]] = defaultdict(list)
    for spec in row["strategies"]:
        families[spec["family"]].append(spec["name"])
    families |= {"service": row["services"]} if row["services"] else {}
    families |= {"policy": row["policies"]} if row.get("policies") else {}
    return "; ".join(f"{family}: {', '.join(names)}" for family, names in families.items())


def _selected(row: Any) -> str:
    """The tiers whose pools run the plugin's strategy, named where it has several: `hybrid: local, regional`."""
    strategies = row.get("strategies", ())
    places = [(spec["name"], ", ".join(spec["selected"])) for spec in strategies if spec["selected"]]
    return "; ".join(tiers if len(strategies) == 1 else f"{name}: {tiers}" for name, tiers in places)


def _as_is(_answer: Any) -> "RenderableType":
    raise AssertionError("only written as JSON")


def _end(installed: Installed) -> None:
    """Say what is wrong with the configuration, after the data."""
    for problem in installed.problems:
        say(problem)
    if installed.problems:
        raise SystemExit(NO)
