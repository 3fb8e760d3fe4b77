"""`mpreg members`: the members of the node's pools."""

from typing import TYPE_CHECKING, Annotated

import typer

from mpreg_core.cli.http import Answer
from mpreg_core.cli.options import API_URL, ApiOption, MemberStatus, OutputOption, TokenOption, WatchOption
from mpreg_core.cli.output import Asked, show
from mpreg_core.cli.text import age, millis, table

if TYPE_CHECKING:
    from rich.table import Table


def command(
    pool: Annotated[str | None, typer.Option(help="Only this pool.", show_default=False)] = None,
    status: Annotated[MemberStatus | None, typer.Option(help="Only these.", show_default=False)] = None,
    api: ApiOption = API_URL,
    token: TokenOption = "",
    output: OutputOption = None,
    watch: WatchOption = None,
) -> None:
    """List the members of the node's pools, with their round trips from it."""
    asked = Asked(api, token, output, watch)
    show(lambda node: node.get("/api/members", pool=pool, status=status), draw, asked)


def draw(answer: Answer) -> "Table":
    """A row per member and pool; `for` is how long it has had its status."""
    return table(
        ("ID", "POOL", "STATUS", "FOR", "TIER", "REGION", "ADDRESS", "RTT"),
        (
            (
                member["id"],
                member["pool"],
                "draining" if member.get("draining") and member["status"] == "alive" else member["status"],
                age(member["since"]),
                member["hub_tier"],
                member["region"],
                member["address"],
                millis(member["rtt_ms"]),
            )
            for member in answer["members"]
        ),
        right=("RTT",),
        fold=("ID", "POOL", "REGION", "ADDRESS"),
    )
