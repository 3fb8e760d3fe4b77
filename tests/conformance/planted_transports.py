"""Transports with one bug each: tcp, tampered with."""

import socket
from dataclasses import replace

from mpreg_core import PayloadTooLargeError, TransportError
from mpreg_transport_tcp.plugin import SPEC as TCP

KEPT: list[socket.socket] = []


class Carrier:
    """A tcp transport whose calls are tampered with."""

    def __init__(self, options):
        self._inner = TCP.create(options)

    def __getattr__(self, name):
        return getattr(self._inner, name)


class Reverses(Carrier):
    async def send(self, to, plane, frames):
        await self._inner.send(to, plane, list(reversed(frames)))


class Overtakes(Carrier):
    held = None

    def send_now(self, to, plane, frames):
        held, self.held = self.held, None
        if held is None and frames[0][:6] == b"000120":
            self.held = frames
            return True
        return self._inner.send_now(to, plane, [*frames, *held] if held else frames)


class Blurs(Carrier):
    async def serve(self, listen, sink, *, task_status):
        class Blurred:
            def __getattr__(self, name):
                return getattr(sink, name)

            def on_frames(self, plane, source, frames, lane="stream"):
                sink.on_frames(plane, source, frames)

        await self._inner.serve(listen, Blurred(), task_status=task_status)


class Mute(Carrier):
    def cast(self, to, plane, frame):
        """Casts nothing."""


class Swallows(Carrier):
    async def send(self, to, plane, frames):
        try:
            await self._inner.send(to, plane, frames)
        except PayloadTooLargeError:
            return


class Silent(Carrier):
    async def send(self, to, plane, frames):
        try:
            await self._inner.send(to, plane, frames)
        except TransportError:
            if plane != "routing":
                raise


class GivesUp(Carrier):
    served = False

    async def send(self, to, plane, frames):
        if self.served and frames == [b"second"]:
            raise TransportError("that peer was here once")
        await self._inner.send(to, plane, frames)
        self.served = self.served or frames == [b"first"]


class Clings(Carrier):
    closed = False

    async def close(self):
        await self._inner.close()
        if self.closed:
            KEPT.append(socket.create_server(self.bound["gossip"]))
        self.closed = True

    async def serve(self, listen, sink, *, task_status):
        outer = self

        class Status:
            def started(self, bound):
                outer.bound = bound
                task_status.started(bound)

        await self._inner.serve(listen, sink, task_status=Status())


class Vague(Carrier):
    async def serve(self, listen, sink, *, task_status):
        try:
            await self._inner.serve(listen, sink, task_status=task_status)
        except TransportError:
            raise TransportError("it does not work") from None


class Greedy(Carrier):
    async def send(self, to, plane, frames):
        if len(frames) > 1000:
            self.hoard = list(frames)
            return
        await self._inner.send(to, plane, frames)


class Uncounted(Carrier):
    async def serve(self, listen, sink, *, task_status):
        class Quiet:
            on_frames, on_evidence = sink.on_frames, sink.on_evidence

            def on_dropped(self, plane, reason, source, count):
                """Tells nobody."""

        await self._inner.serve(listen, Quiet(), task_status=task_status)


def spec(kind):
    return replace(TCP, name=kind.__name__.lower(), create=kind)
