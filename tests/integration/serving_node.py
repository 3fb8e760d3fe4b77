"""A program that embeds a node and serves from it; takes `--config` and `--set` as `mpreg run` does."""

import argparse
import signal
from collections import Counter

import anyio

from mpreg_core import Node, Request, load_config


async def greet(request: Request) -> dict[str, str]:
    return {"hello": str(request.payload), "from": request.path[-1]}


async def ponder(request: Request) -> str:
    print("pondering", flush=True)
    await anyio.sleep(float(str(request.payload)))
    return "done"


RUNS: Counter[str] = Counter()


async def count(request: Request) -> dict[str, int]:
    RUNS[request.id] += 1
    return {"runs": RUNS[request.id]}


async def main(config: str, sets: list[str]) -> None:
    runner = Node(load_config(config, sets=sets), services=True)
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async with runner as node:
            await node.serve("greet", greet)
            await node.serve("ponder", ponder)
            await node.serve(f"of-{node.status().node.id}", count)
            async for _ in signals:
                return


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    parser.add_argument("--set", action="append", default=[], dest="sets")
    given = parser.parse_args()
    anyio.run(main, given.config, given.sets)
