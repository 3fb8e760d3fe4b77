"""The node's latest events, kept for all event streams together: a reader holds a number, never a queue."""

from collections import deque
from collections.abc import Sequence
from functools import cache
from itertools import islice

import anyio
import msgspec
from msgspec import Struct, structs

from mpreg_core import Delivered, Event, Occurrence, RequestDone, RoundTrip

KEPT_MAX = 1024
PAYLOAD_BYTES_MAX = 1024
"""A longer payload is not kept with its event, only its length."""

_BATCH_MAX = 256
_MEASUREMENTS = (RoundTrip, Delivered, RequestDone)


class Entry(Struct, frozen=True):
    """An event with its number and the wall clock, seconds, when it came here."""

    number: int
    at: float
    occurrence: Occurrence


class EventRing:
    """The last `KEPT_MAX` events, numbered from 1 on.

    An event's id on the wire is `<epoch>-<number>`; `epoch` differs from ring to ring, so that an id from before a
    restart is known for what it is. Round trips, deliveries of gossip and the ends of requests are left out: they are
    measurements, by the hundred or thousand a second, and would push out all else (`/metrics` has them).
    """

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._entries: deque[Entry] = deque(maxlen=KEPT_MAX)
        self._last = 0
        self._more = anyio.Event()
        self._awaited = False

    @property
    def last(self) -> int:
        """The number of the newest event; 0 when there was none."""
        return self._last

    def add(self, occurrence: Occurrence, at: float) -> None:
        """Keep an event and wake who waits for one."""
        if type(occurrence.event) in _MEASUREMENTS:
            return
        self._last += 1
        self._entries.append(Entry(self._last, at, _slim(occurrence)))
        if self._awaited:
            self._more.set()
            self._more, self._awaited = anyio.Event(), False

    def after(self, number: int) -> tuple[int, Sequence[Entry]]:
        """How many events after `number` were lost to the bound, and the next ones that are still here."""
        if number >= self._last:
            return 0, ()
        first = self._entries[0].number
        skip = max(number + 1 - first, 0)
        return max(first - number - 1, 0), tuple(islice(self._entries, skip, skip + _BATCH_MAX))

    async def wait(self, number: int) -> None:
        """Return once there is an event after `number`."""
        while number >= self._last:
            self._awaited = True
            await self._more.wait()

    def wire_id(self, number: int) -> str:
        """What goes into an `id:` line."""
        return f"{self._epoch}-{number}"

    def resume_from(self, wire_id: str) -> int:
        """The number behind a `Last-Event-ID`. Empty: only what is new. Not of this ring: all that is kept."""
        if not wire_id:
            return self._last
        epoch, _, number = wire_id.rpartition("-")
        if epoch == self._epoch and number.isascii() and number.isdigit() and len(number) < 19:
            return min(int(number), self._last)
        return self._entries[0].number - 1 if self._entries else 0


def event_json(entry: Entry) -> bytes:
    """`{"at", "node", "pool", "event": {"type", ...}}`: the fields by name, bytes as the JSON they hold."""
    occurrence = entry.occurrence
    event = {"type": type(occurrence.event).__name__, **_plain(occurrence.event)}
    return msgspec.json.encode(
        {"at": entry.at, "node": occurrence.node, "pool": occurrence.pool, "event": event}, enc_hook=str
    )


def _plain(value: Struct) -> dict[str, object]:
    return {name: _by_name(getattr(value, name)) for name in value.__struct_fields__}


def _by_name(value: object) -> object:
    """Records go over the wire as arrays; people read them by name."""
    if isinstance(value, Struct):
        return _plain(value)
    if isinstance(value, tuple | list):
        return [_by_name(item) for item in value]
    if isinstance(value, bytes):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return {"bytes": len(value)}
    return value


def _slim(occurrence: Occurrence) -> Occurrence:
    """The occurrence without long payloads; in their place, as JSON, how long they were."""
    event: Event = occurrence.event
    long = {
        name: b'{"bytes": %d}' % len(value)
        for name in _bytes_fields(type(event))
        if len(value := getattr(event, name)) > PAYLOAD_BYTES_MAX
    }
    return structs.replace(occurrence, event=structs.replace(event, **long)) if long else occurrence


@cache
def _bytes_fields(kind: type[Event]) -> tuple[str, ...]:
    return tuple(field.name for field in structs.fields(kind) if field.type is bytes)
