"""`mpreg shutdown`: a node drains, announces its departure and stops."""

import sys

import typer

from mpreg_core.cli.options import API_URL, ApiOption, OutputOption, TokenOption, YesOption
from mpreg_core.cli.output import Asked, show
from mpreg_core.cli.text import facts


def command(
    yes: YesOption = False, api: ApiOption = API_URL, token: TokenOption = "", output: OutputOption = None
) -> None:
    """Drain a node, announce its departure and stop it; asks first on a terminal."""
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Stop the node at {api}?", abort=True, err=True)
    show(lambda node: node.call("POST", "/admin/shutdown"), facts, Asked(api, token, output))
