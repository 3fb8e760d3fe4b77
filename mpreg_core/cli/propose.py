"""`mpreg propose`: one decision for a key, by the engine of the key's pool."""

from typing import Annotated

import typer

from mpreg_core.cli.exits import DONE, NO
from mpreg_core.cli.http import ANSWER_S
from mpreg_core.cli.options import (
    API_URL,
    TIMEOUT_S_MAX,
    ApiOption,
    OutputOption,
    ScopeOption,
    TokenOption,
    ValueArgument,
    json_or_text,
)
from mpreg_core.cli.output import Asked, show
from mpreg_core.cli.proposals import draw_one


def command(
    key: Annotated[str, typer.Argument(metavar="KEY", help="What is decided on.", show_default=False)],
    value: ValueArgument,
    scope: ScopeOption = "pool",
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.001, max=TIMEOUT_S_MAX, metavar="SECONDS", show_default=False, help="Default: as configured."
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the outcome.")] = True,
    api: ApiOption = API_URL,
    token: TokenOption = "",
    output: OutputOption = None,
) -> None:
    """Propose a value for a key and wait for the outcome; 1 unless it was committed."""
    body = {"key": key, "value": json_or_text(value), "scope": scope, "timeout": timeout}
    longest_s = ANSWER_S + (timeout or TIMEOUT_S_MAX if wait else 0)
    answer = show(
        lambda node: node.call("POST", "/api/consensus/proposals", body=body, wait=wait, timeout_s=longest_s),
        draw_one,
        Asked(api, token, output),
    )
    raise SystemExit(NO if wait and answer["status"] != "committed" else DONE)
