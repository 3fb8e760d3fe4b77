"""`mpreg publish`: one message to the subscribers of a topic."""

from typing import Annotated

import typer

from mpreg_core.cli.options import API_URL, ApiOption, DataArgument, OutputOption, TokenOption, json_or_text
from mpreg_core.cli.output import Asked, show
from mpreg_core.cli.text import facts


def command(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Words with dots: user.7.login.", show_default=False)],
    data: DataArgument,
    at_least_once: Annotated[
        bool, typer.Option("--at-least-once", help="Keep it on the way until it has arrived; it may come twice.")
    ] = False,
    api: ApiOption = API_URL,
    token: TokenOption = "",
    output: OutputOption = None,
) -> None:
    """Publish a message to the subscribers in the node's pools."""
    body = {"topic": topic, "payload": json_or_text(data), "at_least_once": at_least_once}
    show(lambda node: node.call("POST", "/api/messages", body=body), facts, Asked(api, token, output))
