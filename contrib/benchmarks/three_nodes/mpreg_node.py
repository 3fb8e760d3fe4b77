"""One node of mpreg with its HTTP API, which does the work it reads from its standard input: a JSON order a line."""

import asyncio
import json
import sys

import anyio

from mpreg_core import load_config
from mpreg_core.embed.node import Node
from three_nodes.load import run


async def main(config: str) -> None:
    """Until the end of the input."""
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with Node(load_config(config), services=True) as node:
        async for line in orders:
            order = json.loads(line)
            keys, value = order["keys"], order["value"]

            async def operation(number: int, *, order=order, keys=keys, value=value) -> None:  # type: ignore[no-untyped-def]
                key = f"k{number % keys}"
                if order["kind"] == "write":
                    await node.state.put(key, value, scope="pool", consistency="linearizable")
                else:
                    await node.state.get(key, scope="pool", consistency="linearizable")

            load = await run(operation, order["in_flight"], order["seconds"])
            sys.stdout.write(json.dumps(load.to_dict()) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], backend_options={"use_uvloop": True})
