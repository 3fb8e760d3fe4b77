"""`mpreg request`: ask a service, wherever in the federation it is best served."""

from typing import TYPE_CHECKING, Annotated

import typer

from mpreg_core.cli.http import ANSWER_S, Answer
from mpreg_core.cli.options import (
    API_URL,
    ApiOption,
    DataArgument,
    OutputOption,
    ServiceArgument,
    TimeoutOption,
    TokenOption,
    json_or_text,
)
from mpreg_core.cli.output import Asked, show
from mpreg_core.cli.text import facts

if TYPE_CHECKING:
    from rich.table import Table


def command(
    service: ServiceArgument,
    data: DataArgument,
    target: Annotated[str | None, typer.Option(help="Only this node or cluster.", show_default=False)] = None,
    timeout: TimeoutOption = 5.0,
    idempotent: Annotated[bool, typer.Option("--idempotent", help="It may be tried again elsewhere.")] = False,
    hedge: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Ask elsewhere as well after so long.", show_default=False)
    ] = None,
    api: ApiOption = API_URL,
    token: TokenOption = "",
    output: OutputOption = None,
) -> None:
    """Ask a service and show its answer with the path it took; 1 when nobody answered it."""
    body = {
        "service": service,
        "payload": json_or_text(data),
        "target": target,
        "timeout": timeout,
        "idempotent": idempotent,
        "hedge": hedge,
    }
    show(
        lambda node: node.call("POST", "/api/requests", body=body, timeout_s=timeout + ANSWER_S),
        draw,
        Asked(api, token, output),
    )


def draw(answer: Answer) -> "Table":
    """The answer and where it came from."""
    return facts(
        {
            "payload": answer["payload"],
            "served by": answer["served_by"],
            "path": " -> ".join(answer["path"]),
            "took": f"{answer['seconds'] * 1000:.1f} ms",
        }
    )
