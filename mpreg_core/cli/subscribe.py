"""`mpreg subscribe`: the messages whose topic matches, as they come."""

from typing import Annotated

import typer

from mpreg_core.cli.http import Answer
from mpreg_core.cli.options import API_URL, ApiOption, OutputOption, TokenOption
from mpreg_core.cli.output import Asked, follow
from mpreg_core.cli.text import clean, shown


def command(
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="* is one word, # the rest: orders.#", show_default=False)
    ],
    queue: Annotated[
        str, typer.Option(metavar="NAME", help="Share the messages with others of this queue.", show_default=False)
    ] = "",
    api: ApiOption = API_URL,
    token: TokenOption = "",
    output: OutputOption = None,
) -> None:
    """Print the messages whose topic matches, from now on until Ctrl-C."""
    follow("/api/messages/stream", line, Asked(api, token, output), pattern=pattern, queue=queue)


def line(message: Answer) -> str:
    """One message."""
    return clean(f"{message['topic']}  {shown(message['payload'])}  from {message['origin']}")
