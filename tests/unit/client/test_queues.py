"""Work queues: a message that is to arrive at least once is another worker's when the first is not done with it."""

from contextlib import suppress

import anyio
import pytest

from mpreg_core.client import Client

pytestmark = pytest.mark.anyio


@pytest.fixture
async def hub(node):
    async with node("hub", "local", "us") as running:
        yield running


def kept(hub):
    """The queue groups' messages in custody."""
    return [entry for entry in hub._driver.core.messages.custody.entries() if entry.kept.group]


async def until(condition):
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.01)


def client_of(hub):
    return Client(hub.status().node.routing)


async def test_a_worker_that_asks_for_the_next_is_done_with_the_last(hub):
    async with client_of(hub) as client, client.subscribe("jobs.*", queue="w") as jobs:
        for number in range(3):
            await client.publish("jobs.mail", number, at_least_once=True)
        got = [(await anext(jobs)).payload]
        await until(lambda: len(kept(hub)) == 3)
        got += [(await anext(jobs)).payload]
        await until(lambda: len(kept(hub)) == 2)
        got += [(await anext(jobs)).payload]
        await until(lambda: len(kept(hub)) == 1)
        assert got == [0, 1, 2]
    await until(lambda: not kept(hub))


async def test_what_a_worker_fails_at_is_done_by_another(hub):
    async with client_of(hub) as one, client_of(hub) as two:
        with suppress(ZeroDivisionError):
            async with one.subscribe("jobs.*", queue="w") as jobs:
                await one.publish("jobs.mail", 0, at_least_once=True)
                async for message in jobs:
                    1 / message.payload
        async with two.subscribe("jobs.*", queue="w") as jobs:
            with anyio.fail_after(5):
                assert (await anext(jobs)).payload == 0
    await until(lambda: not kept(hub))


async def test_what_a_worker_that_vanishes_had_is_done_by_another(hub):
    async with client_of(hub) as two:
        async with client_of(hub) as one:
            with suppress(ConnectionError):
                async with one.subscribe("jobs.*", queue="w") as jobs, two.subscribe("jobs.*", queue="w") as others:
                    for number in range(4):
                        await two.publish("jobs.mail", number, at_least_once=True)
                    mine = {(await anext(jobs)).payload}
                    await until(lambda: len(kept(hub)) == 4)
                    raise ConnectionError
        async with two.subscribe("jobs.*", queue="w") as others:
            got = set()
            with anyio.fail_after(5):
                while len(got) < 4:
                    got.add((await anext(others)).payload)
            assert mine < got
    await until(lambda: not kept(hub))


async def test_once_is_enough_for_a_message_that_need_not_arrive(hub):
    async with client_of(hub) as client:
        with suppress(ZeroDivisionError):
            async with client.subscribe("jobs.*", queue="w") as jobs:
                await client.publish("jobs.mail", 0)
                async for message in jobs:
                    1 / message.payload
        async with client.subscribe("jobs.*", queue="w") as jobs:
            with anyio.move_on_after(0.5) as scope:
                await anext(jobs)
            assert scope.cancelled_caught
