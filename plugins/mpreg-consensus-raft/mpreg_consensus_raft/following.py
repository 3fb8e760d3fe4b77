"""A follower: its log becomes the leader's (section 5.3), its state a snapshot of the leader's (section 7)."""

from collections.abc import Callable

import msgspec

from mpreg_consensus_raft.applied import State, states
from mpreg_consensus_raft.desk import Desk
from mpreg_consensus_raft.messages import Append, Chunk, Chunked
from mpreg_core import NodeId

SNAPSHOT_BYTES_MAX = 512 * 1024 * 1024


class Following:
    """Takes in what a leader of this term or a newer one sends."""

    def __init__(
        self,
        desk: Desk,
        heard: Callable[[int, int, NodeId], None],
        advance: Callable[[int, int], None],
        installed: Callable[[int, State], None],
    ) -> None:
        self._desk = desk
        self._heard = heard
        self._advance = advance
        self._installed = installed
        self._coming = (0, 0)  # term of the leader and index of the snapshot that comes in
        self._parts = bytearray()

    def on_append(self, now_ns: int, sender: NodeId, append: Append) -> None:
        """AppendEntries, receiver (figure 2)."""
        desk, log = self._desk, self._desk.log
        assert desk.cluster is not None
        if append.term < desk.term:
            desk.behind(sender, desk.appended(False, 0, append.round))
            return
        self._heard(now_ns, append.term, sender)
        matched = append.prev_index + len(append.entries)
        if append.prev_index >= log.base:
            if log.term_at(append.prev_index) != append.prev_term:
                hint = self._hint(append.prev_index)
                desk.behind(sender, desk.appended(False, hint, append.round))
                return
            if not self._take(append):
                return
        elif matched <= log.base:
            matched = log.base  # committed and applied long ago: all logs agree up to there
        else:
            self._take(
                msgspec.structs.replace(
                    append,
                    prev_index=log.base,
                    prev_term=log.base_term,
                    entries=append.entries[log.base - append.prev_index :],
                )
            )
        if append.commit and matched >= append.commit:
            desk.is_new = False
        self._advance(now_ns, min(append.commit, matched))
        desk.behind(sender, desk.appended(True, matched, append.round))

    def _hint(self, index: int) -> int:
        """Where the leader should try next: the end of the log, or before the term that conflicts (5.3, last part)."""
        log = self._desk.log
        if index > log.last_index:
            return log.last_index
        term = log.term_at(index)
        while index > max(log.base, self._desk.commit) and log.term_at(index) == term:
            index -= 1
        return index

    def _take(self, append: Append) -> bool:
        """Steps 3 and 4: what is here already stays, whatever else the leader may have sent since."""
        desk, log = self._desk, self._desk.log
        for number, entry in enumerate(append.entries):
            index = append.prev_index + 1 + number
            if log.term_at(index) == entry.term:
                continue
            if index <= log.last_index:
                if index <= desk.commit:
                    desk.drop("against_a_commit")
                    return False
                desk.truncate(index)
            desk.append(append.entries[number:])
            break
        return True

    def on_chunk(self, now_ns: int, sender: NodeId, chunk: Chunk) -> None:
        """InstallSnapshot, receiver (figure 13)."""
        desk = self._desk
        assert desk.cluster is not None
        if chunk.term < desk.term:
            desk.behind(sender, desk.appended(False, 0, chunk.round))
            return
        self._heard(now_ns, chunk.term, sender)
        if chunk.index <= desk.commit:
            desk.behind(sender, desk.appended(True, desk.commit, chunk.round))
            return
        if self._coming != (chunk.term, chunk.index) or chunk.offset == 0:
            self._coming = (chunk.term, chunk.index)
            self._parts = bytearray()
        if chunk.offset != len(self._parts) or chunk.total > SNAPSHOT_BYTES_MAX:
            desk.send(sender, Chunked(desk.cluster, desk.term, chunk.index, len(self._parts), chunk.round))
            return
        self._parts += chunk.data
        if len(self._parts) < chunk.total:
            desk.send(sender, Chunked(desk.cluster, desk.term, chunk.index, len(self._parts), chunk.round))
            return
        data, self._parts, self._coming = bytes(self._parts), bytearray(), (0, 0)
        try:
            state = states.decode(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError):
            desk.drop("malformed")
            return
        if (state.index, state.term) != (chunk.index, chunk.index_term):
            desk.drop("malformed")
            return
        self._installed(now_ns, state)
        desk.is_new = False
        desk.behind(sender, desk.appended(True, state.index, chunk.round))
