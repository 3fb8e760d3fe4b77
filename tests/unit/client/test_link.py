"""A client's connection, against a hub that the test plays: what goes out when, and what ends it."""

import socket
from contextlib import asynccontextmanager

import anyio
import pytest

from mpreg_core.client.link import BURST, BrokenLinkError, Link
from mpreg_core.errors import ForbiddenError, UnavailableError
from mpreg_core.limits import OUTBOX_BYTES_MAX
from mpreg_core.wire.client import FROM_CLIENT, ClientHello, ClientWelcome, Pong, Publish
from mpreg_core.wire.codec import FrameEncoder, MessageDecoder, decode_frame
from mpreg_core.wire.envelope import CLIENT_CHANNEL
from mpreg_core.wire.framing import Framer, stream_batches

pytestmark = pytest.mark.anyio

_decoder, _frames = MessageDecoder(FROM_CLIENT), FrameEncoder(CLIENT_CHANNEL, "hub")


class Hub:
    """The other end."""

    def __init__(self, listener):
        self._listener = listener
        self.port = listener.getsockname()[1]
        self.framer = Framer()
        self.heard = []

    async def take(self, *answers):
        """A client: hear its hello, say `answers`."""
        await anyio.wait_readable(self._listener)
        self.connected, _ = self._listener.accept()
        self.connected.setblocking(False)
        await self.hear(1)
        assert isinstance(self.heard.pop(), ClientHello)
        self.say(*answers)

    def say(self, *messages):
        self.connected.sendall(b"".join(stream_batches([_frames.encode(message) for message in messages])))

    async def hear(self, count):
        """Until so many messages came."""
        with anyio.fail_after(10):
            while len(self.heard) < count:
                await anyio.wait_readable(self.connected)
                self.hear_now()

    def hear_now(self):
        """What is there already."""
        try:
            chunk = self.connected.recv(1 << 20)
        except BlockingIOError:
            return
        self.heard += [_decoder.decode(decode_frame(frame).body) for frame in self.framer.feed(chunk)]


@asynccontextmanager
async def linked(*welcome):
    """A hub, and a link to it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        hub, opened = Hub(listener), []

        async def connect():
            try:
                opened.append(await Link.open("127.0.0.1", hub.port, "me", "", "", None))
            except (ForbiddenError, BrokenLinkError) as error:
                opened.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connect)
            await hub.take(*(welcome or (ClientWelcome("hub"),)))
        with hub.connected:
            if not isinstance(opened[0], Link):
                raise opened[0]
            try:
                yield hub, opened[0]
            finally:
                await opened[0].close()


def message(number, size=10):
    return Publish(number, "t", b"x" * size)


async def test_the_first_of_a_turn_goes_at_once_and_the_rest_in_bursts_and_at_its_end():
    async with linked() as (hub, link), anyio.create_task_group() as tasks:
        tasks.start_soon(run, link, tasks, [])
        await anyio.wait_all_tasks_blocked()
        link.put(message(0))
        hub.hear_now()
        assert [each.number for each in hub.heard] == [0]
        for number in range(1, BURST):
            link.put(message(number))
        hub.hear_now()
        assert len(hub.heard) == 1
        link.put(message(BURST))
        hub.hear_now()
        assert len(hub.heard) == BURST + 1
        link.put(message(BURST + 1))
        await hub.hear(BURST + 2)
        assert [each.number for each in hub.heard] == list(range(BURST + 2))
        tasks.cancel_scope.cancel()


async def run(link, tasks, told):
    with pytest.raises(BrokenLinkError):
        await link.run(tasks, told.extend)


async def test_a_hub_that_reads_late_gets_all_in_order_and_one_that_does_not_is_told_of():
    async with linked() as (hub, link), anyio.create_task_group() as tasks:
        tasks.start_soon(run, link, tasks, [])
        await anyio.wait_all_tasks_blocked()
        count = 0
        while link._out_bytes + 51_000 < OUTBOX_BYTES_MAX:
            link.put(message(count, 50_000))
            count += 1
        with pytest.raises(UnavailableError, match="which does not take them"):
            link.put(message(count, 100_000))
        assert count * 50_000 > OUTBOX_BYTES_MAX
        await hub.hear(count)
        assert [each.number for each in hub.heard] == list(range(count))
        link.put(message(count))
        await hub.hear(count + 1)
        tasks.cancel_scope.cancel()


async def test_a_hub_that_is_always_a_little_behind_may_be_sent_to_for_ever():
    async with linked() as (hub, link), anyio.create_task_group() as tasks:
        tasks.start_soon(run, link, tasks, [])
        await anyio.wait_all_tasks_blocked()
        link._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)  # fixed, so that it does not grow
        hub.connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        count = 0
        while not link._rest:
            link.put(message(count, 50_000))
            count += 1
        unheard = count + 20
        for _ in range(4 * OUTBOX_BYTES_MAX // 50_000):
            link.put(message(count, 50_000))
            count += 1
            while count - len(hub.heard) > unheard:  # so that something waits at the link all the time
                hub.hear_now()
                await anyio.sleep(0)
        await hub.hear(count)
        assert [each.number for each in hub.heard] == list(range(count))
        assert link._out_bytes == 0
        tasks.cancel_scope.cancel()


async def test_what_was_put_last_goes_out_before_a_link_is_closed():
    async with linked() as (hub, link):
        count = 0
        while not link._rest:  # nobody waits for room: it does not run
            link.put(message(count, 50_000))
            count += 1
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.hear, count)
            await link.close()
        assert [each.number for each in hub.heard] == list(range(count))


async def test_what_the_hub_says_with_its_welcome_is_not_lost():
    told = []
    async with linked(ClientWelcome("hub"), Pong(), Pong(False)) as (hub, link), anyio.create_task_group() as tasks:
        tasks.start_soon(run, link, tasks, told)
        await anyio.wait_all_tasks_blocked()
        hub.say(Pong())
        with anyio.fail_after(5):
            while len(told) < 3:
                await anyio.sleep(0.002)
        assert told == [Pong(), Pong(False), Pong()]
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("end", ["closes", "garbage", "resets"])
async def test_a_link_ends_with_its_hub_and_putting_more_harms_nobody(end):
    async with linked() as (hub, link), anyio.create_task_group() as tasks:
        tasks.start_soon(run, link, tasks, [])
        await anyio.wait_all_tasks_blocked()
        if end == "garbage":
            hub.connected.sendall(b"\xff" * 100)
        else:
            if end == "resets":
                hub.connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            hub.connected.close()
        await anyio.wait_all_tasks_blocked()
        for number in range(3):
            link.put(message(number))


async def test_a_hub_that_refuses_or_says_something_else_is_no_hub():
    with pytest.raises(ForbiddenError, match="not you"):
        async with linked(ClientWelcome("hub", "forbidden", "not you")):
            pass
    with pytest.raises(BrokenLinkError, match="expected a welcome, got Pong"):
        async with linked(Pong()):
            pass
