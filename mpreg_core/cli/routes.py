"""`mpreg routes`: the way that a request would take from the node, and why."""

from typing import TYPE_CHECKING, Annotated

import typer

from mpreg_core.cli.http import Answer
from mpreg_core.cli.options import API_URL, ApiOption, OutputOption, RoutePolicy, TokenOption, WatchOption
from mpreg_core.cli.output import Asked, show
from mpreg_core.cli.text import facts, millis

if TYPE_CHECKING:
    from rich.table import Table


def command(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A node, cluster, service or region.", show_default=False)
    ],
    policy: Annotated[RoutePolicy, typer.Option(help="What makes a way the best.")] = "optimal",
    api: ApiOption = API_URL,
    token: TokenOption = "",
    output: OutputOption = None,
    watch: WatchOption = None,
) -> None:
    """Show the way that a request to a target would take from here, and why; 1 when there is none."""
    asked = Asked(api, token, output, watch)
    show(lambda node: node.get("/api/routes", to=target, policy=policy), draw, asked)


def draw(answer: Answer) -> "Table":
    """The way's facts. A hop decides the next one, so the path ends at the next hop."""
    return facts(
        {
            "to": answer["to"],
            "path": " -> ".join(answer["path"]),
            "pool": answer.get("pool"),
            "cost": millis(answer.get("cost_ms")),
            "alternatives": answer["alternatives"],
            "why": answer.get("reason"),
        }
    )
