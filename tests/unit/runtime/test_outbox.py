"""The outbox: batches what comes together, drops what does not fit, never waits."""

import anyio
import pytest

from mpreg_core.contracts.transport import Endpoint
from mpreg_core.errors import TransportError
from mpreg_core.limits import OUTBOX_BYTES_MAX
from mpreg_core.runtime.outbox import BATCH_BYTES_MAX, Outbox

pytestmark = pytest.mark.anyio
PEER = Endpoint("peer", 1)


class Line:
    """A transport whose peer takes batches when it is told to."""

    def __init__(self):
        self.batches = []
        self.open = anyio.Event()
        self.open.set()
        self.dead = False
        self.sent = anyio.Event()

    async def send(self, to, plane, frames):
        await self.open.wait()
        if self.dead:
            raise TransportError("refused")
        self.batches.append((to, plane, list(frames)))
        self.sent.set()


class Drops(list):
    def __call__(self, plane, reason, count):
        self.append((plane, reason, count))


async def test_frames_of_one_turn_go_in_one_batch_in_order():
    line, drops = Line(), Drops()
    async with anyio.create_task_group() as tasks:
        outbox = Outbox(line, tasks, drops)
        for number in range(50):
            outbox.put(PEER, "gossip", b"%d" % number)
        outbox.put(PEER, "routing", b"other plane")
        await outbox.flush(5)
        while len(line.batches) < 2:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert sorted(line.batches) == [  # the planes' writers are apart: who of them goes first is the scheduler's choice
        (PEER, "gossip", [b"%d" % number for number in range(50)]),
        (PEER, "routing", [b"other plane"]),
    ]
    assert drops == []


async def test_a_slow_peer_costs_bounded_memory_and_later_frames_are_dropped_and_counted():
    line, drops = Line(), Drops()
    line.open = anyio.Event()
    async with anyio.create_task_group() as tasks:
        outbox = Outbox(line, tasks, drops)
        frame = bytes(64 * 1024)
        for _ in range(2 * OUTBOX_BYTES_MAX // len(frame)):
            outbox.put(PEER, "gossip", frame)
        outbox.write()
        assert outbox.waiting_bytes <= OUTBOX_BYTES_MAX
        assert len(drops) == OUTBOX_BYTES_MAX // len(frame)
        assert set(drops) == {("gossip", "outbox_full", 1)}
        line.open.set()
        await outbox.flush(5)
        tasks.cancel_scope.cancel()
    assert all(sum(map(len, frames)) <= BATCH_BYTES_MAX for _, _, frames in line.batches)


async def test_a_dead_peer_drops_what_waits_and_the_next_frame_tries_again():
    line, drops = Line(), Drops()
    line.dead = True
    async with anyio.create_task_group() as tasks:
        outbox = Outbox(line, tasks, drops)
        outbox.put(PEER, "gossip", b"1")
        outbox.put(PEER, "gossip", b"2")
        outbox.write()
        while not drops:
            await anyio.lowlevel.checkpoint()
        line.dead = False
        outbox.put(PEER, "gossip", b"3")
        outbox.write()
        await line.sent.wait()
        tasks.cancel_scope.cancel()
    assert drops == [("gossip", "unreachable", 2)]
    assert line.batches == [(PEER, "gossip", [b"3"])]


class Prompt(Line):
    """One that writes at once while there is room for it."""

    def __init__(self, room):
        super().__init__()
        self.room = room
        self.at_once = []

    def send_now(self, to, plane, frames):
        if self.room < len(frames):
            return False
        self.room -= len(frames)
        self.at_once += frames
        return True


async def test_what_needs_no_waiting_is_written_at_the_end_of_the_step_and_leaves_no_queue():
    line, drops = Prompt(room=100), Drops()
    async with anyio.create_task_group() as tasks:
        outbox = Outbox(line, tasks, drops)
        for number in range(10):
            outbox.put(PEER, "gossip", b"%d" % number)
        assert line.at_once == []
        outbox.write()
        assert line.at_once == [b"%d" % number for number in range(10)]
        assert outbox.waiting_bytes == 0
        assert not tasks.cancel_scope.cancel_called
    assert line.batches == []


async def test_order_holds_when_some_has_to_wait_and_more_could_be_written_at_once():
    line, drops = Prompt(room=1), Drops()
    line.open = anyio.Event()
    async with anyio.create_task_group() as tasks:
        outbox = Outbox(line, tasks, drops)
        for number in range(4):
            outbox.put(PEER, "gossip", b"%d" % number)
            outbox.write()
            line.room += number  # none for the second one, enough for those after it
            await anyio.wait_all_tasks_blocked()
        assert line.at_once == [b"0"]
        line.open.set()
        await outbox.flush(5)
        await anyio.wait_all_tasks_blocked()
        outbox.put(PEER, "gossip", b"4")
        outbox.write()
    assert [frame for *_, frames in line.batches for frame in frames] == [b"1", b"2", b"3"]
    assert line.at_once == [b"0", b"4"]


async def test_what_a_failed_write_causes_comes_after_what_was_put_before():
    line, drops, other = Prompt(room=100), Drops(), Endpoint("other", 1)
    async with anyio.create_task_group() as tasks:
        outbox = Outbox(line, tasks, drops)
        take = line.send_now

        def fails_once(to, plane, frames):
            outbox._send_now = take
            outbox.put(other, "gossip", b"new")
            outbox.write()
            return take(to, plane, frames)

        outbox._send_now = fails_once
        outbox.put(PEER, "gossip", b"a")
        outbox.put(other, "gossip", b"old")
        outbox.write()
    assert line.at_once == [b"a", b"old", b"new"]
