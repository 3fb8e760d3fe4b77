"""The rows: each forms a pool, does one thing with it, and gives figures in the row's unit."""

import asyncio
import signal
import statistics
import time

from side_by_side.pool import Pool, loopback_bytes
from side_by_side.troubles import drops, pauses, split, stress
from side_by_side.work import DETECT_S, SETTLE_S, Figures, Row, Work, form

IDLE_S = 20.0
EVENTS = 20
BURST = 200
BURST_S = 60.0
NO_FAILURES = {"false failures": 0.0}


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


ROWS = {
    "formation": Row("all join the first at once: lists complete", formation, "s", 0.5),
    "kill": Row("kill -9: all others know", death(signal.SIGKILL, "failed"), "s", 0.2),
    "stop": Row("SIGSTOP for good: all others know", death(signal.SIGSTOP, "failed"), "s", 0.5),
    "leave": Row("graceful leave: all others know", death(signal.SIGINT, "left"), "s", 0.1),
    "event": Row("one broadcast to the last member", broadcasts, "s", 0.1),
    "burst": Row("200 broadcasts at once: all have all", burst, "s", 0.1),
    "idle": Row("at rest", idle, "", 0.35, most={"CPU s/node/min": 0.2, **NO_FAILURES}),
    "split": Row("halves cut off for 75 s", split, "s", 0.2, goals={"all back": 0.15}),
    "drops": Row("a fifth of all datagrams lost, 60 s", drops, "", 1.0, most=NO_FAILURES),
    "stress": Row("four busy loops at nice -20, 60 s", stress, "", 1.0, most=NO_FAILURES),
    "pauses": Row("a fifth paused 8 s, runs 1 s, 90 s: of the others", pauses(5, 8, 1, 90), "", 1.0, most=NO_FAILURES),
    "long-pauses": Row(
        "a third paused 16 s, runs 0.3 s, 100 s: of the others", pauses(3, 16, 0.3, 100), "", 0.2, most=NO_FAILURES
    ),
}
