"""Frames waiting for their streams: bounded, never waited for, written in batches.

One queue and one writer for an endpoint and plane that has to be waited for. The writer takes all that came since it
last looked, so a burst of frames costs one write; it ends when nothing is left.
"""

from collections import deque
from collections.abc import Callable, Sequence

import anyio
from anyio.abc import TaskGroup

from mpreg_core.contracts.transport import Endpoint, Transport
from mpreg_core.errors import TransportError
from mpreg_core.ids import Plane
from mpreg_core.limits import OUTBOX_BYTES_MAX, OUTBOX_PEERS_MAX

BATCH_BYTES_MAX = 256 * 1024
IDLE_S = 5.0

Destination = tuple[Endpoint, Plane]
SendNow = Callable[[Endpoint, Plane, Sequence[bytes]], bool]
Dropped = Callable[[Plane, str, int], None]
"""Told of drops: plane, reason, how many frames."""


class Queue:
    """What waits for one endpoint on one plane."""

    __slots__ = ("bytes", "frames", "wake")

    def __init__(self) -> None:
        self.frames: deque[bytes] = deque()
        self.bytes = 0
        self.wake = anyio.Event()

    def take(self) -> list[bytes]:
        """The next batch; at least one frame when there is any."""
        batch: list[bytes] = []
        size = 0
        while self.frames and (not batch or size + len(self.frames[0]) <= BATCH_BYTES_MAX):
            frame = self.frames.popleft()
            size += len(frame)
            batch.append(frame)
        self.bytes -= size
        return batch


class Outbox:
    """All queues of a node.

    What the frames of one step need not wait for is written at its end, where the transport can do that; only what is
    left has a queue.
    """

    def __init__(self, transport: Transport, tasks: TaskGroup, dropped: Dropped) -> None:
        self._transport = transport
        self._send_now: SendNow | None = getattr(transport, "send_now", None)
        self._tasks = tasks
        self._dropped = dropped
        self._fresh: dict[Destination, list[bytes]] = {}
        self._writing = False
        self._queues: dict[Destination, Queue] = {}

    @property
    def waiting_bytes(self) -> int:
        """Bytes waiting, all peers together."""
        return sum(queue.bytes for queue in self._queues.values())

    def put(self, to: Endpoint, plane: Plane, frame: bytes) -> None:
        """Take a frame in; `write` is to follow. One that does not fit is dropped and counted."""
        destination = (to, plane)
        fresh = self._fresh.get(destination)
        if fresh is not None:
            fresh.append(frame)
            return
        queue = self._queues.get(destination)
        if queue is not None:
            self._wait(queue, plane, frame)
        else:
            self._fresh[destination] = [frame]

    def write(self) -> None:
        """Have all that was put written, now if that needs no waiting."""
        if self._writing:  # by an error that a write met; what it caused comes after what was put before
            return
        self._writing = True
        try:
            while self._fresh:
                fresh, self._fresh = self._fresh, {}
                for (to, plane), frames in fresh.items():
                    if self._send_now is None or (to, plane) in self._queues or not self._send_now(to, plane, frames):
                        self._begin(to, plane, frames)
        finally:
            self._writing = False

    async def flush(self, timeout_s: float) -> None:
        """Wait until nothing waits any more, for a moment at most."""
        self.write()
        with anyio.move_on_after(timeout_s):
            while self.waiting_bytes or any(
                not queue.wake.is_set() and queue.frames for queue in self._queues.values()
            ):
                await anyio.sleep(0.005)

    def _begin(self, to: Endpoint, plane: Plane, frames: list[bytes]) -> None:
        queue = self._queues.get((to, plane))
        if queue is None:
            if len(self._queues) >= OUTBOX_PEERS_MAX:
                self._dropped(plane, "outbox_peers", len(frames))
                return
            queue = self._queues[to, plane] = Queue()
            self._tasks.start_soon(self._write, to, plane, queue)
        for frame in frames:
            self._wait(queue, plane, frame)

    def _wait(self, queue: Queue, plane: Plane, frame: bytes) -> None:
        if queue.bytes + len(frame) > OUTBOX_BYTES_MAX:
            self._dropped(plane, "outbox_full", 1)
            return
        queue.frames.append(frame)
        queue.bytes += len(frame)
        queue.wake.set()

    async def _write(self, to: Endpoint, plane: Plane, queue: Queue) -> None:
        try:
            while True:
                if self._send_now is None:
                    with anyio.move_on_after(IDLE_S):
                        await queue.wake.wait()
                if not queue.frames:
                    return
                queue.wake = anyio.Event()
                while batch := queue.take():
                    await self._send(to, plane, queue, batch)
        finally:
            del self._queues[to, plane]

    async def _send(self, to: Endpoint, plane: Plane, queue: Queue, batch: list[bytes]) -> None:
        try:
            await self._transport.send(to, plane, batch)
        except TransportError:
            # What waits behind it is for the same dead end: its senders learn from silence, as from any loss.
            lost = len(batch) + len(queue.frames)
            queue.frames.clear()
            queue.bytes = 0
            self._dropped(plane, "unreachable", lost)
