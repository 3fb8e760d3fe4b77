"""An end for strategies that never come back: one that loops, or takes memory without end, within a single call.

No count of steps can see it, for no step ends. A thread looks now and then whether the world got on, and if not for too
long raises in the thread that is stuck, which names the place. Code outside Python cannot be interrupted this way.
"""

import ctypes
import os
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol

from mpreg_core.sim.world import RunawayError

STUCK_S = 20.0
"""Of real time in one call of a machine. Usual ones take microseconds."""

GREEDY_BYTES = 1024**3
"""What one call of a machine may take of memory."""

LOOK_S = 0.1


class _Stuck(BaseException):
    """Raised from outside; no strategy's `except Exception` catches it."""


class Progress(Protocol):
    """What moves on."""

    @property
    def progress(self) -> int: ...


@contextmanager
def watched(world: Progress, stuck_s: float = STUCK_S, greedy_bytes: int = GREEDY_BYTES) -> Iterator[None]:
    """Raise `RunawayError`, naming the line that runs, when `world.progress` stands still for too long."""
    over = threading.Event()
    verdict: list[str] = []
    thread = threading.Thread(
        target=_watch,
        args=(world, threading.get_ident(), over, verdict, stuck_s, greedy_bytes),
        name="sim-watchdog",
        daemon=True,
    )
    thread.start()
    try:
        yield
    except _Stuck as error:
        raise RunawayError(f"{verdict[0]}: {_culprit(error.__traceback__)}") from None
    finally:
        over.set()
        thread.join()


def _watch(
    world: Progress, target: int, over: threading.Event, verdict: list[str], stuck_s: float, greedy_bytes: int
) -> None:
    last, still_s, size = world.progress, 0.0, _resident_bytes()
    while not over.wait(LOOK_S):
        now = world.progress
        if now != last:
            last, still_s, size = now, 0.0, _resident_bytes()
            continue
        still_s += LOOK_S
        grown = _resident_bytes() - size
        if still_s < stuck_s and grown < greedy_bytes:
            continue
        if grown >= greedy_bytes:
            verdict.append(f"one call took {grown // 1024**2} MB of memory and did not come back")
        else:
            verdict.append(f"one call did not come back in {stuck_s:g} s")
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(target), ctypes.py_object(_Stuck))
        return


def _culprit(trace: TracebackType | None) -> str:
    """The innermost line that is neither core's nor the standard library's, and how it got there."""
    frames = traceback.extract_tb(trace)
    own = [frame for frame in frames if "mpreg_core" not in Path(frame.filename).parts]
    at = own[-1] if own else frames[-1]
    return f"{Path(at.filename).name}, line {at.lineno}, in {at.name}: {at.line or '?'}"


def _resident_bytes() -> int:
    """0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as pages:
            return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
