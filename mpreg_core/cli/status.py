"""`mpreg status`: one node, its pools and its place in the hierarchy."""

from typing import TYPE_CHECKING

from mpreg_core.cli.http import Answer
from mpreg_core.cli.options import API_URL, ApiOption, OutputOption, TokenOption, WatchOption
from mpreg_core.cli.output import Asked, show
from mpreg_core.cli.text import duration, facts, stack, table

if TYPE_CHECKING:
    from rich.console import RenderableType

_FAMILIES = ("gossip", "failure_detector", "consensus", "routing", "transport")
_COUNTS = ("members", "alive", "suspect", "failed", "left")


def command(
    api: ApiOption = API_URL, token: TokenOption = "", output: OutputOption = None, watch: WatchOption = None
) -> None:
    """Show the node, its pools with their strategies, and its place in the hierarchy."""
    show(lambda node: node.get("/api/status"), draw, Asked(api, token, output, watch))


def draw(answer: Answer) -> "RenderableType":
    """The node's facts, then a row per pool."""
    node, pools = answer["node"], answer["pools"]
    about = {
        "node": node["id"],
        "state": node["state"],
        "tier": node["hub_tier"],
        "region": node["region"],
        "federation": node.get("federation"),
        "parent hub": answer["parent_hub"],
        **({"stands by for": node["stands_by_for"]} if node.get("stands_by_for") else {}),
        "children": answer["children"],
        "up": duration(node["uptime_seconds"]),
        "incarnation": node["incarnation"],
        "version": node["version"],
    }
    counts = table(
        ("POOL", "HUB", *(name.upper() for name in _COUNTS)),
        ((pool["id"], pool.get("hub"), *(pool.get(name) for name in _COUNTS)) for pool in pools),
        right=[name.upper() for name in _COUNTS],
        fold=("POOL", "HUB"),
    )
    strategies = table(
        ("POOL", "GOSSIP", "DETECTOR", "CONSENSUS", "ROUTING", "TRANSPORT"),
        ((pool["id"], *(pool["strategies"].get(family) for family in _FAMILIES)) for pool in pools),
        fold=("POOL",),
    )
    return stack(facts(about), counts, strategies)
