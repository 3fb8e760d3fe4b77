"""A hundred thousand replicated keys: `python contrib/benchmarks/many_keys.py`.

A hub with a data directory takes them in, a node without any joins and gets them all, the hub starts again with what
its journal holds. Real sockets and disks, one process. Keys of 18 bytes, values of 128 that do not
compress to less than half.
"""

import os
import random
import tempfile
import time
from pathlib import Path

import anyio

from mpreg_core import Node, NodeApi, NodeConfig
from mpreg_core.config.load import read_config

KEYS, WRITERS = 100_000, 200
DATA_BYTES = KEYS * (18 + 130)
PLANES = ("listen", "gossip", "membership", "consensus", "routing")


def config(node: dict[str, object], peers: dict[str, object]) -> NodeConfig:
    """A node on free ports of loopback."""
    network = {"listen_host": "127.0.0.1", **{f"{plane}_port": 0 for plane in PLANES}}
    data: dict[str, object] = {"network": network, "node": {"region": "here", **node}, "federation": {"peers": peers}}
    made, problems = read_config(data=data, env={})
    assert not problems, problems
    return made


def resident_mb() -> float:
    """The process's resident set."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def write_all(running: NodeApi) -> None:
    """Many writers, each with its part of the keys."""

    async def write(first: int) -> None:
        for number in range(first, KEYS, WRITERS):
            await running.state.put(f"services/eu/{number:06d}", random.randbytes(64).hex(), scope="pool")

    async with anyio.create_task_group() as tasks:
        for first in range(WRITERS):
            tasks.start_soon(write, first)


async def until_full(node: Node) -> None:
    """Until the node holds every key."""
    assert node.driver is not None
    store = node.driver.core.replication.store
    while len(store) < KEYS:
        await anyio.sleep(0.02)


async def main() -> None:
    """Print each figure as it is known."""
    with tempfile.TemporaryDirectory() as folder:
        own: dict[str, object] = {"id": "hub", "hub_tier": "local", "data_dir": folder}
        hub = Node(config(own, {}))
        async with hub as running:
            before_mb, begun = resident_mb(), time.monotonic()
            await write_all(running)
            print(f"written durably: {time.monotonic() - begun:.1f} s, {resident_mb() - before_mb:.0f} MB of memory")
            peer = {f"{plane}_port": endpoint.port for plane, endpoint in hub.endpoints.items()} | {"host": "127.0.0.1"}
            key = ("mpreg_bytes_out_total", (("plane", "gossip"),))
            sent, begun = running.counters().get(key, 0), time.monotonic()
            newcomer = Node(config({"id": "new", "hub_tier": "cluster", "parent_hub": "hub"}, {"hub": peer}))
            async with newcomer:
                await until_full(newcomer)
                took_s, share = time.monotonic() - begun, (running.counters()[key] - sent) / DATA_BYTES
            print(f"an empty node has all: {took_s:.1f} s, {share:.2f} times the data on the wire")
        begun = time.monotonic()
        hub = Node(config(own, {}))
        async with hub:
            await until_full(hub)
            print(f"started again with all: {time.monotonic() - begun:.1f} s")


if __name__ == "__main__":
    anyio.run(main, backend_options={"use_uvloop": True})
