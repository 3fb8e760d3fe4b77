"""`mpreg events`: what happened at a node lately, and what happens next."""

import time
from contextlib import closing
from typing import Annotated

import typer

from mpreg_core.cli.http import Answer, Unreachable, reaching
from mpreg_core.cli.options import API_URL, ApiOption, OutputOption, TokenOption
from mpreg_core.cli.output import Asked, follow, print_event
from mpreg_core.cli.text import clean, clock, shown

KEPT_MAX = 1024
"""So many events a node keeps: after as many the rest is news."""

QUIET_S = 0.5
"""A stream that says nothing for so long has told all that the node kept."""

LIST_S = 10.0

PATH, ALL = "/api/events", "all"
"""An id that no node gave out: it makes the stream begin with the oldest event."""


def command(
    follows: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens next.")] = False,
    api: ApiOption = API_URL,
    token: TokenOption = "",
    output: OutputOption = None,
) -> None:
    """List the events that the node keeps, oldest first; with --follow go on until Ctrl-C."""
    asked = Asked(api, token, output)
    if follows:
        follow(PATH, line, asked, last_id=ALL)
    _kept(asked)


def _kept(asked: Asked) -> None:
    """Print what the node kept, and end where its stream pauses."""
    until = time.monotonic() + LIST_S
    with reaching(asked.api, asked.token) as node:
        try:
            with closing(node.stream(PATH, {}, last_id=ALL, quiet_s=QUIET_S)) as frames:
                for number, frame in enumerate(frames, 1):
                    print_event(frame.event, frame.data, line, asked)
                    if number >= KEPT_MAX or time.monotonic() > until:
                        break
        except Unreachable as error:
            if not error.quiet:
                raise


def line(happened: Answer) -> str:
    """`10:03:04  local:hub-a  MemberChanged  change=joined member=n3 ...`; the node itself where no pool is named."""
    event = dict(happened["event"])
    kind = event.pop("type")
    told = " ".join(f"{name}={_short(value)}" for name, value in event.items() if value not in (None, "", []))
    return clean(f"{clock(happened['at'])}  {happened['pool'] or happened['node']}  {kind}  {told}".rstrip())


def _short(value: object) -> str:
    """A record by its id alone."""
    return str(value["id"]) if isinstance(value, dict) and "id" in value else shown(value)
