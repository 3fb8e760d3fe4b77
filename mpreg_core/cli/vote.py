"""`mpreg vote`: the node's vote on a proposal, by hand."""

from typing import Annotated

import typer

from mpreg_core.cli.http import segment
from mpreg_core.cli.options import API_URL, ApiOption, OutputOption, TokenOption, YesNo
from mpreg_core.cli.output import Asked, show
from mpreg_core.cli.proposals import draw_one


def command(
    proposal: Annotated[str, typer.Argument(metavar="ID", help="The proposal's id.", show_default=False)],
    answer: Annotated[YesNo, typer.Argument(help="The node's vote.", show_default=False)],
    api: ApiOption = API_URL,
    token: TokenOption = "",
    output: OutputOption = None,
) -> None:
    """Cast the node's vote on a proposal, where voting is manual."""
    path = f"/api/consensus/proposals/{segment(proposal)}/votes"
    body = {"vote": answer}
    show(lambda node: node.call("POST", path, body=body), draw_one, Asked(api, token, output))
