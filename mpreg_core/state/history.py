"""The last changes of a store, so that a watcher can resume from the revision it saw, or is told that it cannot."""

from collections import deque
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from mpreg_core import limits
from mpreg_core.contracts.api import Scope, StateEntry
from mpreg_core.state.custom import Merges
from mpreg_core.state.version import entry_of
from mpreg_core.units import MIB

HISTORY_BYTES_MAX = 16 * MIB
"""The kept changes hold on to at most this much of replaced payloads."""


class Change(Struct, frozen=True, gc=False):
    """A key changed visibly at a revision; `payload` is its encoded version."""

    revision: int
    key: str
    scope: Scope
    deleted: bool
    payload: bytes

    def entry(self, merges: Merges) -> StateEntry | None:
        """What the key became; None when it was removed."""
        return None if self.deleted else entry_of(self.key, self.scope, self.payload, self.revision, merges)


class Compacted(Struct, frozen=True):
    """The changes after the revision asked for are no longer (or not) known here: list the keys, then watch anew.

    `oldest` is the lowest revision that can be watched from, `revision` the store's now.
    """

    oldest: int
    revision: int


class History:
    """At most `limits.STATE_HISTORY_MAX` changes and `HISTORY_BYTES_MAX` bytes; revisions without a gap."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self._changes: deque[Change] = deque()
        self._bytes = 0

    def record(self, key: str, scope: Scope, deleted: bool, payload: bytes) -> Change:
        """The next revision."""
        self.revision += 1
        change = Change(self.revision, key, scope, deleted, payload)
        self._changes.append(change)
        self._bytes += len(payload)
        while len(self._changes) > limits.STATE_HISTORY_MAX or self._bytes > HISTORY_BYTES_MAX:
            self._bytes -= len(self._changes.popleft().payload)
        return change

    def skip_to(self, revision: int) -> None:
        """Go on from a revision that an earlier life of the store reached; what was recorded before is compacted."""
        if revision > self.revision:
            self.revision = revision
            self._changes.clear()
            self._bytes = 0

    def since(self, revision: int) -> Iterator[Change] | Compacted:
        """The changes after a revision, oldest first."""
        oldest = self.revision - len(self._changes)
        if not oldest <= revision <= self.revision:
            return Compacted(oldest, self.revision)
        return islice(self._changes, revision - oldest, None)
