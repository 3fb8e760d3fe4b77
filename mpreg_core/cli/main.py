"""The command line's front door: which verb is where."""

import typer

from mpreg_core.cli import run as run_verb
from mpreg_core.cli import validate

app = typer.Typer(
    name="mpreg",
    help="A federation of clusters whose every protocol is a plugin.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("run")(run_verb.command)
app.command("validate")(validate.command)


def run() -> None:
    """The entry point `mpreg`."""
    app()
