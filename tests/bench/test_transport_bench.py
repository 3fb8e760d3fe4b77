"""Round trips over loopback, both ends in one process: the transport against a bare asyncio protocol, in one run.

Read the ratios; absolute figures move with the machine. Only a gross regression fails.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import anyio
import pytest

from mpreg_core import Endpoint, Evidence, Identity, Lane, Plane
from mpreg_core.wire.framing import Framer, stream_batches
from mpreg_transport_tcp.options import TcpOptions
from mpreg_transport_tcp.transport import TcpTransport

pytestmark = [pytest.mark.bench, pytest.mark.slow, pytest.mark.timeout(300)]

ROUNDS = 5
SIZES = (16, 1024)
WORKS = {"stream, 1 in flight": (1, 1500), "stream, 64 in flight": (64, 20_000), "datagram, 1 in flight": (1, 1500)}
BACKENDS: dict[str, dict[str, Any]] = {"asyncio": {"backend": "asyncio"}, "trio": {"backend": "trio"}}
if find_spec("uvloop") is not None:
    BACKENDS["uvloop"] = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
RATIO_MIN = 0.15


class Window:
    """Keeps a number of frames under way until a number have come back. Sync: both sides drive it the same way."""

    def __init__(self, in_flight: int, total: int, frame: bytes) -> None:
        self.frame = frame
        self.first = [frame] * in_flight
        self._to_send = total - in_flight
        self._to_come = total
        self.done = False

    def came(self, count: int) -> list[bytes]:
        """The frames to send next."""
        self._to_come -= count
        self.done = self._to_come <= 0
        count = min(count, self._to_send)
        self._to_send -= count
        return [self.frame] * count


# --- the bare protocols ---


class BareStream(asyncio.Protocol):
    """Echoes; with a window, it is the client."""

    def __init__(self, window: Window | None = None) -> None:
        self._window = window
        self._framer = Framer()
        self.finished = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        if self._window is not None:
            self._write(self._window.first)

    def data_received(self, data: bytes) -> None:
        frames = self._framer.feed(data)
        if self._window is None:
            self._write(frames)
            return
        self._write(self._window.came(len(frames)))
        if self._window.done:
            self.finished.set()

    def _write(self, frames: Sequence[bytes]) -> None:
        for batch in stream_batches(frames):
            self._transport.write(batch)


class BareDatagram(asyncio.DatagramProtocol):
    """Echoes; with a window, it is the client."""

    def __init__(self, window: Window | None = None) -> None:
        self._window = window
        self.finished = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        for frame in self._window.first if self._window else ():
            self._transport.sendto(frame)

    def datagram_received(self, data: bytes, address: Any) -> None:
        if self._window is None:
            self._transport.sendto(data, address)
            return
        for frame in self._window.came(1):
            self._transport.sendto(frame)
        if self._window.done:
            self.finished.set()


async def bare(work: str, window: Window) -> float:
    """Seconds."""
    loop = asyncio.get_running_loop()
    local = ("127.0.0.1", 0)
    if work.startswith("stream"):
        server = await loop.create_server(BareStream, *local)
        address = server.sockets[0].getsockname()
        start = time.perf_counter()
        client, protocol = await loop.create_connection(lambda: BareStream(window), *address)
    else:
        echo, _ = await loop.create_datagram_endpoint(BareDatagram, local_addr=local)
        address = echo.get_extra_info("sockname")
        start = time.perf_counter()
        client, protocol = await loop.create_datagram_endpoint(lambda: BareDatagram(window), remote_addr=address)
    await protocol.finished.wait()
    seconds = time.perf_counter() - start
    client.close()
    if work.startswith("stream"):
        server.close()
        await server.wait_closed()
    else:
        echo.close()
    await asyncio.sleep(0)
    return seconds


# --- the transport ---


class End:
    """One end, as a driver would be: what comes in is answered by one batch a turn of its sending task."""

    def __init__(self, window: Window | None = None) -> None:
        self.transport = TcpTransport(TcpOptions())
        self.window = window
        self.by_datagram = False
        self.finished = anyio.Event()
        self._outbox: list[bytes] = []
        self._filled = anyio.Event()
        self._to = Endpoint("", 0)

    def post(self, to: Endpoint, frames: Sequence[bytes]) -> None:
        if self.by_datagram:
            for frame in frames:
                self.transport.cast(to, "gossip", frame)
        elif frames:
            self._to = to
            self._outbox += frames
            self._filled.set()

    async def send(self) -> None:
        while True:
            await self._filled.wait()
            self._filled = anyio.Event()
            frames, self._outbox = self._outbox, []
            await self.transport.send(self._to, "gossip", frames)

    def on_frames(self, plane: Plane, source: Endpoint, frames: Sequence[bytes], lane: Lane = "stream") -> None:
        if self.window is None:
            self.post(source, frames)
            return
        self.post(source, self.window.came(len(frames)))
        if self.window.done:
            self.finished.set()

    def on_evidence(self, peer: Endpoint, evidence: Evidence) -> None:
        raise AssertionError((peer, evidence))

    def on_closed(self, source: Endpoint) -> None:
        """The end of the work."""

    def on_identified(self, source: Endpoint, identity: Identity | None) -> None:
        """The end of the work."""

    def on_dropped(self, plane: Plane, reason: str, source: Endpoint, count: int) -> None:
        raise AssertionError((plane, reason, source, count))


async def ours(work: str, window: Window) -> float:
    """Seconds."""
    async with anyio.create_task_group() as group:
        ends = (End(), End(window))
        at: list[Mapping[Plane, Endpoint]] = []
        for end in ends:
            end.by_datagram = work.startswith("datagram")

            async def serve(*, task_status: Any, end: End = end) -> None:
                await end.transport.serve({"gossip": Endpoint("127.0.0.1", 0)}, end, task_status=task_status)

            at.append(await group.start(serve))
            group.start_soon(end.send)
        start = time.perf_counter()
        ends[1].post(at[0]["gossip"], window.first)
        await ends[1].finished.wait()
        seconds = time.perf_counter() - start
        group.cancel_scope.cancel()
    return seconds


def rate(run: Callable[[str, Window], Any], how: Mapping[str, Any], work: str, size: int) -> float:
    in_flight, total = WORKS[work]
    return total / float(anyio.run(run, work, Window(in_flight, total, bytes(size)), **how))


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_round_trips_against_a_bare_protocol(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    how = BACKENDS[backend]
    bare_how = BACKENDS["asyncio"] if backend == "trio" else how
    rows = []
    for work in WORKS:
        for size in SIZES:
            pairs = [(rate(bare, bare_how, work, size), rate(ours, how, work, size)) for _ in range(ROUNDS)]
            ratio = statistics.median(mine / theirs for theirs, mine in pairs)
            theirs, mine = (statistics.median(column) for column in zip(*pairs, strict=True))
            rows.append((work, size, theirs, mine, ratio))
    with capsys.disabled():
        against = "asyncio" if backend == "trio" else backend
        print(f"\n{backend}: round trips a second, median of {ROUNDS}; bare is a protocol on {against}")
        print(f"{'work':24}{'bytes':>7}{'bare':>10}{'ours':>10}{'ratio':>7}")
        for work, size, theirs, mine, ratio in rows:
            print(f"{work:24}{size:7}{theirs:10.0f}{mine:10.0f}{ratio:7.2f}")
    assert min(ratio for *_, ratio in rows) >= RATIO_MIN


def test_bulk_throughput_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """64 MiB in frames of 64 KiB, one way."""
    frames = [bytes(64 * 1024)] * 64

    async def bulk() -> float:
        seen = 0
        came = anyio.Event()

        class Count(End):
            def on_frames(self, plane: Plane, source: Endpoint, frames: Sequence[bytes], lane: Lane = "stream") -> None:
                nonlocal seen
                seen += sum(map(len, frames))
                if seen >= 16 * 64 * 64 * 1024:
                    came.set()

        async with anyio.create_task_group() as group:
            sender, receiver = End(), Count()

            async def serve(end: End, *, task_status: Any) -> None:
                await end.transport.serve({"gossip": Endpoint("127.0.0.1", 0)}, end, task_status=task_status)

            await group.start(serve, sender)
            to = (await group.start(serve, receiver))["gossip"]
            start = time.perf_counter()
            for _ in range(16):
                await sender.transport.send(to, "gossip", frames)
            await came.wait()
            seconds = time.perf_counter() - start
            group.cancel_scope.cancel()
        return seen / seconds / 1e6

    rates = {backend: float(anyio.run(bulk, **how)) for backend, how in sorted(BACKENDS.items())}
    with capsys.disabled():
        print("\nbulk, MB/s: " + ", ".join(f"{backend} {rate:.0f}" for backend, rate in rates.items()))
    assert min(rates.values()) > 20
