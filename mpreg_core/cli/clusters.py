"""`mpreg clusters`: the application clusters registered with hubs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mpreg_core.cli.http import Answer, NodeHttp, segment
from mpreg_core.cli.options import (
    API_URL,
    ApiOption,
    ClusterStatus,
    OutputOption,
    TokenOption,
    VerbCommand,
    WatchOption,
    group,
    place,
)
from mpreg_core.cli.output import Asked, show
from mpreg_core.cli.text import facts, table

if TYPE_CHECKING:
    from rich.table import Table

app = group("Register, list and remove application clusters.")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The cluster's id.", show_default=False)]
COLUMNS = {"CLUSTER": "id", "STATUS": "status", "SERVICES": "services", "HUB": "hub", "REGION": "region"}


@app.command("register", cls=VerbCommand)
def register(
    cluster: IdArgument,
    services: Annotated[
        list[str],
        typer.Option("--service", "--services", help="What it serves; several by commas.", show_default=False),
    ],
    endpoints: Annotated[
        list[str] | None,
        typer.Option("--endpoint", "--endpoints", metavar="URL", help="Where it takes requests.", show_default=False),
    ] = None,
    coordinates: Annotated[
        str | None, typer.Option(metavar="LAT,LON", help="Where it is, in degrees.", show_default=False)
    ] = None,
    capacity: Annotated[float, typer.Option(min=1e-9, help="Requests at once.")] = 1.0,
    load: Annotated[float, typer.Option(min=0, help="Its load now.")] = 0.0,
    status: Annotated[ClusterStatus, typer.Option(help="How it is.")] = "healthy",
    node: Annotated[str, typer.Option(metavar="ID", help="The member that serves it.", show_default=False)] = "",
    tags: Annotated[
        list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="A tag.", show_default=False)
    ] = None,
    ttl: Annotated[
        float | None, typer.Option(min=1e-9, metavar="SECONDS", help="Its life without heartbeat.", show_default=False)
    ] = None,
    check: Annotated[
        str,
        typer.Option(
            metavar="WHERE", help="How the hub checks it: http://, tcp://, grpc://, command:.", show_default=False
        ),
    ] = "",
    check_interval: Annotated[float, typer.Option(min=1, max=3600, metavar="SECONDS", help="How often.")] = 10.0,
    api: ApiOption = API_URL,
    token: TokenOption = "",
    output: OutputOption = None,
) -> None:
    """Register a cluster with the node if it is a hub, else with its hub; or change one."""
    where = None if coordinates is None else place(coordinates, "--coordinates")
    body = {
        "id": cluster,
        "services": _listed(services),
        "endpoints": _listed(endpoints or ()),
        "coordinates": None if where is None else {"latitude": where[0], "longitude": where[1]},
        "capacity": capacity,
        "load": load,
        "status": status,
        "node": node,
        "tags": dict(_tag(text) for text in tags or ()),
        "ttl": ttl,
        "check": check,
        "check_interval": check_interval,
    }
    show(lambda hub: hub.call("POST", "/api/registry/clusters", body=body), facts, Asked(api, token, output))


@app.command("list", cls=VerbCommand)
def list_clusters(
    api: ApiOption = API_URL, token: TokenOption = "", output: OutputOption = None, watch: WatchOption = None
) -> None:
    """List the clusters that the node knows in full."""
    show(lambda node: node.get("/api/registry/clusters"), draw, Asked(api, token, output, watch))


@app.command("deregister", cls=VerbCommand)
def deregister(
    cluster: IdArgument, api: ApiOption = API_URL, token: TokenOption = "", output: OutputOption = None
) -> None:
    """Remove a cluster; 1 when none is called so."""
    show(lambda node: node.call("DELETE", _path(cluster)), facts, Asked(api, token, output))


@app.command("heartbeat", cls=VerbCommand)
def heartbeat(
    cluster: IdArgument,
    load: Annotated[float | None, typer.Option(min=0, help="Its load now.", show_default=False)] = None,
    status: Annotated[ClusterStatus | None, typer.Option(help="How it is.", show_default=False)] = None,
    api: ApiOption = API_URL,
    token: TokenOption = "",
    output: OutputOption = None,
) -> None:
    """Say that a cluster lives, and how it is; 1 when none is called so."""

    def beat(node: NodeHttp) -> Answer:
        return node.call("PUT", f"{_path(cluster)}/heartbeat", body={"load": load, "status": status})

    show(beat, facts, Asked(api, token, output))


def draw(answer: Answer) -> "Table":
    """A row per cluster."""
    return table(
        (*COLUMNS, "LOAD", "CAPACITY"),
        (
            (*(_told(cluster, name) for name in COLUMNS.values()), f"{cluster['load']:.2f}", f"{cluster['capacity']:g}")
            for cluster in answer["clusters"]
        ),
        right=("LOAD", "CAPACITY"),
        fold=("CLUSTER", "STATUS", "SERVICES", "HUB", "REGION"),
    )


def _told(cluster: Answer, name: str) -> object:
    """A property; with the status why it is not the best."""
    error = cluster.get("check_error")
    return f"{cluster['status']}: {error}" if name == "status" and error else cluster[name]


def _path(cluster: str) -> str:
    return f"/api/registry/clusters/{segment(cluster)}"


def _listed(texts: Sequence[str]) -> list[str]:
    """Texts that come one by one or by commas."""
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise typer.BadParameter(f"expected NAME=VALUE, got {text!r}", param_hint="--tag")
    return name, value
