"""A schedule that breaks a promise, made smaller: what is left is what it takes."""

from collections.abc import Sequence

from mpreg_core.sim.faults import Fault, Schedule
from mpreg_core.sim.scenario import Plan, Run


def shrunk(plan: Plan, *, runs_max: int = 40) -> Schedule:
    """The fewest faults that still break a promise: halves are left out, then single ones, then times shortened.

    Delta debugging (Zeller 1999), over at most `runs_max` runs.
    """
    kept, runs, size = list(plan.faults), 0, max(1, len(plan.faults) // 2)
    while size >= 1 and runs < runs_max and len(kept) > 1:
        for start in range(0, len(kept), size):
            rest = kept[:start] + kept[start + size :]
            runs += 1
            if rest and _breaks(plan, rest):
                kept = rest
                break
        else:
            size //= 2
    for at, fault in enumerate(kept):
        shorter = Fault(fault.kind, fault.at_s, round(fault.for_s / 2, 3), fault.target, fault.amount)
        if runs < runs_max and _breaks(plan, [*kept[:at], shorter, *kept[at + 1 :]]):
            kept[at] = shorter
        runs += 1
    return tuple(kept)


def _breaks(plan: Plan, faults: Sequence[Fault]) -> bool:
    return not Run(Plan(plan.parts, plan.shape, plan.seed, plan.duration_s, tuple(faults))).play().held
