"""Verbs that are imported only when they are called, the built-in ones and those that plugins bring.

A plugin's commands are mounted under the plugin's name. Help lists a plugin whose module speaks of the hook
`mpreg_commands`, which reading its text tells; the plugin is imported when it is called, alone, so that a broken one
harms nobody else.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from mpreg_core.cli.exits import fail
from mpreg_core.cli.options import VerbCommand

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from importlib.metadata import EntryPoint

    from typer._click import Command, Context, HelpFormatter

PLUGINS = "From plugins"
PLUGIN_GROUP = "mpreg.v1"
HOOK = b"mpreg_commands"


class Verb(NamedTuple):
    """A verb: `mpreg_core.cli.<name>` holds it as the function `command` or as `app`, several below one name."""

    name: str
    section: str
    help: str

    def load(self) -> "Command":
        """Import it."""
        module = import_module(f"mpreg_core.cli.{self.name.replace('-', '_')}")
        if hasattr(module, "app"):
            return typer.main.get_command(module.app)
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(self.name, cls=VerbCommand)(module.command)
        return typer.main.get_command(single)


class PluginVerb(NamedTuple):
    """The commands of the plugin that an entry point names."""

    entry: "EntryPoint"
    section: str = PLUGINS

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.entry.name

    @property
    def help(self) -> str:
        """Which distribution it is from, in a line."""
        return f"Commands of {self.entry.dist.name if self.entry.dist else self.entry.value}."

    def load(self) -> "Command":
        """Import the plugin, or end the program and say why that is not possible."""
        from mpreg_core.plugin.discovery import load_plugins

        plugins = load_plugins(entry_points=[self.entry])
        for failure in plugins.failures:
            fail(str(failure.error))
        for skipped in plugins.skipped:
            fail(f"plugin {self.name} ({skipped.found.source}) is not loaded: {skipped.reason}")
        (loaded,) = plugins.loaded
        if loaded.commands is None:
            raise typer.BadParameter(f"plugin {self.name} ({loaded.found.source}) has no commands")
        try:
            made = loaded.commands()
            if not isinstance(made, typer.Typer):
                raise TypeError(f"mpreg_commands: expected a typer.Typer, got {made!r}")
            return typer.main.get_command(made)
        except Exception as error:
            fail(f"plugin {self.name} ({loaded.found.source}): {type(error).__name__}: {error}")


class Pending(TyperCommand):
    """A verb that is not imported yet: enough of a command for help and completion."""

    def __init__(self, verb: Verb | PluginVerb) -> None:
        super().__init__(verb.name, help=verb.help, add_help_option=False)
        self.verb = verb


class LazyGroup(TyperGroup):
    """A group of verbs. Help and completion leave them unloaded."""

    verbs: Sequence[Verb] = ()

    @classmethod
    def of(cls, verbs: Sequence[Verb]) -> "type[LazyGroup]":
        """The class of a group of these, as typer wants it."""
        return type("LazyGroup", (cls,), {"verbs": verbs})

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self.commands = {verb.name: Pending(verb) for verb in self.verbs}

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":
        """A verb, a pending one; a plugin's where no verb is called so."""
        if cmd_name not in self.commands:
            for entry in plugin_entries():
                if entry.name == cmd_name:
                    return Pending(PluginVerb(entry))
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: "Context") -> list[str]:
        """The verbs, then the plugins that have commands."""
        return [*self.commands, *sorted(entry.name for entry in plugin_entries() if self._is_listed(entry))]

    def _is_listed(self, entry: "EntryPoint") -> bool:
        return entry.name not in self.commands and speaks_of_commands(entry.module)

    def resolve_command(self, ctx: "Context", args: list[str]) -> "tuple[str | None, Command | None, list[str]]":
        """Import the verb that is called."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.verb.load() if isinstance(command, Pending) else command, rest

    def format_commands(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """The verbs by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            pending = self.get_command(ctx, name)
            assert isinstance(pending, Pending)
            sections.setdefault(pending.verb.section, []).append((name, pending.verb.help))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)


def plugin_entries(env: Mapping[str, str] = os.environ) -> "Iterable[EntryPoint]":
    """The installed plugins' entry points, unless none are wanted; nothing is imported."""
    from importlib.metadata import entry_points

    return () if env.get("MPREG_PLUGINS") == "none" else entry_points(group=PLUGIN_GROUP)


def speaks_of_commands(module: str) -> bool:
    """True if the text of a module has the hook's name in it. The module is not imported, nor its packages."""
    try:
        spec = _spec_of(module)
        if spec is None or spec.origin is None:
            return False
        with open(spec.origin, "rb") as file:
            return HOOK in file.read()
    except Exception:  # what a finder or a file may do is not for help to fail of; calling the plugin will tell
        return False


def _spec_of(module: str) -> "ModuleSpec | None":
    """Where a module is. `importlib.util.find_spec` would import its packages."""
    parts = module.split(".")
    path: Sequence[str] | None = None
    spec: ModuleSpec | None = None
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        spec = next((found for finder in sys.meta_path if (found := finder.find_spec(name, path))), None)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec
