"""`mpreg drain`: a node takes no new requests."""

from mpreg_core.cli.options import API_URL, ApiOption, OutputOption, TokenOption
from mpreg_core.cli.output import Asked, show
from mpreg_core.cli.text import facts


def command(api: ApiOption = API_URL, token: TokenOption = "", output: OutputOption = None) -> None:
    """Let a node take no new requests and finish those that run; `mpreg resume` undoes it."""
    show(lambda node: node.call("POST", "/admin/drain"), facts, Asked(api, token, output))
