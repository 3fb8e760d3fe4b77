"""Answers as people read them: tables, units, colours for words of state, and nothing that could steer a terminal."""

import json
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

# Names and values come from the network. Control characters, directions and half characters are shown, not obeyed.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_GOOD, _FAIR, _BAD, _OLD = "green", "yellow", "bold red", "dim"
_STYLES = {
    **dict.fromkeys(("alive", "healthy", "ready", "committed", "loaded", "yes"), _GOOD),
    **dict.fromkeys(("suspect", "degraded", "draining", "pending", "joining", "starting"), _FAIR),
    **dict.fromkeys(("failed", "unhealthy", "rejected", "timeout"), _BAD),
    **dict.fromkeys(("left", "stopped", "skipped"), _OLD),
}


def clean(text: str) -> str:
    """The text with its steering characters spelled out."""
    return _STEERING.sub(_spelled, text)


def _spelled(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON, in which steering characters are escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return re.sub("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", _escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def cell(value: object) -> "Text":
    """A value in a table, coloured where it is a word of state; `-` for nothing."""
    from rich.text import Text

    text = clean(shown(value))
    return Text(text, style=_STYLES.get(text, ""))


def shown(value: object) -> str:
    """A value in words: texts as they are, lists by commas, the rest as JSON."""
    if value is None or value == "" or value == []:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return to_json(value)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Collection[str] = (), fold: Collection[str] = ()
) -> "Table":
    """A table without lines. `right` columns are aligned so; where the terminal is narrow, `fold` columns fold."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", no_wrap=name not in fold, overflow="fold")
    for row in rows:
        made.add_row(*(cell(value) for value in row))
    return made


def facts(pairs: Mapping[str, object]) -> "Table":
    """One thing's properties, a line each."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs.items():
        made.add_row(Text(name, style="bold"), cell(value))
    return made


def stack(*parts: "RenderableType") -> "RenderableType":
    """Parts below each other, an empty line between."""
    from rich.console import Group

    spaced: list[RenderableType] = []
    for part in parts:
        spaced += ["", part] if spaced else [part]
    return Group(*spaced)


def duration(seconds: float) -> str:
    """A time in its two largest units: `12s`, `3m 5s`, `5h 30m`, `2d 4h`."""
    whole = max(int(seconds), 0)
    for size, unit, smaller, small in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // smaller}{small}"
    return f"{whole}s"


def age(since: float) -> str:
    """How long ago a wall-clock time is, by the clock of this machine."""
    return duration(time.time() - since)


def millis(value: float | None) -> str:
    """Milliseconds with their unit; `-` for None."""
    if value is None:
        return "-"
    return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"


def clock(at: float) -> str:
    """A wall-clock time of day, local."""
    return time.strftime("%H:%M:%S", time.localtime(at))
