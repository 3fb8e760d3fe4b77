"""Transports: frames in order, sockets closed, errors told. Over real sockets on loopback."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio

from mpreg_core.contracts.access import Identity
from mpreg_core.contracts.failure_detector import Evidence
from mpreg_core.contracts.transport import Endpoint, Transport
from mpreg_core.errors import PayloadTooLargeError, TransportError
from mpreg_core.ids import PLANES, Lane, Plane
from mpreg_core.limits import FRAME_BYTES_MAX
from mpreg_core.testing.report import NotConformingError
from mpreg_core.testing.subject import Subject

HOST = "127.0.0.1"
WAIT_S = 5.0
FRAMES = 500


class Sink:
    """Keeps what a transport reports."""

    def __init__(self) -> None:
        self.frames: list[tuple[Plane, bytes]] = []
        self.lanes: set[Lane] = set()
        self.evidence: list[tuple[Endpoint, Evidence]] = []
        self.dropped = 0

    def on_frames(self, plane: Plane, source: Endpoint, frames: Sequence[bytes], lane: Lane = "stream") -> None:
        self.frames += [(plane, bytes(frame)) for frame in frames]
        self.lanes.add(lane)

    def on_evidence(self, peer: Endpoint, evidence: Evidence) -> None:
        self.evidence.append((peer, evidence))

    def on_closed(self, source: Endpoint) -> None:
        """Not looked at."""

    def on_identified(self, source: Endpoint, identity: Identity | None) -> None:
        """Not looked at."""

    def on_dropped(self, plane: Plane, reason: str, source: Endpoint, count: int) -> None:
        self.dropped += count


Served = tuple[Transport, Sink, Mapping[Plane, Endpoint]]


@asynccontextmanager
async def serving(subject: Subject, listen: Mapping[Plane, Endpoint] | None = None) -> AsyncIterator[Served]:
    """A transport that listens, on free ports unless told otherwise."""
    create: Any = subject.spec.create
    transport: Transport = create(subject.options)
    sink = Sink()
    async with anyio.create_task_group() as tasks:
        places = listen or {plane: Endpoint(HOST, 0) for plane in PLANES}

        async def serve(*, task_status: Any) -> None:
            await transport.serve(places, sink, task_status=task_status)

        bound: Mapping[Plane, Endpoint] = await tasks.start(serve)
        try:
            yield transport, sink, bound
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(WAIT_S):
                await transport.close()
            tasks.cancel_scope.cancel()


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for it, not for ever."""
    with anyio.move_on_after(WAIT_S):
        while not condition():
            await anyio.sleep(0.005)
        return
    raise NotConformingError(what, f"it did not happen in {WAIT_S:g} s")


def _run(check: Callable[[Subject], Awaitable[None]]) -> Callable[[Subject], None]:
    def sync(subject: Subject) -> None:
        async def within() -> None:
            with anyio.fail_after(60):
                await check(subject)

        try:
            anyio.run(within)
        except TimeoutError:
            raise NotConformingError("an end in a minute", "it hangs") from None
        except BaseExceptionGroup as group:
            found = group.subgroup(NotConformingError)
            if found is None:
                raise
            raise _first(found) from None

    sync.__doc__ = check.__doc__
    return sync


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


@_run
async def streams_keep_order(subject: Subject) -> None:
    """Frames of a stream arrive whole, in order, on their plane; a batch or one at a time."""
    async with serving(subject) as (sender, _, _), serving(subject) as (_, sink, bound):
        frames = [b"%06d" % number + b"x" * (number % 4000) for number in range(FRAMES)]
        await sender.send(bound["gossip"], "gossip", frames[:300])
        for frame in frames[300:]:
            await sender.send(bound["gossip"], "gossip", [frame])
        await until(lambda: len(sink.frames) >= FRAMES, f"{FRAMES} frames")
        if sink.frames != [("gossip", frame) for frame in frames]:
            raise NotConformingError("the frames as they were sent, in order", "others")


@_run
async def writing_at_once_keeps_order(subject: Subject) -> None:
    """What `send_now` takes, where there is one, arrives in order with what was sent before and after."""
    async with serving(subject) as (sender, _, _), serving(subject) as (_, sink, bound):
        at_once = getattr(sender, "send_now", None)
        if at_once is None:
            return
        to = bound["gossip"]
        frames = [b"%06d" % number + b"x" * (number % 40) * 1_000 for number in range(FRAMES)]
        for number, frame in enumerate(frames):
            if number % 50 == 0 or not at_once(to, "gossip", [frame]):
                await sender.send(to, "gossip", [frame])
        await until(lambda: len(sink.frames) >= FRAMES, f"{FRAMES} frames")
        if sink.frames != [("gossip", frame) for frame in frames]:
            raise NotConformingError("the frames as they were sent, in order", "others")


@_run
async def datagrams_arrive(subject: Subject) -> None:
    """A datagram goes out without waiting and arrives as one; one that cannot is no error."""
    async with serving(subject) as (sender, _, _), serving(subject) as (_, sink, bound):
        sender.cast(bound["membership"], "membership", b"hello")
        sender.cast(Endpoint(HOST, 9), "membership", b"nobody")
        await until(lambda: ("membership", b"hello") in sink.frames, "the datagram")
        if sink.lanes != {"datagram"}:
            raise NotConformingError("a datagram that is told of as one", f"it came by {', '.join(sink.lanes)}")


@_run
async def large_frames_pass_larger_do_not(subject: Subject) -> None:
    """A frame of the limit's size passes; a larger one, or an empty one, is refused before it is sent."""
    async with serving(subject) as (sender, _, _), serving(subject) as (_, sink, bound):
        await sender.send(bound["gossip"], "gossip", [b"x" * FRAME_BYTES_MAX])
        await until(lambda: len(sink.frames) == 1, "a frame of the limit's size")
        try:
            await sender.send(bound["gossip"], "gossip", [b"x" * (FRAME_BYTES_MAX + 1)])
        except PayloadTooLargeError:
            return
        raise NotConformingError("PayloadTooLargeError", "it was taken")


@_run
async def nobody_there_is_told(subject: Subject) -> None:
    """Sending to a port where nobody listens raises TransportError soon, and says `refused`."""
    async with serving(subject) as (sender, sink, _):
        with socket.socket() as free:
            free.bind((HOST, 0))
            nowhere = Endpoint(HOST, free.getsockname()[1])
        for _ in range(2):
            try:
                with anyio.fail_after(WAIT_S):
                    await sender.send(nowhere, "routing", [b"x"])
            except TransportError:
                continue
            raise NotConformingError("TransportError", "the send came back as if it had worked")
        await until(lambda: (nowhere, "refused") in sink.evidence, "the evidence `refused`")


@_run
async def a_peer_that_returns_is_reached(subject: Subject) -> None:
    """After its peer stopped and came back on the same port, sending works again."""
    async with serving(subject) as (sender, _, _):
        async with serving(subject) as (_, sink, bound):
            await sender.send(bound["gossip"], "gossip", [b"first"])
            await until(lambda: bool(sink.frames), "the first frame")
        async with serving(subject, bound) as (_, again, _):
            with anyio.move_on_after(3 * WAIT_S):
                while not again.frames:
                    try:
                        await sender.send(bound["gossip"], "gossip", [b"second"])
                    except TransportError:
                        await anyio.sleep(0.05)
                    await anyio.sleep(0.01)
            if not again.frames:
                raise NotConformingError("the peer reached again", "it was not")


@_run
async def close_frees_the_ports(subject: Subject) -> None:
    """Closing twice is fine; afterwards the ports are free."""
    async with serving(subject) as (transport, _, bound):
        await transport.close()
        await transport.close()
    for endpoint in bound.values():
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                free.bind(endpoint)
            except OSError as error:
                raise NotConformingError("its ports free after close", f"{endpoint}: {error}") from error


@_run
async def a_taken_port_is_told(subject: Subject) -> None:
    """A port in use is a TransportError that names plane and port; nothing stays bound."""
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        listen = {plane: Endpoint(HOST, port if plane == "routing" else 0) for plane in PLANES}
        try:
            async with serving(subject, listen):
                pass
        except BaseExceptionGroup as group:
            found = group.subgroup(TransportError)
            error = _first(found) if found is not None else group
        except TransportError as caught:
            error = caught
        else:
            raise NotConformingError("TransportError for a port in use", "it started")
        if not isinstance(error, TransportError) or str(port) not in str(error) or "routing" not in str(error):
            raise NotConformingError("a TransportError that names routing and the port", f"{error!r:.200}")


@_run
async def a_slow_peer_is_waited_for(subject: Subject) -> None:
    """While a peer does not read, a send waits and can be cancelled; memory does not take it all."""
    async with serving(subject) as (sender, _, _):
        with socket.create_server((HOST, 0)) as deaf:
            endpoint = Endpoint(HOST, deaf.getsockname()[1])
            frames = [b"x" * 65_536] * 1024  # 64 MB: more than any socket's buffers
            with anyio.move_on_after(1.0) as scope:
                await sender.send(endpoint, "gossip", frames)
            if not scope.cancelled_caught:
                raise NotConformingError("a send that waits for its peer", "64 MB were taken by nobody")


@_run
async def garbage_is_dropped(subject: Subject) -> None:
    """Bytes that are no frames are dropped and counted, and it serves on."""
    async with serving(subject) as (sender, _, _), serving(subject) as (_, sink, bound):
        async with await anyio.connect_tcp(HOST, bound["gossip"].port) as stream:
            await stream.send(b"\xff" * 4096)
            with anyio.move_on_after(WAIT_S):
                try:
                    await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    pass
        await until(lambda: sink.dropped > 0, "garbage to be counted as dropped")
        if sink.frames:
            raise NotConformingError("garbage to be dropped", f"it came in as a frame: {sink.frames[0]!r:.80}")
        await sender.send(bound["gossip"], "gossip", [b"well"])
        await until(lambda: sink.frames == [("gossip", b"well")], "a good frame after the garbage")
