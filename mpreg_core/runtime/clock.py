"""The real clock."""

import time


def now_ns() -> int:
    """Monotonic nanoseconds. On Linux it stands still while the machine sleeps."""
    return time.monotonic_ns()


def wall_offset_ns() -> int:
    """What to add to `now_ns` for the wall clock of this moment."""
    return time.time_ns() - time.monotonic_ns()


def wall_ms() -> int:
    """The wall clock in whole milliseconds."""
    return time.time_ns() // 1_000_000
