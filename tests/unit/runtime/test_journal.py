"""The journal: what was acknowledged survives, what was torn is cut, damage is never guessed away."""

import errno
import os
from pathlib import Path

import anyio
import pytest

from mpreg_core.errors import StorageError
from mpreg_core.node.actions import WriteRecord
from mpreg_core.runtime import journal as module
from mpreg_core.runtime.journal import Journal, Segments

pytestmark = pytest.mark.anyio


def reopened(folder):
    return Segments(folder).open()


def newest(folder: Path) -> Path:
    return max(folder.glob("*.log"))


def test_records_come_back_in_order(tmp_path):
    segments = Segments(tmp_path)
    assert segments.open() == []
    segments.append([b"one", b""])
    segments.append([b"three"])
    segments.close()
    assert reopened(tmp_path) == [b"one", b"", b"three"]


def test_a_checkpoint_replaces_what_came_before(tmp_path):
    segments = Segments(tmp_path)
    segments.open()
    segments.append([b"old"])
    segments.checkpoint(b"base")
    segments.append([b"new"])
    segments.close()
    assert reopened(tmp_path) == [b"base", b"new"]
    assert len(list(tmp_path.glob("*.log"))) == 1


def test_a_crash_between_a_checkpoint_and_the_removal_of_the_older_leaves_the_checkpoint(tmp_path, monkeypatch):
    segments = Segments(tmp_path)
    segments.open()
    segments.append([b"old"])
    monkeypatch.setattr(Segments, "_current", lambda self: [])
    segments.checkpoint(b"base")
    monkeypatch.undo()
    segments.close()
    assert len(list(tmp_path.glob("*.log"))) == 2
    assert reopened(tmp_path) == [b"base"]


def test_a_crash_during_a_checkpoint_leaves_the_older_records(tmp_path, monkeypatch):
    segments = Segments(tmp_path)
    segments.open()
    segments.append([b"old"])

    def fail(file):
        raise OSError(errno.EIO, "sync failed")

    monkeypatch.setattr(module, "_sync", fail)
    with pytest.raises(OSError, match="sync failed"):
        segments.checkpoint(b"base")
    monkeypatch.undo()
    segments.close()
    assert reopened(tmp_path) == [b"old"]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_torn_tail_is_cut_off_wherever_it_was_torn(tmp_path, cut):
    segments = Segments(tmp_path)
    segments.open()
    segments.append([b"kept"])
    segments.append([b"torn"])
    segments.close()
    file = newest(tmp_path)
    os.truncate(file, file.stat().st_size - cut)
    again = Segments(tmp_path)
    assert again.open() == [b"kept"]
    again.append([b"next"])
    again.close()
    assert reopened(tmp_path) == [b"kept", b"next"]


def test_a_tail_of_zeros_is_no_record(tmp_path):
    segments = Segments(tmp_path)
    segments.open()
    segments.append([b"kept"])
    segments.close()
    with newest(tmp_path).open("ab") as file:
        file.write(bytes(64))
    assert reopened(tmp_path) == [b"kept"]


def test_damage_in_the_middle_refuses_to_start_and_names_the_place(tmp_path):
    segments = Segments(tmp_path)
    segments.open()
    segments.append([b"first", b"second"])
    segments.close()
    data = bytearray(newest(tmp_path).read_bytes())
    data[9] ^= 1
    newest(tmp_path).write_bytes(data)
    with pytest.raises(StorageError, match=r"00000001\.log at byte 0: the journal is damaged"):
        reopened(tmp_path)


async def run(journal, act, until):
    """Run the journal, do something, wait for an event; gives what was persisted and what failed."""
    done, failures = [], []
    reached = anyio.Event()

    def persisted(name, token):
        done.append((name, token))
        if until(done, failures):
            reached.set()

    def failed(error):
        failures.append(error)
        if until(done, failures):
            reached.set()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            await tasks.start(journal.run, persisted, failed)
            act()
            await reached.wait()
            tasks.cancel_scope.cancel()
        await journal.close()
    return done, failures


async def test_many_records_share_a_sync_and_are_told_in_order(tmp_path, monkeypatch):
    syncs = []
    real = module._sync
    monkeypatch.setattr(module, "_sync", lambda file: (syncs.append(file), real(file)))
    journal = Journal(tmp_path / "n")
    assert journal.load() == {}

    def act():
        for token in range(100):
            journal.append(WriteRecord("global/consensus", token, b"%d" % token, False))

    done, _ = await run(journal, act, lambda done, failures: len(done) == 100)
    assert done == [("global/consensus", token) for token in range(100)]
    assert len(syncs) < 10
    again = Journal(tmp_path / "n")
    assert again.load() == {"global/consensus": tuple(b"%d" % token for token in range(100))}
    await again.close()


async def test_in_memory_a_record_is_durable_at_once():
    journal = Journal(None)
    done, _ = await run(journal, lambda: journal.append(WriteRecord("a", 1, b"x", False)), lambda done, _: done)
    assert done == [("a", 1)]


async def test_a_full_disk_is_told_once_and_the_record_is_written_when_there_is_room(tmp_path, monkeypatch):
    attempts = []
    real = module._write_all

    def full(file, data):
        attempts.append(data)
        if len(attempts) < 3:
            os.write(file, data[:3])
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, data)

    monkeypatch.setattr(module, "RETRY_S", 0.01)
    monkeypatch.setattr(module, "_write_all", full)
    journal = Journal(tmp_path / "n")
    journal.load()

    def act():
        journal.append(WriteRecord("a", 1, b"one", False))

    done, failures = await run(journal, act, lambda done, _: done)
    assert done == [("a", 1)]
    assert len(failures) == 1
    assert "No space left on device" in failures[0]
    monkeypatch.undo()
    again = Journal(tmp_path / "n")
    assert again.load() == {"a": (b"one",)}
    await again.close()


async def test_after_a_failed_sync_nothing_counts_as_durable_any_more(tmp_path, monkeypatch):
    def fail(file):
        raise OSError(errno.EIO, "sync failed")

    monkeypatch.setattr(module, "_sync", fail)
    journal = Journal(tmp_path / "n")
    journal.load()

    def act():
        journal.append(WriteRecord("a", 1, b"one", False))

    done, failures = await run(journal, act, lambda _, failures: failures)
    assert (done, len(failures)) == ([], 1)


async def test_a_data_directory_in_use_is_refused(tmp_path):
    first = Journal(tmp_path / "n")
    first.load()
    with pytest.raises(StorageError, match="another running node uses this data directory"):
        Journal(tmp_path / "n").load()
    await first.close()
    second = Journal(tmp_path / "n")
    second.load()
    await second.close()


def test_a_data_directory_that_cannot_be_made_is_refused_with_its_path(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/n: cannot use the data directory"):
        Journal(tmp_path / "file" / "n").load()
