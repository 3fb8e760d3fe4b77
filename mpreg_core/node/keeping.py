"""Replicated keys over a restart: what changes in the store goes to the journal `state`, and comes back from there.

One record for all that a step changed; now and then the whole store in place of all records. Keys that an engine of
this node decides are not among them: its own journal has them.
"""

from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from mpreg_core.errors import MpregError, StorageError
from mpreg_core.node.actions import WriteRecord
from mpreg_core.node.state import NodeState
from mpreg_core.state.store import StateStore

STATE_JOURNAL = "state"

CHECKPOINT_BYTES_MIN = 4 * 1024 * 1024
"""The journal is written anew when what follows its checkpoint is larger than this, and than twice the checkpoint."""


class Written(Struct, frozen=True):
    """All that was written before is durable."""


class Keeping:
    """The store's journal."""

    def __init__(self, state: NodeState, store: StateStore) -> None:
        self._state = state
        self._store = store
        self._bytes = 0
        self._checkpoint_bytes = 0
        self._last = 0
        self._durable = 0
        self._asked: list[int] = []
        self._waiting: deque[tuple[int, int]] = deque()

    def restore(self, records: Sequence[bytes], wall_ms: int) -> None:
        """Take in what an earlier life wrote. Raises `StorageError` for a record that is none."""
        for number, record in enumerate(records):
            try:
                self._store.restore(record, wall_ms=wall_ms)
            except MpregError as error:
                advice = "restore the journal, or move it away: this node then has the keys from its pools alone"
                raise StorageError(f"{error}; {advice}", where=f"{STATE_JOURNAL}, record {number}") from error
        self._bytes = sum(map(len, records))
        self._store.unsaved.clear()

    def complete_when_durable(self, token: int) -> None:
        """`Complete(token, Written)` as soon as all that this step and those before changed is durable."""
        self._asked.append(token)

    def write(self) -> None:
        """At the end of a step: have what it changed written."""
        if self._store.unsaved:
            self._write()
        if self._asked:
            self._waiting.extend((self._last, token) for token in self._asked)
            self._asked.clear()
            self._complete()

    def _write(self) -> None:
        store, settings = self._store, self._state.settings
        if not settings.durable:
            store.unsaved.clear()
            return
        record = store.excerpt(store.unsaved)
        store.unsaved.clear()
        self._bytes += len(record)
        is_checkpoint = self._bytes > max(CHECKPOINT_BYTES_MIN, 2 * self._checkpoint_bytes)
        if is_checkpoint:
            record = store.snapshot()
            self._bytes, self._checkpoint_bytes = 0, len(record)
        self._last += 1
        self._state.actions.append(WriteRecord(STATE_JOURNAL, self._last, record, is_checkpoint))

    def persisted(self, token: int) -> None:
        """A record is durable, and with it all before."""
        self._durable = max(self._durable, token)
        self._complete()

    def _complete(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._durable:
            self._state.complete(self._waiting.popleft()[1], Written())
