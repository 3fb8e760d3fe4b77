"""Transports on real loopback sockets, on each backend; nothing here waits by the clock, only for an event."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import anyio
import pytest

from mpreg_core import Endpoint, Evidence, Identity, Lane, Plane, TransportError
from mpreg_transport_tcp.options import TcpOptions
from mpreg_transport_tcp.plugin import SPEC

DEADLINE_S = 10.0


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(
            ("asyncio", {"use_uvloop": True}),
            id="uvloop",
            marks=pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop is not installed"),
        ),
        pytest.param(("trio", {}), id="trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@dataclass
class Sink:
    """Keeps what a transport reports, and lets a test wait for it."""

    frames: list[tuple[Plane, Endpoint, bytes]] = field(default_factory=list)
    calls: int = 0
    evidence: list[tuple[Endpoint, Evidence]] = field(default_factory=list)
    drops: list[tuple[Plane, str, Endpoint, int]] = field(default_factory=list)
    changed: anyio.Event = field(default_factory=anyio.Event)

    def on_frames(self, plane: Plane, source: Endpoint, frames: Sequence[bytes], lane: Lane = "stream") -> None:
        self.calls += 1
        self.frames += [(plane, source, frame) for frame in frames]
        self.tell()

    def on_evidence(self, peer: Endpoint, evidence: Evidence) -> None:
        self.evidence.append((peer, evidence))
        self.tell()

    def on_closed(self, source: Endpoint) -> None:
        """Not looked at."""

    def on_identified(self, source: Endpoint, identity: Identity | None) -> None:
        """Not looked at."""

    def on_dropped(self, plane: Plane, reason: str, source: Endpoint, count: int) -> None:
        self.drops.append((plane, reason, source, count))
        self.tell()

    def tell(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()

    @property
    def bodies(self) -> list[bytes]:
        return [frame for _, _, frame in self.frames]

    @property
    def reasons(self) -> list[str]:
        return [reason for _, reason, _, _ in self.drops]

    async def until(self, true: Callable[[], bool]) -> None:
        with anyio.fail_after(DEADLINE_S):
            while not true():
                await self.changed.wait()


@dataclass
class Served:
    """A transport that serves, what it reports, and where."""

    transport: Any
    sink: Sink
    at: Mapping[Plane, Endpoint]
    group: Any

    @property
    def gossip(self) -> Endpoint:
        return self.at["gossip"]

    async def send(self, to: Endpoint, *frames: bytes) -> None:
        with anyio.fail_after(DEADLINE_S):
            await self.transport.send(to, "gossip", frames)

    async def send_when_it_goes(self, to: Endpoint, *frames: bytes) -> None:
        """Send again and again until the peer is there."""

        async def attempt() -> bool:
            try:
                await self.transport.send(to, "gossip", frames)
            except TransportError:
                return False
            return True

        await eventually(attempt)


async def eventually(attempt: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(DEADLINE_S):
        while not await attempt():
            await anyio.sleep(0.005)


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve() -> Serve:
    """`async with serve({"gossip": Endpoint(...)}, **options) as node`: cancelled at the end."""

    @asynccontextmanager
    async def serving(
        listen: Mapping[Plane, Endpoint] | None = None, create: Callable[[], Any] | None = None, **options: Any
    ) -> AsyncIterator[Served]:
        transport, sink = create() if create is not None else SPEC.create(TcpOptions(**options)), Sink()
        if listen is None:
            listen = {"gossip": Endpoint("127.0.0.1", 0)}
        async with anyio.create_task_group() as group:

            async def run(*, task_status: anyio.abc.TaskStatus[Mapping[Plane, Endpoint]]) -> None:
                await transport.serve(listen, sink, task_status=task_status)

            at = await group.start(run)
            yield Served(transport, sink, at, group)
            group.cancel_scope.cancel()

    return serving


@pytest.fixture
def wait_until() -> Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]:
    """Try a thing until it is so, to a deadline."""
    return eventually
