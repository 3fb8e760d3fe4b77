"""How long a control ping takes while bulk goes through the same two nodes, beside its time when they are idle.

    python contrib/benchmarks/control_under_bulk.py --runs 3

Two nodes in processes of their own, a hub and a member of its pool; `swim` pings ten times a second from each. Bulk is
requests from a client of the hub to a service at the member: small ones, 64 in flight, and large ones of 256 KB, 16 in
flight. What is printed are percentiles of the round trips that the two nodes' detectors measured.

Bulk keeps three processes busy. Where there are no more than two processors a ping also waits for one of them to be
free, whatever the program does, so it is measured beside idle nodes and as many busy loops as well.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import uvloop
from three_nodes.load import run
from three_nodes.trio import free_ports

from mpreg_core import Node, Request, RoundTrip, load_config
from mpreg_core.client import Client
from mpreg_core.errors import MpregError

SECONDS = 15.0
PING_S = 0.1
PLANES = ("listen", "gossip", "membership", "consensus", "routing")
BUSY = "three busy loops"
BULK = {"small, 64 in flight": (126, 64), "256 KB, 16 in flight": (256 * 1024, 16)}


async def echo(request: Request) -> object:
    """Bulk has to come back, too."""
    return request.payload


async def be_node(config: str) -> None:
    """A node in this process, until it is killed."""
    async with Node(load_config(config)) as node, node.events() as events:
        await node.serve("bulk", echo)
        async for each in events:
            if isinstance(each.event, RoundTrip):
                sys.stdout.write(f"{each.event.rtt_ns}\n")
                sys.stdout.flush()


@asynccontextmanager
async def nodes(folder: str):
    """The hub and the member; gives the hub's routing port and where their round trips are written."""
    ports = {name: free_ports(len(PLANES)) for name in ("hub", "member")}
    async with AsyncExitStack() as stack:
        files = []
        for name, tier in (("hub", "local"), ("member", "cluster")):
            own = {f"{plane}_port": port for plane, port in zip(PLANES, ports[name], strict=True)}
            above = {f"{plane}_port": port for plane, port in zip(PLANES, ports["hub"], strict=True)}
            config = {
                "node": {
                    "id": name,
                    "hub_tier": tier,
                    "region": "us",
                    "parent_hub": "hub" if tier == "cluster" else None,
                },
                "network": {"listen_host": "127.0.0.1", **own},
                "membership": {"probe_interval": PING_S},
                "monitoring": {"metrics_enabled": False},
                "federation": {"peers": {"hub": {"host": "127.0.0.1", **above}}},
            }
            file = Path(folder) / f"{name}.json"
            file.write_text(json.dumps(config))
            out = stack.enter_context((Path(folder) / f"{name}.txt").open("w"))
            command = (sys.executable, __file__, "--node", str(file))
            made = await asyncio.create_subprocess_exec(*command, stdout=out)
            stack.push_async_callback(made.wait)
            stack.callback(made.kill)
            files.append(Path(out.name))
        yield ports["hub"][PLANES.index("routing")], files


def new_lines(files: list[Path], read: dict[Path, int]) -> list[float]:
    """The round trips in ms that were written since the last time."""
    found = []
    for file in files:
        text = file.read_text()
        found += [int(line) / 1e6 for line in text[read.get(file, 0) :].split()]
        read[file] = len(text)
    return found


async def once(found: dict[tuple[str, str], list[float]]) -> None:
    """One run: idle, then each kind of bulk."""
    with tempfile.TemporaryDirectory() as folder:
        async with nodes(folder) as (port, files), Client(f"127.0.0.1:{port}") as client:
            read: dict[Path, int] = {}

            async def ask(size: int, number: int) -> object:
                return await client.request("bulk", "x" * size, target="member", timeout=10)

            while True:
                try:
                    await ask(1, 0)
                    break
                except MpregError:
                    await asyncio.sleep(0.1)
            await asyncio.sleep(2)
            new_lines(files, read)
            await asyncio.sleep(SECONDS)
            note(found, "idle", new_lines(files, read))
            loops = [await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass") for _ in range(3)]
            await asyncio.sleep(SECONDS)
            note(found, BUSY, new_lines(files, read))
            for each in loops:
                each.kill()
                await each.wait()
            for name, (size, in_flight) in BULK.items():
                load = await run(lambda number, size=size: ask(size, number), in_flight, SECONDS)
                note(found, name, new_lines(files, read))
                found.setdefault((name, "requests/s"), []).append(load.rate)


def note(found: dict[tuple[str, str], list[float]], name: str, trips_ms: list[float]) -> None:
    """Percentiles of one phase."""
    ordered = sorted(trips_ms)
    for share, label in ((50, "p50 ms"), (99, "p99 ms")):
        found.setdefault((name, label), []).append(ordered[min(len(ordered) - 1, len(ordered) * share // 100)])
    found.setdefault((name, "pings"), []).append(len(ordered))


def main() -> None:
    """Print medians, and shares of idle."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--node")
    given = parser.parse_args()
    if given.node:
        uvloop.run(be_node(given.node))
        return
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(given.runs):
        uvloop.run(once(found))
    idle, busy = (statistics.median(found[name, "p99 ms"]) for name in ("idle", BUSY))
    for (name, label), values in found.items():
        p99 = statistics.median(values)
        share = f"  {p99 / idle:5.1f}x idle  {p99 / busy:5.1f}x busy loops" if label == "p99 ms" else ""
        print(f"{name:22} {label:10} {statistics.median(values):9.3f}{share}")


if __name__ == "__main__":
    main()
