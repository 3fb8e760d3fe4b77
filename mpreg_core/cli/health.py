"""`mpreg health`: the node's checks and the worst of them."""

from typing import TYPE_CHECKING

from mpreg_core.cli.exits import DONE, NO
from mpreg_core.cli.http import Answer
from mpreg_core.cli.options import API_URL, ApiOption, OutputOption, TokenOption, WatchOption
from mpreg_core.cli.output import Asked, show
from mpreg_core.cli.text import facts, shown, stack, table

if TYPE_CHECKING:
    from rich.console import RenderableType


def command(
    api: ApiOption = API_URL, token: TokenOption = "", output: OutputOption = None, watch: WatchOption = None
) -> None:
    """Show the node's checks; the exit code is 1 when it is unhealthy or draining."""
    answer = show(lambda node: node.get("/health", also=(503,)), draw, Asked(api, token, output, watch))
    raise SystemExit(NO if answer["status"] in ("unhealthy", "draining") else DONE)


def draw(answer: Answer) -> "RenderableType":
    """The verdict, then a row per check."""
    checks = table(
        ("CHECK", "STATUS", "DETAILS"),
        ((name, check["status"], details(check["details"])) for name, check in answer["checks"].items()),
        fold=("DETAILS",),
    )
    return stack(facts({"status": answer["status"]}), checks)


def details(found: Answer) -> str:
    """`pool: alive 2, failed 0; ...`, or `name value, ...` where a check has no pools."""
    plain = [f"{name} {shown(value)}" for name, value in found.items() if not isinstance(value, dict)]
    pools = [
        f"{name}: {', '.join(f'{key} {shown(value)}' for key, value in inner.items())}"
        for name, inner in found.items()
        if isinstance(inner, dict)
    ]
    return "; ".join([*pools, *([", ".join(plain)] if plain else [])])
