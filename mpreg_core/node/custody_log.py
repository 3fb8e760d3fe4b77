"""The journal of messages in custody: what was taken on, and what was released; and who waits until it is written."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgspec import MsgspecError, Struct, msgpack

from mpreg_core.errors import StorageError
from mpreg_core.ids import PoolId
from mpreg_core.node import topics
from mpreg_core.node.actions import WriteRecord
from mpreg_core.node.state import NodeState

CUSTODY_JOURNAL = "custody"

CHECKPOINT_BYTES_MIN = 4 * 1024 * 1024
"""The journal is written anew when it is larger than this, and than twice what is in custody."""


Key: TypeAlias = tuple[str, str]
"""A message's id and a queue group, which is empty for the plain subscribers."""


class Kept(Struct, frozen=True, array_like=True, tag=1):
    """A message that was taken on, for a queue group or (an empty one) for all plain subscribers.

    `came` is the pool that it came from, `served` are the groups that others know of and serve.
    """

    record: topics.MessageRecord
    born_ms: int
    expires_ms: int
    group: str = ""
    came: PoolId = ""
    served: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.record.id, self.group


class Released(Struct, frozen=True, array_like=True, tag=2):
    """A message that is kept no longer."""

    id: str
    group: str


_records = msgpack.Decoder(list[Kept | Released])


class CustodyLog:
    """Collects the changes of a step, and writes them as one record at its end."""

    def __init__(self, state: NodeState) -> None:
        self._state = state
        self._changes: dict[Key, Kept | Released] = {}
        self._bytes = 0
        self._written = 0
        self._durable = 0
        self._then: list[tuple[int, Callable[[], None]]] = []  # what waits for which write, in order

    def keep(self, kept: Kept) -> None:
        """A message was taken on."""
        self._changes[kept.key] = kept

    def release(self, key: Key) -> None:
        """A message is kept no longer; one of this step was never written."""
        if isinstance(self._changes.get(key), Kept):
            del self._changes[key]
        else:
            self._changes[key] = Released(*key)

    def then(self, act: Callable[[], None]) -> None:
        """Act as soon as all that was taken on so far is durable."""
        if self._changes or self._durable < self._written:
            self._then.append((self._written + bool(self._changes), act))
        else:
            act()

    def write(self, in_custody: Callable[[], list[Kept]], size: int) -> None:
        """At the end of a step: have written what it changed, or all that is in custody in place of all records."""
        if not self._changes:
            return
        record = msgpack.encode(list(self._changes.values()))
        self._changes.clear()
        self._written += 1
        if not self._state.settings.durable:
            self.persisted(self._written)
            return
        self._bytes += len(record)
        is_checkpoint = self._bytes > max(CHECKPOINT_BYTES_MIN, 2 * size)
        if is_checkpoint:
            record = msgpack.encode(in_custody())
            self._bytes = len(record)
        self._state.actions.append(WriteRecord(CUSTODY_JOURNAL, self._written, record, is_checkpoint))

    def persisted(self, token: int) -> None:
        """A record is durable, and with it all before."""
        self._durable = max(self._durable, token)
        while self._then and self._then[0][0] <= self._durable:
            self._then.pop(0)[1]()

    def read(self, records: Sequence[bytes]) -> list[Kept]:
        """What an earlier life had in custody. Raises `StorageError` for a record that is none."""
        kept: dict[Key, Kept] = {}
        for number, encoded in enumerate(records):
            try:
                for record in _records.decode(encoded):
                    if isinstance(record, Kept):
                        kept[record.key] = record
                    else:
                        kept.pop((record.id, record.group), None)
            except MsgspecError as error:
                advice = "move the journal away: the messages in it are lost then"
                raise StorageError(f"{error}; {advice}", where=f"{CUSTODY_JOURNAL}, record {number}") from error
        self._bytes = sum(map(len, records))
        return list(kept.values())
