"""Work with so many operations in flight, and what it came to."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

WARM_UP_S = 0.5

Operation = Callable[[int], Awaitable[object]]
"""Does one thing, given its number."""


@dataclass(frozen=True)
class Load:
    """Operations a second, and their latency in ms."""

    rate: float
    p50_ms: float
    p99_ms: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def summed_up(latencies_s: list[float], seconds: float) -> Load:
    """From single latencies."""
    ordered = sorted(latencies_s) or [float("nan")]
    return Load(
        len(latencies_s) / seconds,
        1000 * ordered[len(ordered) // 2],
        1000 * ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
    )


async def run(operation: Operation, in_flight: int, seconds: float) -> Load:
    """Keep so many in flight for so long, after a short warm-up."""
    latencies: list[float] = []
    begun = time.perf_counter() + WARM_UP_S
    end = begun + seconds

    async def worker(number: int) -> None:
        while (sent := time.perf_counter()) < end:
            await operation(number)
            number += in_flight
            if sent >= begun:
                latencies.append(time.perf_counter() - sent)

    await asyncio.gather(*(worker(number) for number in range(in_flight)))
    return summed_up(latencies, time.perf_counter() - begun)
