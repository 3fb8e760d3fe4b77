"""How verbs print: a table or JSON, once, every so often, or for each event of a stream.

Data goes to stdout. On a terminal it is a table unless told otherwise, in a pipe JSON: one document for an answer, one
line for each of many.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpreg_core.cli.exits import UNREACHABLE, fail, say
from mpreg_core.cli.http import Answer, NodeHttp, Unreachable, reaching
from mpreg_core.cli.text import clean, to_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PIPE_COLUMNS = 10_000
"""In a pipe no line is folded."""

LOST_S = 30.0
"""How long a watch goes on without its node, which may be restarting."""

RETRY_S = 1.0

Draw = Callable[[Answer], "RenderableType"]


@dataclass(frozen=True, slots=True)
class Asked:
    """The node that a verb asks, and how it shall print: `watch` is in seconds."""

    api: str
    token: str
    output: str | None = None
    watch: float | None = None

    @property
    def json(self) -> bool:
        """Whether to print JSON."""
        return self.output == "json" or (self.output is None and not sys.stdout.isatty())


def show(read: Callable[[NodeHttp], Answer], draw: Draw, asked: Asked) -> Answer:
    """Print what `read` gets, over and over when it is to be watched; gives the answer."""
    with reaching(asked.api, asked.token) as node:
        if asked.watch is not None:
            _watch(lambda: read(node), draw, asked, asked.watch)
        answer = read(node)
        write(answer, draw, asked)
        return answer


def write(answer: Answer, draw: Draw, asked: Asked) -> None:
    """Print one answer."""
    if asked.json:
        print(to_json(answer, indent=2))
    else:
        print_drawn(_drawn(draw, answer))


def print_drawn(drawn: "RenderableType") -> None:
    """Print a table or the like: no line ends in spaces, none is folded in a pipe."""
    terminal = console()
    with terminal.capture() as capture:
        terminal.print(drawn)
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))


def console() -> "Console":
    """Where tables go; it knows by itself when colours are not wanted."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def _drawn(draw: Draw, answer: Answer) -> "RenderableType":
    try:
        return draw(answer)
    except KeyError as error:
        fail(f"the answer has no {error}: is the node of another version? --output json shows all", UNREACHABLE)


def _watch(read: Callable[[], Answer], draw: Draw, asked: Asked, every_s: float) -> None:
    """Redraw on a terminal, print what changed elsewhere; until interrupted."""
    if asked.json or not sys.stdout.isatty():
        before: Answer = None
        for answer in _readings(read, every_s):
            if answer != before:
                if asked.json:
                    print(to_json(answer), flush=True)
                else:
                    print_drawn(_drawn(draw, answer))
                    print(flush=True)
            before = answer
    from rich.live import Live
    from rich.text import Text

    from mpreg_core.cli.text import clock, stack

    with Live(console=console(), auto_refresh=False) as live:
        for answer in _readings(read, every_s):
            note = Text(f"{clock(time.time())}, every {every_s:g} s until Ctrl-C", style="dim")
            live.update(stack(_drawn(draw, answer), note), refresh=True)


def _readings(read: Callable[[], Answer], every_s: float) -> Iterator[Answer]:
    patience = Patience()
    while True:
        try:
            answer = read()
        except Unreachable as error:
            patience.lost(error)
            continue
        patience.heard()
        yield answer
        time.sleep(every_s)


class Patience:
    """How a watch takes it that its node is away: it waits `LOST_S`, unless the node was never there."""

    def __init__(self) -> None:
        self._seen = False
        self._until: float | None = None

    def heard(self) -> None:
        """The node answered."""
        if self._until is not None:
            say("mpreg: the node answers again")
        self._seen, self._until = True, None

    def lost(self, error: Unreachable) -> None:
        """It did not: wait a moment, or raise the error."""
        now = time.monotonic()
        if not self._seen or (self._until is not None and now >= self._until):
            raise error
        if self._until is None:
            self._until = now + LOST_S
            say(f"mpreg: {clean(str(error))}; trying for {LOST_S:.0f} s more")
        time.sleep(RETRY_S)


def follow(path: str, line: Callable[[Answer], str], asked: Asked, *, last_id: str = "", **query: object) -> None:
    """Print the events of a stream as they come, through a restart of the node; until interrupted."""
    with reaching(asked.api, asked.token) as node:
        patience = Patience()
        while True:
            try:
                with closing(node.stream(path, query, on_open=patience.heard, last_id=last_id)) as frames:
                    for frame in frames:
                        last_id = frame.id or last_id
                        print_event(frame.event, frame.data, line, asked)
            except Unreachable as error:
                patience.lost(error)


def print_event(kind: str, data: str, line: Callable[[Answer], str], asked: Asked) -> None:
    """Print one event of a stream; a gap in it is said."""
    event = json.loads(data)
    if kind == "gap":
        say(f"mpreg: {event['lost']} events were lost: they came faster than they were read")
    elif kind == "compacted":
        say(f"mpreg: the changes up to revision {event['revision']} are no longer known; what follows is as it is now")
    else:
        print(to_json(event) if asked.json else line(event), flush=True)
