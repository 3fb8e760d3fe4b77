"""What the three makes have in common: processes in a folder, a leader, work, and the loss of the leader."""

import asyncio
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from three_nodes.load import Load

VALUE = "v" * 128
KEYS = 1024
RETRY_S = 0.005
ANSWER_S = 0.5


class Unavailable(Exception):
    """It cannot be measured here; the text says why and what to do."""


def program(name: str, remedy: str) -> str:
    """Where a program is. Raises `Unavailable`."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise Unavailable(f"{name} is not installed: {remedy}")
    return found


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on, from below those that the system gives to outgoing connections."""
    while True:
        base = random.randrange(10_000, 32_000)
        sockets: list[socket.socket] = []
        try:
            for port in range(base, base + count):
                sockets.append(socket.create_server(("127.0.0.1", port)))
            return [each.getsockname()[1] for each in sockets]
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()


class Trio:
    """Three processes. `name` is for the table, `has_http` says that there is an API to compare with."""

    name = ""
    has_http = True

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="three-nodes-", dir=Path.cwd()))
        self.processes: list[Process] = []

    async def spawn(self, *command: str) -> Process:
        """One more process, its output in a file."""
        log = (self.folder / f"log-{len(self.processes)}").open("wb")
        path = filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")))
        env = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=log, env=env)
        log.close()
        self.processes.append(process)
        return process

    async def start(self) -> None:
        """Start, and wait until there is a leader."""
        raise NotImplementedError

    async def embedded(self, kind: str, in_flight: int, seconds: float) -> Load:
        """Writes or reads through what a Python program would use."""
        raise NotImplementedError

    async def by_http(self, kind: str, in_flight: int, seconds: float) -> Load:
        """The same through the HTTP API of the leader."""
        raise NotImplementedError

    async def leader(self) -> int:
        """Which of the processes leads."""
        raise NotImplementedError

    async def write_once(self, at: int) -> bool:
        """One write through a process's HTTP API; True if it was acknowledged."""
        raise NotImplementedError

    async def lose_leader(self, number: signal.Signals) -> float:
        """Signal the leader; seconds until a write through another process is acknowledged."""
        lost = await self.leader()
        other = (lost + 1) % 3
        while not await self._try(other):
            await asyncio.sleep(RETRY_S)
        await asyncio.sleep(1.0)
        begun = time.monotonic()
        self.processes[lost].send_signal(number)
        while not await self._try(other):
            await asyncio.sleep(RETRY_S)
        return time.monotonic() - begun

    async def _try(self, at: int) -> bool:
        try:
            return await asyncio.wait_for(self.write_once(at), ANSWER_S)
        except (OSError, TimeoutError):
            return False

    async def stop(self) -> None:
        """End and forget all."""
        for process in self.processes:
            if process.returncode is None:
                process.kill()
        for process in self.processes:
            await process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
