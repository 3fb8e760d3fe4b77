"""What both pools are made of: processes that are started, signalled, weighed and ended."""

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT
from asyncio.subprocess import Process as Handle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from side_by_side.board import Board

LINE_BYTES_MAX = 1 << 20
FIRST_HALF_GROUP, SECOND_HALF_GROUP = 54_321, 54_322
"""The groups of users that the halves run in, in a pool whose halves are to be cut apart."""


class Unavailable(Exception):
    """It cannot be measured here; the text says why and what to do."""


@dataclass
class Process:
    """One node."""

    name: str
    handle: Handle

    def signal(self, number: signal.Signals) -> None:
        """As `kill` does."""
        self.handle.send_signal(number)

    def cpu_s(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.handle.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def end(self) -> None:
        """Without ceremony."""
        if self.handle.returncode is None:
            self.handle.kill()
        await self.handle.wait()


class Pool(Protocol):
    """A pool of either kind. Its nodes are `n0`, `n1` ...; all join `n0`.

    With `halved`, set before the start, each half runs in a group of users of its own.
    """

    name: str
    halved: bool
    board: Board
    processes: dict[str, Process]

    async def start(self, count: int) -> None:
        """Start all nodes, ready to join."""
        ...

    async def join(self) -> None:
        """Have all of them join at once."""
        ...

    async def listen(self) -> None:
        """Have the messages that reach each node noted on the board, as `event`."""
        ...

    async def publish(self, *texts: str) -> None:
        """Send messages from `n0` to all."""
        ...

    def ports(self, name: str) -> range:
        """Where a node listens. The nodes' ports follow each other in their order."""
        ...

    async def stop(self) -> None:
        """End everything."""
        ...


def group_of(pool: Pool, index: int, count: int) -> int | None:
    """The group a node runs in; None for that of whoever started this."""
    if not pool.halved:
        return None
    return FIRST_HALF_GROUP if index < count // 2 else SECOND_HALF_GROUP


async def spawn(
    name: str, command: Sequence[str], group: int | None = None, env: dict[str, str] | None = None
) -> Process:
    """Start a node, in another group of users if one is given; both of its outputs come in one pipe."""
    if group is not None and os.geteuid() != 0:
        raise Unavailable("cutting a pool in halves needs root")
    handle = await asyncio.create_subprocess_exec(
        *command,
        stdout=PIPE,
        stderr=STDOUT,
        stdin=asyncio.subprocess.DEVNULL,
        limit=LINE_BYTES_MAX,
        env=env,
        group=group,
    )
    return Process(name, handle)


def which(name: str, remedy: str) -> str:
    """A program's path. Raises `Unavailable`."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise Unavailable(f"{name} is not installed: {remedy}")
    return found


def loopback_bytes() -> int:
    """Sent over loopback so far, by everybody."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, fields = line.partition(":")
        if name.strip() == "lo":
            return int(fields.split()[8])
    raise Unavailable("there is no interface lo")
