"""`mpreg proposals`: what was proposed in the node's pools, and how it stands."""

from typing import TYPE_CHECKING

from mpreg_core.cli.http import Answer
from mpreg_core.cli.options import API_URL, ApiOption, OutputOption, TokenOption, WatchOption
from mpreg_core.cli.output import Asked, show
from mpreg_core.cli.text import age, facts, table

if TYPE_CHECKING:
    from rich.table import Table


def command(
    api: ApiOption = API_URL, token: TokenOption = "", output: OutputOption = None, watch: WatchOption = None
) -> None:
    """List open and recently ended proposals of the node's pools."""
    show(lambda node: node.get("/api/consensus/proposals"), draw, Asked(api, token, output, watch))


def draw(answer: Answer) -> "Table":
    """A row per proposal."""
    return table(
        ("ID", "KEY", "VALUE", "STATUS", "VOTES", "PROPOSER", "AGE"),
        (
            (
                proposal["id"],
                proposal["key"],
                proposal["value"],
                proposal["status"],
                votes(proposal),
                proposal["proposer"],
                age(proposal["created"]),
            )
            for proposal in answer["proposals"]
        ),
        fold=("ID", "KEY", "VALUE", "VOTES", "PROPOSER"),
    )


def votes(proposal: Answer) -> str:
    """`2 yes, 0 no; 3 of 5 decide`: votes cast, votes needed, voters. An engine with a log has none to show."""
    cast = list(proposal["votes"].values())
    if not cast and proposal["status"] == "committed":
        return f"on {proposal['needed']} of {proposal['voters']} at least" if "needed" in proposal else "-"
    needed = f"; {proposal['needed']} of {proposal['voters']} decide" if "needed" in proposal else ""
    return f"{sum(cast)} yes, {len(cast) - sum(cast)} no{needed}"


def draw_one(proposal: Answer) -> "Table":
    """One proposal's facts, for the verbs that make and vote on them."""
    decided = proposal["decided"]
    return facts(
        {
            "proposal": proposal["id"],
            "key": proposal["key"],
            "value": proposal["value"],
            "status": proposal["status"],
            "votes": votes(proposal),
            "voters": [f"{voter} {'yes' if yes else 'no'}" for voter, yes in sorted(proposal["votes"].items())],
            "proposer": proposal["proposer"],
            "took": None if decided is None else f"{max(decided - proposal['created'], 0.0):.3f} s",
        }
    )
