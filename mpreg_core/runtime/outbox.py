"""Frames waiting for their streams: bounded, never waited for, written in batches.

One queue and one writer for an endpoint and plane. The writer takes all that came since it last looked, so a burst of
frames costs one write; it ends when it had nothing to do for a while.
"""

from collections import deque
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from mpreg_core.contracts.transport import Endpoint, Transport
from mpreg_core.errors import TransportError
from mpreg_core.ids import Plane
from mpreg_core.limits import OUTBOX_BYTES_MAX, OUTBOX_PEERS_MAX

BATCH_BYTES_MAX = 256 * 1024
IDLE_S = 5.0

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
    """All queues of a node."""

    def __init__(self, transport: Transport, tasks: TaskGroup, dropped: Dropped) -> None:
        self._transport = transport
        self._tasks = tasks
        self._dropped = dropped
        self._queues: dict[tuple[Endpoint, Plane], Queue] = {}

    @property
    def waiting_bytes(self) -> int:
        """Bytes waiting, all peers together."""
        return sum(queue.bytes for queue in self._queues.values())

    def put(self, to: Endpoint, plane: Plane, frame: bytes) -> None:
        """Queue a frame; one that does not fit is dropped and counted."""
        key = (to, plane)
        queue = self._queues.get(key)
        if queue is None:
            if len(self._queues) >= OUTBOX_PEERS_MAX:
                self._dropped(plane, "outbox_peers", 1)
                return
            queue = self._queues[key] = Queue()
            self._tasks.start_soon(self._write, to, plane, queue)
        if queue.bytes + len(frame) > OUTBOX_BYTES_MAX:
            self._dropped(plane, "outbox_full", 1)
            return
        queue.frames.append(frame)
        queue.bytes += len(frame)
        queue.wake.set()

    async def flush(self, timeout_s: float) -> None:
        """Wait until nothing waits any more, for a moment at most."""
        with anyio.move_on_after(timeout_s):
            while self.waiting_bytes or any(
                not queue.wake.is_set() and queue.frames for queue in self._queues.values()
            ):
                await anyio.sleep(0.005)

    async def _write(self, to: Endpoint, plane: Plane, queue: Queue) -> None:
        try:
            while True:
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
