"""The options that many verbs share, their words, and how texts from the command line become values."""

import json
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from typer._click import Context

API_URL = "http://127.0.0.1:8080"
WATCH_S = 2.0

Output = Literal["table", "json"]
# The words of the contracts, repeated: importing those would cost help its speed. A test compares them.
Scope = Literal["pool", "region", "federation"]
Consistency = Literal["eventual", "linearizable"]
RoutePolicy = Literal["optimal", "fastest", "balanced", "geographic"]
MemberStatus = Literal["alive", "suspect", "failed", "left"]
ClusterStatus = Literal["healthy", "degraded", "unhealthy"]
YesNo = Literal["yes", "no"]

ApiOption = Annotated[str, typer.Option("--api", metavar="URL", envvar="MPREG_API", help="The node's HTTP API.")]
TokenOption = Annotated[
    str, typer.Option("--token", metavar="TOKEN", envvar="MPREG_TOKEN", show_default=False, help="Bearer token.")
]
OutputOption = Annotated[
    Output | None,
    typer.Option("--output", "-o", show_default=False, help="Default: table on a terminal, else json."),
]
WatchOption = Annotated[
    float | None,
    typer.Option(
        "--watch", "-w", metavar="[SECONDS]", min=0.1, max=86_400, help=f"Repeat, every {WATCH_S:.0f} s by default."
    ),
]
ScopeOption = Annotated[Scope, typer.Option("--scope", help="How far the key reaches.")]
ConsistencyOption = Annotated[
    Consistency, typer.Option("--consistency", help="Whether to ask a quorum (linearizable) or this node alone.")
]
ServiceArgument = Annotated[str, typer.Argument(metavar="SERVICE", help="The service's name.", show_default=False)]
ValueArgument = Annotated[
    str,
    typer.Argument(metavar="VALUE", help="JSON, else a text. After -- if it begins with -.", show_default=False),
]
DataArgument = Annotated[
    str,
    typer.Argument(metavar="DATA", help="JSON, else a text. After -- if it begins with -.", show_default=False),
]
TIMEOUT_S_MAX = 300
"""The API's bound."""
TimeoutOption = Annotated[
    float, typer.Option(min=0.001, max=TIMEOUT_S_MAX, metavar="SECONDS", help="How long to wait.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class VerbCommand(TyperCommand):
    """A command whose `--watch` may come without its number, which click's options cannot say."""

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        """Put the default interval where none follows."""
        return super().parse_args(ctx, with_interval(args))


def group(help: str) -> typer.Typer:
    """Several commands below one verb."""
    return typer.Typer(help=help, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


def with_interval(args: list[str]) -> list[str]:
    """The arguments with a number after each `--watch` or `-w`."""
    full: list[str] = []
    for at, arg in enumerate(args):
        if arg == "--":
            return full + args[at:]
        full.append(arg)
        if arg in ("--watch", "-w") and not _is_number("".join(args[at + 1 : at + 2])):
            full.append(str(WATCH_S))
    return full


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def json_or_text(text: str) -> Any:
    """The JSON that a text is, else the text itself. JSON has no NaN."""
    try:
        return json.loads(text, parse_constant=_not_json)
    except (ValueError, RecursionError):
        return text


def _not_json(word: str) -> None:
    raise ValueError(word)


def place(text: str, option: str) -> tuple[float, float]:
    """`LAT,LON` in degrees. Raises `typer.BadParameter`."""
    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        latitude = longitude = math.nan
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        message = f"expected LAT,LON within -90..90 and -180..180 degrees, got {text!r}"
        raise typer.BadParameter(message, param_hint=option)
    return latitude, longitude
