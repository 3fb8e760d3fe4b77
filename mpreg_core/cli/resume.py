"""`mpreg resume`: a drained node takes requests again."""

from mpreg_core.cli.options import API_URL, ApiOption, OutputOption, TokenOption
from mpreg_core.cli.output import Asked, show
from mpreg_core.cli.text import facts


def command(api: ApiOption = API_URL, token: TokenOption = "", output: OutputOption = None) -> None:
    """Let a drained node take requests again."""
    show(lambda node: node.call("POST", "/admin/resume"), facts, Asked(api, token, output))
