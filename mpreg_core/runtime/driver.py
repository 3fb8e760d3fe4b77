"""The driver: tells a `NodeCore` what happens and carries out what it asks for.

All calls into the core are made from the event loop, one after another. Frames go straight from the transport into the
core and its answers straight out again: no queue lies between.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup
from msgspec import Struct

from mpreg_core.contracts.access import Identity
from mpreg_core.contracts.events import Occurrence, StorageFailed
from mpreg_core.contracts.failure_detector import Evidence
from mpreg_core.contracts.transport import Endpoint, Transport
from mpreg_core.errors import MpregError
from mpreg_core.ids import PLANES, Lane, Plane
from mpreg_core.node.actions import (
    Abandon,
    Action,
    CheckHealth,
    Complete,
    Invoke,
    Notify,
    StopNode,
    Transmit,
    WriteRecord,
)
from mpreg_core.node.core import NodeCore
from mpreg_core.node.state import CounterKey
from mpreg_core.runtime import clock
from mpreg_core.runtime.handlers import Handlers
from mpreg_core.runtime.outbox import Outbox
from mpreg_core.runtime.timing import OneShot, one_shots
from mpreg_core.units import seconds

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

    from mpreg_core.runtime.journal import Journal

logger = logging.getLogger("mpreg.node")

LAG_EVERY_S = 1.0
BURST = 16
"""Of the frames that came together, so many are dealt with before what they cause is written: then the nodes and
clients along a way work side by side, not one after the other."""


class Traffic:
    """Frames and bytes of one plane, one way. Counted here: it is done for every frame."""

    __slots__ = ("bytes", "frames")

    def __init__(self) -> None:
        self.frames = self.bytes = 0


class Waiter:
    """The outcome of one command."""

    __slots__ = ("ended", "result")

    def __init__(self, ended: OneShot) -> None:
        self.ended = ended
        self.result: Struct | MpregError | None = None


class Driver:
    """One node in this process.

    `make_core` is called once the endpoints are bound. `on_occurrence` is shown every event; it must be quick and never
    raise. `stopped` is set, with a reason in `stop_reason`, when the node decides that it must not go on.
    """

    def __init__(
        self,
        make_core: Callable[[Mapping[Plane, Endpoint]], NodeCore],
        transport: Transport,
        journal: "Journal",
        on_occurrence: Callable[[Occurrence], None],
    ) -> None:
        self._make_core = make_core
        self._core: NodeCore | None = None
        self.transport = transport
        self.journal = journal
        self.stopped = anyio.Event()
        self.stop_reason = ""
        self.lag_s = 0.0
        self._on_occurrence = on_occurrence
        self._waiters: dict[int, Waiter] = {}
        self._work: deque[Action] = deque()
        self._occurrences: deque[Occurrence] = deque()
        self._carrying = False
        self._sleeping_until = 0
        self._one_shot: Callable[[], OneShot]
        self._wake = anyio.Event()
        self._received = {plane: Traffic() for plane in PLANES}
        self._sent = {plane: Traffic() for plane in PLANES}
        self._outbox: Outbox | None = None
        self.handlers: Handlers | None = None

    @property
    def core(self) -> NodeCore:
        """The node; there is one once `run` has started."""
        assert self._core is not None, "the driver does not run yet"
        return self._core

    async def run(
        self, listen: Mapping[Plane, Endpoint], *, task_status: "TaskStatus[Mapping[Plane, Endpoint]]"
    ) -> None:
        """Listen, start the node and drive it until cancelled. `started` gets the endpoints as bound."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            bound = await tasks.start(self._serve, listen)
            self._prepare(tasks)
            self._core = self._make_core(bound)
            await tasks.start(self.journal.run, self._on_persisted, self._on_storage_failed)
            self.carry_out(self.core.start(clock.now_ns(), clock.wall_offset_ns()))
            tasks.start_soon(self._keep_time)
            tasks.start_soon(self._measure_lag)
            task_status.started(bound)

    async def _serve(
        self, listen: Mapping[Plane, Endpoint], *, task_status: "TaskStatus[Mapping[Plane, Endpoint]]"
    ) -> None:
        await self.transport.serve(listen, self, task_status=task_status)

    def _prepare(self, tasks: TaskGroup) -> None:
        self._one_shot = one_shots()
        self._outbox = Outbox(self.transport, tasks, self._on_outbox_dropped)
        self.handlers = Handlers(tasks, self._on_handled, self._on_checked)
        tasks.start_soon(self.handlers.run)

    async def _close(self) -> None:
        with anyio.CancelScope(shield=True):
            await self.transport.close()
            await self.journal.close()
            if self.handlers is not None:
                await self.handlers.close()

    @property
    def outbox_bytes(self) -> int:
        """Bytes that wait for their streams."""
        return self._outbox.waiting_bytes if self._outbox is not None else 0

    def traffic(self) -> Iterator[tuple[CounterKey, int]]:
        """The counters of frames and bytes by plane."""
        for way, planes in (("in", self._received), ("out", self._sent)):
            for plane, traffic in planes.items():
                labels = (("plane", plane),)
                yield (f"mpreg_frames_{way}_total", labels), traffic.frames
                yield (f"mpreg_bytes_{way}_total", labels), traffic.bytes

    async def flush(self, timeout_s: float) -> None:
        """Let what was asked to be sent leave the process."""
        if self._outbox is not None:
            await self._outbox.flush(timeout_s)

    # what happens

    def on_frames(self, plane: Plane, source: Endpoint, frames: Sequence[bytes], lane: Lane = "stream") -> None:
        """From the transport."""
        if self._core is None:
            return
        received = self._received[plane]
        received.frames += len(frames)
        if len(frames) == 1:
            received.bytes += len(frames[0])
            self.carry_out(self._core.on_frames(clock.now_ns(), plane, source, frames, lane))
            return
        received.bytes += sum(map(len, frames))
        for begin in range(0, len(frames), BURST):
            burst = frames[begin : begin + BURST]
            self.carry_out(self._core.on_frames(clock.now_ns(), plane, source, burst, lane))

    def on_identified(self, source: Endpoint, identity: Identity | None) -> None:
        """From the transport."""
        if self._core is not None:
            self.carry_out(self.core.on_identified(clock.now_ns(), source, identity))

    def on_evidence(self, peer: Endpoint, evidence: Evidence) -> None:
        """From the transport."""
        if self._core is not None:
            self.carry_out(self.core.on_evidence(clock.now_ns(), peer, evidence))

    def on_closed(self, source: Endpoint) -> None:
        """From the transport."""
        if self._core is not None:
            self.carry_out(self.core.on_closed(clock.now_ns(), source))

    def on_dropped(self, plane: Plane, reason: str, source: Endpoint, count: int) -> None:
        """From the transport."""
        if self._core is not None:
            self.carry_out(self.core.on_dropped(clock.now_ns(), plane, reason, source, count))

    def _on_persisted(self, journal: str, token: int) -> None:
        self.carry_out(self.core.on_persisted(clock.now_ns(), journal, token))

    def _on_storage_failed(self, error: str) -> None:
        logger.error("the journal cannot be written: %s; durable work waits until it can", error)
        self.core.step(clock.now_ns()).emit(None, StorageFailed(error))
        self.carry_out(self.core.finish())

    def _on_handled(self, call: str, code: str, payload: bytes, message: str) -> None:
        self.carry_out(self.core.on_handled(clock.now_ns(), call, code, payload, message))

    def _on_checked(self, cluster: str, error: str) -> None:
        self.carry_out(self.core.on_checked(clock.now_ns(), cluster, error))

    def _on_outbox_dropped(self, plane: Plane, reason: str, count: int) -> None:
        self.core.state.count("mpreg_frames_out_dropped_total", count, plane=plane, reason=reason)

    # commands

    def command(self) -> NodeCore:
        """Begin a step for a command; `carry_out(core.finish())` must follow."""
        self.core.step(clock.now_ns())
        return self.core

    def expect(self) -> tuple[int, Waiter]:
        """A token for a command, and where its outcome will be."""
        token = self.core.new_token()
        waiter = self._waiters[token] = Waiter(self._one_shot())
        return token, waiter

    async def outcome(self, token: int, waiter: Waiter) -> Struct:
        """Wait for a command's outcome. Raises the `MpregError` it ended with."""
        try:
            await waiter.ended
        finally:
            self._waiters.pop(token, None)
        if isinstance(waiter.result, MpregError):
            raise waiter.result
        assert waiter.result is not None
        return waiter.result

    # actions

    def carry_out(self, actions: list[Action]) -> None:
        """Do what the core asked for, in order; what that causes at once (a record in memory) comes after."""
        self._work.extend(actions)
        if self._carrying:
            return
        self._carrying = True
        try:
            while self._work:
                self._do(self._work.popleft())
        finally:
            self._carrying = False
        if self._outbox is not None:
            self._outbox.write()
        while self._occurrences:  # whoever watches can wait until those who were asked have their frames
            self._on_occurrence(self._occurrences.popleft())
        if self.core.next_deadline() < self._sleeping_until:
            self._wake.set()

    def _do(self, action: Action) -> None:
        kind = type(action)
        if kind is Transmit:
            self._transmit(action)  # type: ignore[arg-type]
        elif kind is Notify:
            self._occurrences.append(action.occurrence)  # type: ignore[union-attr]
        elif isinstance(action, Invoke):
            assert self.handlers is not None
            self.handlers.start(action)
        elif isinstance(action, Abandon):
            assert self.handlers is not None
            self.handlers.abandon(action.call)
        elif isinstance(action, CheckHealth):
            assert self.handlers is not None
            self.handlers.check(action)
        elif isinstance(action, Complete):
            waiter = self._waiters.get(action.token)
            if waiter is not None:
                waiter.result = action.result
                if not waiter.ended.done():
                    waiter.ended.set_result(None)
        elif isinstance(action, WriteRecord):
            self.journal.append(action)
        elif isinstance(action, StopNode):
            self.stop_reason = action.reason
            self.stopped.set()

    def _transmit(self, action: Transmit) -> None:
        sent, count = self._sent[action.plane], len(action.to)
        sent.frames += count
        sent.bytes += count * len(action.frame)
        if action.lane == "datagram":
            for endpoint in action.to:
                self.transport.cast(endpoint, action.plane, action.frame)
        elif self._outbox is not None:
            for endpoint in action.to:
                self._outbox.put(endpoint, action.plane, action.frame)

    # time

    async def _keep_time(self) -> None:
        while True:
            now_ns = clock.now_ns()
            deadline = self.core.next_deadline()
            if deadline <= now_ns:
                self.carry_out(self.core.on_deadline(now_ns))
                await anyio.sleep(0)
                continue
            self._sleeping_until = deadline
            self._wake = anyio.Event()
            with anyio.move_on_after(seconds(deadline - now_ns)):
                await self._wake.wait()
            self._sleeping_until = 0

    async def _measure_lag(self) -> None:
        while True:
            before = clock.now_ns()
            await anyio.sleep(LAG_EVERY_S)
            self.lag_s = max(0.0, seconds(clock.now_ns() - before) - LAG_EVERY_S)
            self.core.state.wall_offset_ns = clock.wall_offset_ns()
