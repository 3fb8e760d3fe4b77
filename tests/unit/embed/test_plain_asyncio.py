"""A program that knows nothing of anyio embeds nodes with `asyncio.run`, or uvloop's."""

import asyncio

import pytest

from mpreg_core.client import Client


def uvloop_run(main):
    return pytest.importorskip("uvloop").run(main)


@pytest.mark.parametrize("run", [asyncio.run, uvloop_run])
def test_nodes_and_clients_work_in_a_plain_asyncio_program(run, node):
    async def main():
        above = node("hub", "local", "us")
        async with above, node("c", "cluster", "us", above) as cluster, asyncio.timeout(10):
            await cluster.serve("double", double)
            port = above.endpoints["routing"].port
            while not cluster.ready():
                await asyncio.sleep(0.01)
            async with Client(f"127.0.0.1:{port}") as client:
                reply = await client.request("double", 21, target="c")
            return reply.payload

    assert run(main()) == 42


async def double(request):
    return 2 * request.payload
