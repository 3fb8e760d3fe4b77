"""Work in trouble: the network is cut or loses datagrams, processes are paused, the processor is taken."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

from side_by_side.pool import FIRST_HALF_GROUP, SECOND_HALF_GROUP, Pool, Unavailable
from side_by_side.work import FORM_S, SETTLE_S, Figures, Work, form

CUT_S = 75.0
TROUBLE_S = 60.0
LOST = 0.2
BUSY_LOOPS = 4
MARK = "0x6d70"

Rule = tuple[str, ...]
"""Table, chain, and what iptables wants to know beside."""


async def split(pool: Pool, count: int) -> Figures:
    """One half hears nothing of the other: when do all know, and when is all well after it is over?"""
    pool.halved = True
    await form(pool, count)
    await asyncio.sleep(SETTLE_S)
    names = list(pool.processes)
    halves = names[: count // 2], names[count // 2 :]
    across = [*product(*halves), *product(*reversed(halves))]
    ports = [(min(pool.ports(half[0])), max(pool.ports(half[-1]))) for half in halves]
    # Marked on the way out, where it is known who sends, and dropped on the way in: a sender must not be told.
    rules: list[Rule] = [("filter", "INPUT", "-i", "lo", "-m", "mark", "--mark", MARK, "-j", "DROP")]
    rules += [
        (
            *("mangle", "OUTPUT", "-o", "lo", "-m", "owner", "--gid-owner", str(group)),
            *("-p", protocol, "--dport", f"{low}:{high}", "-j", "MARK", "--set-mark", MARK),
        )
        for group, (low, high) in zip((SECOND_HALF_GROUP, FIRST_HALF_GROUP), ports, strict=True)
        for protocol in ("udp", "tcp")
    ]
    begun = time.monotonic()
    with dropped(*rules):
        known = await _all_say(pool, ("failed",), across, CUT_S)
        await asyncio.sleep(max(0.0, begun + CUT_S - time.monotonic()))
        for what, name in product(("joined", "recovered"), names):
            pool.board.forget(what, name)
    healed = time.monotonic()
    back = await _all_say(pool, ("joined", "recovered"), across, FORM_S)
    return {
        "split known": None if known is None else known - begun,
        "all back": None if back is None else back - healed,
    }


async def _all_say(pool: Pool, what: tuple[str, ...], pairs: list[tuple[str, str]], timeout_s: float) -> float | None:
    """When the last observer of (observer, subject) said one of these things of its subject."""

    def last() -> float | None:
        latest = 0.0
        for observer, subject in pairs:
            times = [at for one in what if (at := pool.board.seen[one, subject].get(observer)) is not None]
            if not times:
                return None
            latest = max(latest, min(times))
        return latest

    return await pool.board.until(last, timeout_s)


async def drops(pool: Pool, count: int) -> Figures:
    """A share of all datagrams is lost."""
    await form(pool, count)
    await asyncio.sleep(SETTLE_S)
    names = list(pool.processes)
    low, high = min(pool.ports(names[0])), max(pool.ports(names[-1]))
    chance = ("-m", "statistic", "--mode", "random", "--probability", str(LOST))
    with dropped(("filter", "INPUT", "-i", "lo", "-p", "udp", "--dport", f"{low}:{high}", *chance, "-j", "DROP")):
        return await _wrong(pool, names, TROUBLE_S)


async def stress(pool: Pool, count: int) -> Figures:
    """Others take the processor, at the highest priority."""
    await form(pool, count)
    await asyncio.sleep(SETTLE_S)
    loop = "import os; os.nice(-20)\nwhile True: pass"
    busy = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(BUSY_LOOPS)]
    try:
        return await _wrong(pool, list(pool.processes), TROUBLE_S)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def pauses(part: int, paused_s: float, runs_s: float, seconds: float) -> Work:
    """One node of so many is stopped, runs for a moment, and is stopped again: who of the others is failed?"""

    async def work(pool: Pool, count: int) -> Figures:
        await form(pool, count)
        await asyncio.sleep(SETTLE_S)
        names = list(pool.processes)
        paused = set(names[1::part][: count // part])
        steady = [name for name in names if name not in paused]
        watch = asyncio.create_task(_wrong(pool, steady, seconds))
        while not watch.done():
            for number, pause_s in ((signal.SIGSTOP, paused_s), (signal.SIGCONT, runs_s)):
                for name in paused:
                    pool.processes[name].signal(number)
                await asyncio.sleep(pause_s)
        return await watch

    return work


async def _wrong(pool: Pool, steady: list[str], seconds: float) -> Figures:
    """What is said, for a while, of members that run."""
    for name in steady:
        pool.board.forget("failed", name)
        pool.board.forget("suspected", name)
    await asyncio.sleep(seconds)
    return {
        "false failures": float(sum(len(pool.board.seen["failed", name]) for name in steady)),
        "suspicions": float(sum(len(pool.board.seen["suspected", name]) for name in steady)),
    }


@contextmanager
def dropped(*rules: Rule) -> Iterator[None]:
    """Have rules in force. Raises `Unavailable` where that is not allowed."""
    done: list[Rule] = []
    try:
        for rule in rules:
            _iptables("-A", rule)
            done.append(rule)
        yield
    finally:
        for rule in reversed(done):
            _iptables("-D", rule)


def _iptables(verb: str, rule: Rule) -> None:
    table, chain, *rest = rule
    command = ["iptables", "-w", "-t", table, verb, chain, *rest]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Unavailable("iptables is not installed: apt-get install iptables") from error
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"iptables: {error.stderr.strip()} (needs root)") from error
