"""Journals: what must survive a crash.

Each journal is a folder of segment files, `00000001.log` and so on. A record is framed as length and CRC-32 (both
little-endian u32), then its bytes. All records that wait for one journal are written and synced together (group
commit), in a thread, so that the event loop never waits for the disk. A checkpoint begins a new segment, named
`.base.log`: it is written beside, synced, renamed into place, and then the older segments are removed; whatever is
older than the newest base does not count, so a crash leaves one or the other.

On start a torn tail (the last record of the last segment cut short) is cut off: it was never acknowledged. Any other
damage refuses to start rather than guess. A full or read-only disk leaves what is written intact, and the records that
wait are tried again; a failed sync is final, for nobody knows what it lost (Rebello et al., ATC 2020).
"""

import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import anyio
import anyio.to_thread

from mpreg_core.errors import StorageError
from mpreg_core.limits import FRAME_BYTES_MAX, JOURNAL_SEGMENT_BYTES
from mpreg_core.node.actions import WriteRecord

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

_HEAD = struct.Struct("<II")
RETRY_S = 1.0
WAITING_BYTES_MAX = 64 * 1024 * 1024
RETRIABLE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES))

Persisted = Callable[[str, int], None]
"""Told that a record is durable: journal, token."""

Failed = Callable[[str], None]
"""Told why the disk does not take records, once for each time it begins."""


class Segments:
    """One journal's files. Blocking; used from one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._file = -1
        self._size = 0

    def open(self) -> list[bytes]:
        """Read what is there, mend a torn tail, be ready to append. Raises `StorageError`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for stale in self._folder.glob("*.tmp"):
            stale.unlink()
        names = self._current()
        records: list[bytes] = []
        for name in names:
            found, good = _read(name, is_last=name == names[-1])
            records += found
            self._size = good
        self._number = int(names[-1].name[:8]) if names else 0
        if names:
            self._file = os.open(names[-1], os.O_RDWR)
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
        return records

    def append(self, records: list[bytes]) -> None:
        """Write and sync. On failure what was there before is intact and none of the records count."""
        if self._file < 0 or self._size >= JOURNAL_SEGMENT_BYTES:
            self._begin([], "log")
        data = b"".join(map(_framed, records))
        try:
            _write_all(self._file, data)
        except OSError:
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
            raise
        _sync(self._file)
        self._size += len(data)

    def checkpoint(self, record: bytes) -> None:
        """Replace all that is there by one record, at once or not at all."""
        self._begin([record], "base.log")
        self._current()

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _current(self) -> list[Path]:
        """The segments that count, in order; what a checkpoint replaced is removed."""
        names = sorted(self._folder.glob("*.log"))
        base = max((index for index, name in enumerate(names) if name.name.endswith(".base.log")), default=0)
        for name in names[:base]:
            name.unlink()
        return names[base:]

    def _begin(self, records: list[bytes], kind: str) -> None:
        """A new segment that holds these records, durable under its name."""
        number = self._number + 1
        final = self._folder / f"{number:08d}.{kind}"
        beside = self._folder / f"{number:08d}.tmp"
        data = b"".join(map(_framed, records))
        file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_all(file, data)
            _sync(file)
            beside.rename(final)
            _sync_folder(self._folder)
        except OSError:
            os.close(file)
            beside.unlink(missing_ok=True)
            raise
        self.close()
        self._file, self._number, self._size = file, number, len(data)


class Journal:
    """All journals of a node below one folder; in memory only when `folder` is None."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._segments: dict[str, Segments] = {}
        self._waiting: dict[str, list[WriteRecord]] = {}
        self._bytes = 0
        self._wake = anyio.Event()
        self._persisted: Persisted | None = None
        self._failed: Failed | None = None
        self._lock: int = -1
        self.failure = ""

    def load(self) -> dict[str, tuple[bytes, ...]]:
        """The records of all journals by name. Raises `StorageError` naming the file when one is damaged or in use."""
        if self._folder is None:
            return {}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self._folder)
            found = {}
            for folder in sorted(path for path in self._folder.iterdir() if path.is_dir()):
                name = unquote(folder.name)
                self._segments[name] = Segments(folder)
                found[name] = tuple(self._segments[name].open())
        except OSError as error:
            message = f"cannot use the data directory: {error.strerror}; make it writable or set node.data_dir"
            raise StorageError(message, where=str(error.filename or self._folder)) from error
        return found

    def append(self, record: WriteRecord) -> None:
        """Take a record: `persisted` follows when it is durable; in memory that is at once."""
        if self._folder is None:
            if self._persisted is not None:
                self._persisted(record.journal, record.token)
            return
        if self._bytes + len(record.record) > WAITING_BYTES_MAX:
            return  # the disk fails: its engine hears nothing, which is what the contract promises
        self._bytes += len(record.record)
        self._waiting.setdefault(record.journal, []).append(record)
        self._wake.set()

    async def run(self, persisted: Persisted, failed: Failed, *, task_status: "TaskStatus[None]") -> None:
        """Write what comes until cancelled."""
        self._persisted, self._failed = persisted, failed
        task_status.started()
        while self._folder is not None:
            await self._wake.wait()
            self._wake = anyio.Event()
            for name in sorted(self._waiting):
                await self._commit(name, self._waiting.pop(name))
        await anyio.sleep_forever()

    async def close(self) -> None:
        """Write what waits, let go of the files."""
        for name in sorted(self._waiting):
            records = self._waiting.pop(name)
            try:
                await anyio.to_thread.run_sync(self._write, name, records)
            except OSError:
                break
        for segments in self._segments.values():
            segments.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def _commit(self, name: str, records: list[WriteRecord]) -> None:
        while True:
            try:
                await anyio.to_thread.run_sync(self._write, name, records)
                break
            except OSError as error:
                self._report(f"{error.strerror} ({self._folder})")
                if error.errno not in RETRIABLE:
                    await anyio.sleep_forever()
                await anyio.sleep(RETRY_S)
        self.failure = ""
        assert self._persisted is not None
        for record in records:
            self._bytes -= len(record.record)
            self._persisted(name, record.token)

    def _report(self, failure: str) -> None:
        if self.failure != failure:
            self.failure = failure
            assert self._failed is not None
            self._failed(failure)

    def _write(self, name: str, records: list[WriteRecord]) -> None:
        assert self._folder is not None
        segments = self._segments.get(name)
        if segments is None:
            segments = Segments(self._folder / quote(name, safe=""))
            segments.open()
            self._segments[name] = segments
        start = max((index for index, record in enumerate(records) if record.checkpoint), default=-1)
        if start >= 0:
            segments.checkpoint(records[start].record)
        rest = [record.record for record in records[start + 1 :]]
        if rest:
            segments.append(rest)


def _framed(record: bytes) -> bytes:
    return _HEAD.pack(len(record), _checksum(record)) + record


def _checksum(record: bytes) -> int:
    """Seeded, so that a run of zeros, as some file systems leave after a crash, is no record."""
    return zlib.crc32(record, 0x6D70)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync(file: int) -> None:
    try:
        os.fdatasync(file)
    except OSError as error:
        raise OSError(errno.EIO, f"sync failed: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _read(name: Path, *, is_last: bool) -> tuple[list[bytes], int]:
    """The records of a segment, and where the good ones end. Raises `StorageError` for damage that is no torn tail."""
    data = name.read_bytes()
    records: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + _HEAD.size
        size, crc = _HEAD.unpack_from(data, at) if end <= len(data) else (0, 0)
        record = data[end : end + size]
        whole = end <= len(data) and end + size <= len(data)
        if whole and size <= FRAME_BYTES_MAX * 64 and _checksum(record) == crc:
            records.append(record)
            at = end + size
            continue
        if is_last and (not whole or end + size == len(data) or not any(data[at:])):
            break
        message = "the journal is damaged in the middle; restore the file, or remove the folder to start without memory"
        raise StorageError(message, where=f"{name} at byte {at}")
    return records, at


def _lock(folder: Path) -> int:
    """Hold the folder for this process alone."""
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        message = "another running node uses this data directory; give each node its own node.data_dir"
        raise StorageError(message, where=str(folder)) from error
    return file
