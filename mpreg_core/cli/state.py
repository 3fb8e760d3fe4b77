"""`mpreg state`: replicated keys, read and written through a node."""

from time import time
from typing import TYPE_CHECKING, Annotated

import typer

from mpreg_core.cli.exits import USAGE, fail
from mpreg_core.cli.http import Answer, NodeHttp, segment
from mpreg_core.cli.options import (
    API_URL,
    ApiOption,
    ConsistencyOption,
    OutputOption,
    Scope,
    ScopeOption,
    TokenOption,
    ValueArgument,
    VerbCommand,
    WatchOption,
    group,
    json_or_text,
)
from mpreg_core.cli.output import Asked, follow, show
from mpreg_core.cli.text import clean, duration, facts, shown, table

if TYPE_CHECKING:
    from rich.table import Table

app = group("Read, write, list and watch replicated keys.")

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="The key; it may hold slashes.", show_default=False)]
IfVersionOption = Annotated[
    str | None, typer.Option(metavar="VERSION", help="Only if the key still has it.", show_default=False)
]


@app.command("get", cls=VerbCommand)
def get(
    key: KeyArgument,
    scope: ScopeOption = "pool",
    consistency: ConsistencyOption = "eventual",
    api: ApiOption = API_URL,
    token: TokenOption = "",
    output: OutputOption = None,
    watch: WatchOption = None,
) -> None:
    """Read a key; 1 when there is none."""
    path = _readable(key)
    asked = Asked(api, token, output, watch)
    show(lambda node: node.get(path, scope=scope, consistency=consistency), draw_entry, asked)


@app.command("put", cls=VerbCommand)
def put(
    key: KeyArgument,
    value: ValueArgument,
    policy: Annotated[
        str | None,
        typer.Option(metavar="POLICY", help="How concurrent writes are merged.", show_default=False),
    ] = None,
    ttl: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Let it end so long after this write.", show_default=False)
    ] = None,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Let it end with the node's life.")] = False,
    if_version: IfVersionOption = None,
    scope: ScopeOption = "pool",
    consistency: ConsistencyOption = "eventual",
    api: ApiOption = API_URL,
    token: TokenOption = "",
    output: OutputOption = None,
) -> None:
    """Write a key; 1 when it has another version than was asked for."""
    body = {"value": json_or_text(value), "policy": policy, "if_version": if_version}
    body |= {"ttl": ttl, "ephemeral": ephemeral}

    def write(node: NodeHttp) -> Answer:
        return node.call("PUT", _path(key), body=body, scope=scope, consistency=consistency)

    show(write, draw_entry, Asked(api, token, output))


@app.command("delete", cls=VerbCommand)
def delete(
    key: KeyArgument,
    if_version: IfVersionOption = None,
    scope: ScopeOption = "pool",
    consistency: ConsistencyOption = "eventual",
    api: ApiOption = API_URL,
    token: TokenOption = "",
    output: OutputOption = None,
) -> None:
    """Remove a key; 1 when there is none."""

    def remove(node: NodeHttp) -> Answer:
        return node.call("DELETE", _path(key), scope=scope, consistency=consistency, if_version=if_version)

    show(remove, facts, Asked(api, token, output))


@app.command("list", cls=VerbCommand)
def list_entries(
    prefix: Annotated[str, typer.Argument(metavar="[PREFIX]", help="What the keys begin with.")] = "",
    scope: Annotated[Scope | None, typer.Option(help="Only this scope.", show_default=False)] = None,
    api: ApiOption = API_URL,
    token: TokenOption = "",
    output: OutputOption = None,
    watch: WatchOption = None,
) -> None:
    """List the keys that the node holds."""
    show(lambda node: _all(node, prefix, scope), draw_entries, Asked(api, token, output, watch))


@app.command("watch", cls=VerbCommand)
def watch_key(
    key: KeyArgument,
    prefix: Annotated[bool, typer.Option("--prefix", help="All keys that begin so.")] = False,
    since: Annotated[
        int | None, typer.Option(metavar="REVISION", help="Only what changed after it.", show_default=False)
    ] = None,
    scope: ScopeOption = "pool",
    api: ApiOption = API_URL,
    token: TokenOption = "",
    output: OutputOption = None,
) -> None:
    """Print a key now and whenever it changes, until Ctrl-C."""
    whole = "true" if prefix else None
    follow(f"{_path(key)}/watch", line, Asked(api, token, output), scope=scope, since=since, prefix=whole)


def draw_entry(entry: Answer) -> "Table":
    """One entry's facts."""
    names = ("key", "value", "version", "revision", "scope", "policy", "conflicts")
    ends = {"holder": entry["holder"]} if entry.get("holder") else {}
    if entry.get("expires"):
        ends["expires"] = f"in {duration(entry['expires'] - time())}"
    return facts({name: entry[name] for name in names} | ends)


def draw_entries(answer: Answer) -> "Table":
    """A row per entry."""
    return table(
        ("KEY", "VALUE", "SCOPE", "POLICY", "REVISION"),
        (
            (entry["key"], shown(entry["value"]), entry["scope"], entry["policy"], entry["revision"])
            for entry in answer["entries"]
        ),
        right=("REVISION",),
        fold=("KEY", "VALUE"),
    )


def line(entry: Answer) -> str:
    """One change of a key."""
    value = "deleted, or not written yet" if entry.get("deleted") else shown(entry["value"])
    return clean(f"{entry['revision']}  {entry['key']}  {value}")


def _all(node: NodeHttp, prefix: str, scope: str | None) -> Answer:
    """The whole list, page by page."""
    answer = node.get("/api/state", prefix=prefix, scope=scope)
    page = answer
    while page["next"] is not None:
        page = node.get("/api/state", prefix=prefix, scope=scope, after=page["next"])
        answer["entries"] += page["entries"]
    return {name: value for name, value in answer.items() if name != "next"}


def _path(key: str) -> str:
    if not key:
        raise typer.BadParameter("expected a key, got an empty one", param_hint="KEY")
    return f"/api/state/{segment(key)}"


def _readable(key: str) -> str:
    """The path to read a key. The API takes one that ends in `/watch` for the stream of the key before it."""
    if key.endswith("/watch"):
        fail(f"a key that ends in /watch cannot be read alone; use: mpreg state list {clean(key)}", USAGE)
    return _path(key)
