"""A pool of `mpreg run` processes on loopback: a local hub, and cluster nodes below it."""

import asyncio
import json
import os
import re
import signal
import tempfile
from pathlib import Path

from side_by_side.board import Board, follow
from side_by_side.pool import Process, Unavailable, group_of, spawn, which

PATTERNS = (
    ("joined", re.compile(r"(\S+) in local:n0: joined")),
    ("failed", re.compile(r"(\S+) in local:n0: failed")),
    ("left", re.compile(r"(\S+) in local:n0: left")),
    ("suspected", re.compile(r"(\S+) in local:n0: suspect")),
    ("recovered", re.compile(r"(\S+) in local:n0: recovered")),
    ("listens", re.compile(r"node (\S+) \(\w+\) listens")),
)
PLANES = ("listen", "gossip", "membership", "consensus", "routing")
START_S = 180
OPTIONS = {
    "membership": {"probe_interval": 1.0, "probe_timeout": 0.5},
    "gossip": {"interval": 0.2},
}
"""Serf's, in its profile lan."""


class MpregPool:
    """The hub is stopped while the others start, so that all of them join it at once when it goes on."""

    name = "mpreg"

    def __init__(self, board: Board, base_port: int) -> None:
        self.board = board
        self.halved = False
        self.processes: dict[str, Process] = {}
        self._base = base_port
        self._folder = tempfile.TemporaryDirectory()
        self._tasks: list[asyncio.Task[None]] = []
        self._open: list[asyncio.StreamWriter] = []  # a writer that is forgotten closes its connection
        self._http: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def _port(self, index: int, plane: int) -> int:
        return self._base + 6 * index + plane

    async def start(self, count: int) -> None:
        """The hub first; it is stopped as soon as it listens."""
        binary = which("mpreg", "run this with the Python of mpreg's environment")
        env = {**os.environ, "PYTHONUNBUFFERED": "1"}
        for index in range(count):
            network = {f"{plane}_port": self._port(index, at) for at, plane in enumerate(PLANES)}
            node = {"id": f"n{index}", "hub_tier": "cluster" if index else "local", "region": "here"}
            config = {
                "node": node | ({"parent_hub": "n0"} if index else {}),
                "network": {"listen_host": "127.0.0.1", **network},
                "monitoring": {"metrics_port": self._port(index, 5)},
                **OPTIONS,
            }
            if index:
                hub = {f"{plane}_port": self._port(0, at) for at, plane in enumerate(PLANES[1:], 1)}
                config["federation"] = {"peers": {"n0": {"host": "127.0.0.1", **hub}}}
            file = Path(self._folder.name) / f"n{index}.yaml"
            file.write_text(json.dumps(config))
            process = await spawn(
                f"n{index}", [binary, "run", "--config", str(file)], group_of(self, index, count), env
            )
            self.processes[process.name] = process
            assert process.handle.stdout is not None
            self._tasks.append(asyncio.create_task(follow(process.handle.stdout, process.name, self.board, PATTERNS)))
            if index == 0:
                await self._listens(process)
                process.signal(signal.SIGSTOP)
        for process in self.processes.values():
            await self._listens(process)
        await asyncio.sleep(1)

    async def _listens(self, process: Process) -> None:
        if await self.board.all_say("listens", process.name, (process.name,), START_S) is None:
            raise Unavailable(f"{process.name} does not listen after {START_S} s")

    async def join(self) -> None:
        """Let the hub go on: all ask it."""
        self.processes["n0"].signal(signal.SIGCONT)

    async def listen(self) -> None:
        """A stream of server-sent events of every node."""
        for index, name in enumerate(self.processes):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port(index, 0))
            self._open.append(writer)
            writer.write(b"GET /api/messages/stream?pattern=bench HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            self._tasks.append(asyncio.create_task(self._follow(reader, name)))
        self._http = await asyncio.open_connection("127.0.0.1", self._port(0, 0))
        await asyncio.sleep(0.5)

    async def _follow(self, reader: asyncio.StreamReader, name: str) -> None:
        async for raw in reader:
            if (match := re.search(rb'"payload": ?"([^"]+)"', raw)) is not None:
                self.board.note("event", match[1].decode(), name)

    async def publish(self, *texts: str) -> None:
        """Over one connection that stays open, without waiting for the answers in between."""
        assert self._http is not None
        reader, writer = self._http
        for text in texts:
            writer.write(self._request(text))
        for _ in texts:
            answer = await reader.readuntil(b"\r\n\r\n")
            size = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
            await reader.readexactly(int(size[1]) if size else 0)

    def _request(self, text: str) -> bytes:
        body = json.dumps({"topic": "bench", "payload": text}).encode()
        head = ("POST /api/messages HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json")
        return "\r\n".join((*head, f"Content-Length: {len(body)}", "", "")).encode() + body

    def ports(self, name: str) -> range:
        """One for each plane and its metrics."""
        first = self._port(int(name[1:]), 0)
        return range(first, first + len(PLANES) + 1)

    async def stop(self) -> None:
        """End of all processes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(process.end() for process in self.processes.values()))
        self._folder.cleanup()
