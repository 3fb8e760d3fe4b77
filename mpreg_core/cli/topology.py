"""`mpreg topology`: the tree of hubs as the node knows it, with round trips and clusters."""

from collections import defaultdict
from typing import TYPE_CHECKING

from mpreg_core.cli.http import Answer
from mpreg_core.cli.options import API_URL, ApiOption, OutputOption, TokenOption, WatchOption
from mpreg_core.cli.output import Asked, show
from mpreg_core.cli.text import cell, clean, millis

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

_TIERS = ("global", "regional", "local", "cluster")


def command(
    api: ApiOption = API_URL, token: TokenOption = "", output: OutputOption = None, watch: WatchOption = None
) -> None:
    """Draw the tree of hubs, members and clusters as far as the node knows it."""
    show(lambda node: node.get("/api/topology"), draw, Asked(api, token, output, watch))


def draw(answer: Answer) -> "Tree":
    """The tree by parents. A node whose parent is not known here hangs from the top, higher tiers first."""
    from rich.tree import Tree

    nodes = {node["id"]: node for node in answer["nodes"]}
    rtts = {edge["to"]: edge.get("rtt_ms") for edge in answer["edges"]}
    clusters: dict[str, list[Answer]] = defaultdict(list)
    for cluster in answer["clusters"]:
        clusters[cluster.get("node") or cluster["hub"]].append(cluster)
    below: dict[str, list[str]] = defaultdict(list)
    for name, node in nodes.items():
        parent = node["parent"]
        below[parent if parent in nodes and parent != name else ""].append(name)

    tree = Tree(f"federation: {_count(len(nodes), 'node')}, {_count(len(answer['clusters']), 'cluster')} known here")
    drawn: set[str] = set()

    def hang(branch: Tree, names: list[str]) -> None:
        for name in sorted(set(names) - drawn, key=lambda name: (_TIERS.index(nodes[name]["tier"]), name)):
            drawn.add(name)
            twig = branch.add(_node(nodes[name], rtts.get(name)))
            for cluster in sorted(clusters.pop(name, ()), key=lambda cluster: str(cluster["id"])):
                twig.add(_cluster(cluster))
            hang(twig, below.pop(name, []))

    hang(tree, below.pop("", []))
    while astray := sorted(nodes.keys() - drawn):  # parents in a circle: while a hub moves, for a moment
        hang(tree, astray[:1])
    for left in list(clusters.values()):
        for cluster in left:
            tree.add(_cluster(cluster))
    return tree


def _node(node: Answer, rtt_ms: float | None) -> "Text":
    label = cell(node["id"])
    label.stylize("bold")
    label.append(f"  {clean(node['tier'])}, {clean(node['region'])}  ")
    label.append_text(cell(node["status"]))
    if rtt_ms is not None:
        label.append(f"  {millis(rtt_ms)}", style="dim")
    if node.get("children"):  # told by a hub's summary: its children are not listed here
        label.append(f"  {_count(node['children'], 'child', 'children')}", style="dim")
    return label


def _cluster(cluster: Answer) -> "Text":
    label = cell(f"cluster {cluster['id']}")
    label.append(f"  {clean(', '.join(cluster['services']))}  ")
    label.append_text(cell(cluster["status"]))
    return label


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
