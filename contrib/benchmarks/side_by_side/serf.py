"""A pool of serf agents on loopback, driven by their RPC (msgpack over TCP)."""

import asyncio
import re
from typing import Any

import msgspec

from side_by_side.board import Board, follow
from side_by_side.msgpack_stream import Unpacker
from side_by_side.pool import Process, Unavailable, group_of, spawn, which

PATTERNS = (
    ("joined", re.compile(r"EventMemberJoin: (\S+)")),
    ("failed", re.compile(r"EventMemberFailed: (\S+)")),
    ("left", re.compile(r"EventMemberLeave: (\S+)")),
    ("suspected", re.compile(r"Suspect (\S+) has failed")),
)


class Rpc:
    """One connection to an agent: requests are answered in turn, events of a stream go to a callback."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._unpacker = Unpacker()
        self._seq = 0

    @classmethod
    async def connect(cls, port: int) -> "Rpc":
        """Raises `OSError` while the agent does not listen."""
        rpc = cls(*await asyncio.open_connection("127.0.0.1", port))
        await rpc.ask("handshake", {"Version": 1})
        return rpc

    async def ask(self, command: str, body: dict[str, Any]) -> None:
        """Send, and wait until it is answered with its own number and no error."""
        seq = self.send(command, body)
        while True:
            head = await self._next()
            if isinstance(head, dict) and head.get("Seq") == seq and "Error" in head:
                if head["Error"]:
                    raise RuntimeError(f"serf: {command}: {head['Error']}")
                if command == "join":
                    await self._next()
                return

    def send(self, command: str, body: dict[str, Any]) -> int:
        """Send without waiting."""
        self._seq += 1
        self._writer.write(
            msgspec.msgpack.encode({"Command": command, "Seq": self._seq}) + msgspec.msgpack.encode(body)
        )
        return self._seq

    async def events(self, observer: str, board: Board) -> None:
        """User events, for ever."""
        await self.ask("stream", {"Type": "user:bench"})
        while True:
            found = await self._next()
            if isinstance(found, dict) and "Payload" in found:
                payload = found["Payload"]
                board.note("event", payload.decode() if isinstance(payload, bytes) else payload, observer)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    async def _next(self) -> object:
        while True:
            found = self._unpacker.take()
            if found is not Unpacker.NOTHING:
                return found
            data = await self._reader.read(65536)
            if not data:
                raise ConnectionError("serf: the agent hung up")
            self._unpacker.feed(data)


class SerfPool:
    """`count` agents with the profile lan, which is the default: probes each second, gossips each 0.2 s."""

    name = "serf"

    def __init__(self, board: Board, base_port: int) -> None:
        self.board = board
        self.halved = False
        self.processes: dict[str, Process] = {}
        self._base = base_port
        self._rpcs: dict[str, Rpc] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, count: int) -> None:
        """All agents, alone."""
        binary = which("serf", "apt-get install serf")
        for index in range(count):
            bind, rpc = self._base + 2 * index, self._base + 2 * index + 1
            command = [binary, "agent", f"-node=n{index}", f"-bind=127.0.0.1:{bind}", f"-rpc-addr=127.0.0.1:{rpc}"]
            process = await spawn(
                f"n{index}", [*command, "-profile=lan", "-log-level=info"], group_of(self, index, count)
            )
            self.processes[process.name] = process
            assert process.handle.stdout is not None
            self._tasks.append(asyncio.create_task(follow(process.handle.stdout, process.name, self.board, PATTERNS)))
        for index in range(count):
            self._rpcs[f"n{index}"] = await self._connected(self._base + 2 * index + 1)

    async def _connected(self, port: int) -> Rpc:
        for _ in range(200):
            try:
                return await Rpc.connect(port)
            except OSError:
                await asyncio.sleep(0.05)
        raise Unavailable(f"a serf agent does not listen on port {port}")

    async def join(self) -> None:
        """All at once, by the first."""
        first = f"127.0.0.1:{self._base}"
        for name, rpc in self._rpcs.items():
            if name != "n0":
                rpc.send("join", {"Existing": [first], "Replay": False})

    async def listen(self) -> None:
        """Have every agent's user events noted."""
        for index, name in enumerate(self.processes):
            rpc = await self._connected(self._base + 2 * index + 1)
            self._tasks.append(asyncio.create_task(rpc.events(name, self.board)))
        await asyncio.sleep(0.5)

    async def publish(self, *texts: str) -> None:
        """User events from the first."""
        for text in texts:
            self._rpcs["n0"].send("event", {"Name": "bench", "Payload": text.encode(), "Coalesce": False})

    def ports(self, name: str) -> range:
        """For the others and for its clients."""
        first = self._base + 2 * int(name[1:])
        return range(first, first + 2)

    async def stop(self) -> None:
        """End of all processes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(process.end() for process in self.processes.values()))
