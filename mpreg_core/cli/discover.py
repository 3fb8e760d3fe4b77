"""`mpreg discover`: where a service is, best first."""

from typing import TYPE_CHECKING, Annotated

import typer

from mpreg_core.cli.exits import NO, say
from mpreg_core.cli.http import Answer
from mpreg_core.cli.options import (
    API_URL,
    ApiOption,
    OutputOption,
    ServiceArgument,
    TokenOption,
    WatchOption,
    place,
)
from mpreg_core.cli.output import Asked, show
from mpreg_core.cli.text import clean, millis, table

if TYPE_CHECKING:
    from rich.table import Table


def command(
    service: ServiceArgument,
    near: Annotated[
        str | None, typer.Option(metavar="LAT,LON", help="Near this place, not the node's.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 10,
    api: ApiOption = API_URL,
    token: TokenOption = "",
    output: OutputOption = None,
    watch: WatchOption = None,
) -> None:
    """List where a service is, best first by health, load and distance, and why; 1 when nowhere."""
    if near is not None:
        place(near, "--near")
    answer = show(
        lambda node: node.get("/api/registry/discover", service=service, near=near, limit=limit),
        draw,
        Asked(api, token, output, watch),
    )
    if not answer["candidates"]:
        say(f"mpreg: no cluster that serves {clean(service)!r} is known here")
        raise SystemExit(NO)


def draw(answer: Answer) -> "Table":
    """A row per candidate."""
    return table(
        ("CLUSTER", "STATUS", "REGION", "HUB", "LOAD", "DISTANCE", "RTT", "WHY"),
        (
            (
                found["cluster"] or found.get("node"),
                found["status"],
                found["region"],
                found["hub"],
                f"{found['load']:.2f}",
                "-" if found.get("distance_km") is None else f"{found['distance_km']:.0f} km",
                millis(found.get("rtt_ms")),
                found["why"],
            )
            for found in answer["candidates"]
        ),
        right=("LOAD", "DISTANCE", "RTT"),
        fold=("CLUSTER", "REGION", "HUB", "WHY"),
    )
