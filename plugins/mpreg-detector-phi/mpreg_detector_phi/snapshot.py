"""What admin, traces and checkers see of the machine."""

from msgspec import Struct


class Counts(Struct):
    """What happened since the start."""

    heartbeats: int = 0
    answers: int = 0
    answers_by_stream: int = 0
    answers_late: int = 0
    doubts: int = 0
    refusals: int = 0
    accusations: int = 0
    strangers: int = 0
    pauses: int = 0


class PhiSnapshot(Struct, frozen=True):
    """The machine at a glance. `phi_max` is the highest level among those watched, capped to be a number in JSON."""

    present: int
    watched: int
    suspects: int
    failed: int
    phi_max: float
    quiet: bool
    timers: int
    suspicions: int
    withdrawn: int
    convictions: int
    stale: int
    counts: dict[str, int]
