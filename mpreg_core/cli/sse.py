"""Reads server-sent events (WHATWG HTML, 9.2.6)."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Frame(NamedTuple):
    """One event. `data` is JSON; `event` is empty for plain ones; `id` resumes after it."""

    data: str
    id: str
    event: str


def parse(lines: Iterable[str]) -> Iterator[Frame]:
    """The events in a stream's lines, which come without their ends. One that was cut off is left out."""
    data: list[str] = []
    last_id = event = ""
    for line in lines:
        if not line:
            if data:
                yield Frame("\n".join(data), last_id, event)
            data, event = [], ""
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "id":
            last_id = value
        elif name == "event":
            event = value
