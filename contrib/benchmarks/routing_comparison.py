"""mpreg's client library beside nats-py with a local nats-server: the same work, in one run.

    python contrib/benchmarks/routing_comparison.py --runs 3

Requests of 128 bytes to a service in another process, one and 64 in flight: on one hub; and across local -> regional ->
regional -> local hubs in processes of their own, beside as many bare TCP relays. Messages to 100 subscribers on one
hub, which live in one process. All on uvloop. Needs `apt-get install nats-server` and `pip install nats-py`; what is
missing is left out.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import uvloop
from three_nodes.load import run
from three_nodes.trio import Unavailable, free_ports, program

from mpreg_core.client import Client
from mpreg_core.errors import MpregError

SECONDS = 3.0
IN_FLIGHT = (1, 64)
SUBSCRIBERS, PUBLISHED = 100, 1000
PAYLOAD = "x" * 126  # 128 bytes of JSON
PLANES = ("listen", "gossip", "membership", "consensus", "routing")
TIERS = {
    "g": ("global", "us", None), "r1": ("regional", "us", "g"), "r2": ("regional", "eu", "g"),
    "l1": ("local", "us", "r1"), "l2": ("local", "eu", "r2"),
}  # fmt: skip

Found = dict[tuple[str, str], list[float]]
Ask = Callable[[int], Awaitable[object]]


@asynccontextmanager
async def process(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process, until the end of the body."""
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    made = await asyncio.create_subprocess_exec(*command, stdin=null, stdout=pipe, stderr=null, env=env)
    try:
        yield made
    finally:
        made.kill()
        await made.wait()


@asynccontextmanager
async def helper(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """This file again, in the role that its arguments name, once it says that it is ready."""
    async with process(sys.executable, __file__, "--role", *arguments) as made:
        assert made.stdout is not None
        await made.stdout.readline()
        yield made


@asynccontextmanager
async def nodes(names: tuple[str, ...]) -> AsyncIterator[dict[str, int]]:
    """`mpreg run` for each; gives their routing ports."""
    ports = {name: free_ports(len(PLANES)) for name in names}
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        for name in names:
            tier, region, parent = TIERS[name]
            parent = parent if parent in names else None
            config: dict[str, object] = {
                "node": {"id": name, "hub_tier": tier, "region": region, "parent_hub": parent},
                "network": {"listen_host": "127.0.0.1", **_ports(ports[name])},
                "monitoring": {"metrics_enabled": False},
                "federation": {"peers": {parent: {"host": "127.0.0.1", **_ports(ports[parent])}}} if parent else {},
            }
            file = Path(folder) / f"{name}.json"
            file.write_text(json.dumps(config))
            await stack.enter_async_context(process(program("mpreg", "install mpreg"), "run", "--config", str(file)))
        yield {name: each[PLANES.index("routing")] for name, each in ports.items()}


def _ports(ports: list[int]) -> dict[str, int]:
    return {f"{plane}_port": port for plane, port in zip(PLANES, ports, strict=True)}


async def measure(name: str, make: str, ask: Ask, found: Found) -> None:
    """Rates and latencies."""
    for in_flight in IN_FLIGHT:
        load = await run(ask, in_flight, SECONDS)
        found.setdefault((f"{name} {in_flight}: a second", make), []).append(load.rate)
        found.setdefault((f"{name} {in_flight}: p50 ms", make), []).append(load.p50_ms)
        found.setdefault((f"{name} {in_flight}: p99 ms", make), []).append(load.p99_ms)


async def until_answered(ask: Ask) -> None:
    """Services take a moment to be known everywhere."""
    async with asyncio.timeout(30):
        while True:
            try:
                await ask(0)
                return
            except MpregError:
                await asyncio.sleep(0.1)


async def mpreg_requests(found: Found) -> None:
    """One hub; then the chain."""
    for name, names, here, there in (("one hub", ("l1",), "l1", "l1"), ("four hubs", tuple(TIERS), "l1", "l2")):
        async with (
            nodes(names) as ports,
            helper("mpreg-echo", str(ports[there])),
            Client(f"127.0.0.1:{ports[here]}", connect_timeout=20) as client,
        ):

            async def ask(number: int, client: Client = client) -> object:
                return await client.request("bench", PAYLOAD)

            await until_answered(ask)
            await measure(name, "mpreg", ask, found)


async def mpreg_fan_out(found: Found) -> None:
    """Messages a second, all subscribers together."""
    async with nodes(("l1",)) as ports:
        address = f"127.0.0.1:{ports['l1']}"
        async with Client(address, connect_timeout=20) as client, helper("mpreg-listen", str(ports["l1"])) as listener:
            assert listener.stdout is not None
            await asyncio.gather(*(client.publish("bench", PAYLOAD) for _ in range(PUBLISHED)))
            seconds = float(await listener.stdout.readline())
            found.setdefault(("fan-out to 100: a second", "mpreg"), []).append(SUBSCRIBERS * PUBLISHED / seconds)


@asynccontextmanager
async def nats_server() -> AsyncIterator[str]:
    """A server on a free port; gives its address."""
    server = program("nats-server", "apt-get install nats-server")
    try:
        import nats  # noqa: F401 - needed by this make alone
    except ImportError:
        raise Unavailable("nats-py is not installed: pip install nats-py") from None
    (port,) = free_ports(1)
    async with process(server, "-a", "127.0.0.1", "-p", str(port)):
        await asyncio.sleep(1)
        yield f"nats://127.0.0.1:{port}"


async def nats_work(found: Found) -> None:
    """Requests, and the fan-out."""
    import nats

    async with nats_server() as url, helper("nats-echo", url):
        client = await nats.connect(url)
        payload = json.dumps(PAYLOAD).encode()
        await measure("one hub", "nats", lambda number: client.request("bench", payload, timeout=5), found)
        async with helper("nats-listen", url) as listener:
            assert listener.stdout is not None
            for _ in range(PUBLISHED):
                await client.publish("fan", payload)
            await client.flush()
            seconds = float(await listener.stdout.readline())
            found.setdefault(("fan-out to 100: a second", "nats"), []).append(SUBSCRIBERS * PUBLISHED / seconds)
        await client.close()


async def relay_requests(found: Found) -> None:
    """Bare relays in place of the four hubs."""
    ports = free_ports(5)
    async with AsyncExitStack() as stack:
        for port, onward in zip(ports, (*ports[1:], 0), strict=True):
            await stack.enter_async_context(helper("relay", str(port), str(onward)))
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
        waiting: asyncio.Queue[asyncio.Future[bytes]] = asyncio.Queue()
        frame = json.dumps(PAYLOAD).encode()

        async def collect() -> None:
            while True:
                answer = await reader.readexactly(len(frame))
                (await waiting.get()).set_result(answer)

        async def ask(number: int) -> object:
            answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            waiting.put_nowait(answered)
            writer.write(frame)
            return await answered

        task = asyncio.create_task(collect())
        await measure("four hubs", "bare relays", ask, found)
        task.cancel()
        writer.close()


async def role(name: str, *arguments: str) -> None:
    """What a helper does, until it is killed."""
    ready = asyncio.Event()
    counts, begun = [0], [0.0]

    def came() -> None:
        counts[0] += 1
        if counts[0] == 1:
            begun[0] = time.perf_counter()
        if counts[0] == SUBSCRIBERS * PUBLISHED:
            print(time.perf_counter() - begun[0], flush=True)

    async with AsyncExitStack() as stack:
        if name == "mpreg-echo":
            client = await stack.enter_async_context(Client(f"127.0.0.1:{arguments[0]}", connect_timeout=20))

            async def echo(request):  # type: ignore[no-untyped-def]
                return request.payload

            await client.serve("bench", echo)
        elif name == "mpreg-listen":
            for _ in range(SUBSCRIBERS):
                each = await stack.enter_async_context(Client(f"127.0.0.1:{arguments[0]}", connect_timeout=20))
                messages = await stack.enter_async_context(each.subscribe("bench"))
                ready.task = asyncio.create_task(_count(messages, came))  # type: ignore[attr-defined]
        elif name == "relay":
            await _relay(int(arguments[0]), int(arguments[1]))
        else:
            await _nats_role(name, arguments[0], came)
        print("ready", flush=True)
        await ready.wait()


async def _count(messages: AsyncIterator[object], came: Callable[[], None]) -> None:
    async for _ in messages:
        came()


async def _nats_role(name: str, url: str, came: Callable[[], None]) -> None:
    import nats

    async def listen(message):  # type: ignore[no-untyped-def]
        came()

    async def echo(message):  # type: ignore[no-untyped-def]
        await message.respond(message.data)

    if name == "nats-echo":
        await (await nats.connect(url)).subscribe("bench", cb=echo)
    else:
        for _ in range(SUBSCRIBERS):
            client = await nats.connect(url)
            await client.subscribe("fan", cb=listen)
            await client.flush()


async def _relay(port: int, onward: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if onward:
            further, forth = await asyncio.open_connection("127.0.0.1", onward)
            await asyncio.gather(_copy(reader, forth), _copy(further, writer))
        else:
            await _copy(reader, writer)

    await asyncio.start_server(serve, "127.0.0.1", port)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
        await writer.drain()


async def compare(runs: int) -> Found:
    """The makes take turns."""
    found: Found = {}
    for _ in range(runs):
        for work in (nats_work, mpreg_requests, mpreg_fan_out, relay_requests):
            try:
                await work(found)
            except Unavailable as reason:
                print(reason, flush=True)
    return found


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        uvloop.run(role(*arguments.role))
        return
    found = uvloop.run(compare(arguments.runs))
    for figure in dict.fromkeys(row for row, _ in found):
        peer = "nats" if (figure, "nats") in found else "bare relays"
        both = [
            statistics.median(found[figure, make]) if (figure, make) in found else float("nan")
            for make in (peer, "mpreg")
        ]
        print(f"{figure:<28} {peer:>12} {both[0]:>12,.2f}   mpreg {both[1]:>12,.2f}   {both[1] / both[0]:>6.2f}x")


if __name__ == "__main__":
    main()
