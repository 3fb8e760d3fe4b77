"""The work: each row forms a pool, does one thing with it, and gives figures in the row's unit."""

import asyncio
import signal
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from side_by_side.pool import Pool, loopback_bytes

FORM_S = 120.0
DETECT_S = 90.0
IDLE_S = 20.0
EVENTS = 20
BURST = 200
BURST_S = 60.0
SETTLE_S = 3.0

Figures = dict[str, float | None]
"""Name of the figure -> value; None if it did not come about in time."""

Work = Callable[[Pool, int], Awaitable[Figures]]


@dataclass(frozen=True)
class Row:
    """`goal` is the most that mpreg's share of serf's figure may be."""

    what: str
    work: Work
    unit: str
    goal: float


async def form(pool: Pool, count: int) -> float | None:
    """Seconds from the join of all until every list of members is complete."""
    await pool.start(count)
    names = list(pool.processes)
    begun = time.monotonic()
    await pool.join()
    last = begun
    for name in names:
        found = await pool.board.all_say(
            "joined", name, [other for other in names if other != name], FORM_S - (time.monotonic() - begun)
        )
        if found is None:
            return None
        last = max(last, found)
    return last - begun


async def formation(pool: Pool, count: int) -> Figures:
    """All join the first at once."""
    return {"complete": await form(pool, count)}


def death(number: signal.Signals, what: str) -> Work:
    """One node gets a signal: when do all others know?"""

    async def work(pool: Pool, count: int) -> Figures:
        await form(pool, count)
        await asyncio.sleep(SETTLE_S)
        victim = f"n{count // 2}"
        others = [name for name in pool.processes if name != victim]
        begun = time.monotonic()
        pool.processes[victim].signal(number)
        last = await pool.board.all_say(what, victim, others, DETECT_S)
        return {"all know": None if last is None else last - begun}

    return work


async def broadcasts(pool: Pool, count: int) -> Figures:
    """One message after the other, from one node: how long to the last."""
    await form(pool, count)
    await pool.listen()
    await asyncio.sleep(SETTLE_S)
    times: list[float] = []
    for number in range(EVENTS):
        begun = time.monotonic()
        await pool.publish(f"one-{number}")
        last = await pool.board.all_say("event", f"one-{number}", list(pool.processes), DETECT_S)
        if last is None:
            return {"p50": None, "max": None}
        times.append(last - begun)
        await asyncio.sleep(0.1)
    return {"p50": statistics.median(times), "max": max(times)}


async def burst(pool: Pool, count: int) -> Figures:
    """Many messages at once from one node: until everybody has all of them."""
    await form(pool, count)
    await pool.listen()
    await asyncio.sleep(SETTLE_S)
    begun = last = time.monotonic()
    await pool.publish(*(f"many-{number}" for number in range(BURST)))
    for number in range(BURST):
        left_s = BURST_S - (time.monotonic() - begun)
        found = await pool.board.all_say("event", f"many-{number}", list(pool.processes), max(0.0, left_s))
        if found is None:
            have = sum(len(pool.board.seen["event", f"many-{each}"]) for each in range(BURST))
            return {"all have all": None, "share": have / BURST / count}
        last = max(last, found)
    return {"all have all": last - begun}


async def idle(pool: Pool, count: int) -> Figures:
    """What a pool at rest sends and computes, for each node."""
    await form(pool, count)
    await asyncio.sleep(15)
    size, cpu = loopback_bytes(), sum(process.cpu_s() for process in pool.processes.values())
    failures = pool.board.count["failed"]
    await asyncio.sleep(IDLE_S)
    spent = sum(process.cpu_s() for process in pool.processes.values()) - cpu
    return {
        "bytes/node/s": (loopback_bytes() - size) / IDLE_S / count,
        "CPU s/node/min": spent * 60 / IDLE_S / count,
        "false failures": float(pool.board.count["failed"] - failures),
    }


async def pauses(pool: Pool, count: int) -> Figures:
    """A fifth of the nodes is stopped for 8 s and runs for 1 s, for 90 s: who of the others is failed?"""
    await form(pool, count)
    await asyncio.sleep(SETTLE_S)
    names = list(pool.processes)
    paused = set(names[1::5][: count // 5])
    steady = [name for name in names if name not in paused]
    end = time.monotonic() + 90
    while time.monotonic() < end:
        for number, seconds in ((signal.SIGSTOP, 8.0), (signal.SIGCONT, 1.0)):
            for name in paused:
                pool.processes[name].signal(number)
            await asyncio.sleep(seconds)
    wrong = sum(len(pool.board.seen["failed", name]) for name in steady)
    suspected = sum(len(pool.board.seen["suspected", name]) for name in steady)
    return {"false failures": float(wrong), "suspicions": float(suspected)}


ROWS = {
    "formation": Row("all join the first at once: lists complete", formation, "s", 0.5),
    "kill": Row("kill -9: all others know", death(signal.SIGKILL, "failed"), "s", 0.2),
    "stop": Row("SIGSTOP for good: all others know", death(signal.SIGSTOP, "failed"), "s", 0.5),
    "leave": Row("graceful leave: all others know", death(signal.SIGINT, "left"), "s", 0.1),
    "event": Row("one broadcast to the last member", broadcasts, "s", 0.1),
    "burst": Row("200 broadcasts at once: all have all", burst, "s", 0.1),
    "idle": Row("at rest", idle, "", 0.35),
    "pauses": Row("a fifth paused 8 s, runs 1 s: about the others", pauses, "", 1.0),
}
