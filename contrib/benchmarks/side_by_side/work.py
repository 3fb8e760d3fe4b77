"""What a row of the comparison is, and the work that most of them begin with."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from side_by_side.pool import Pool

FORM_S = 120.0
DETECT_S = 90.0
SETTLE_S = 3.0

Figures = dict[str, float | None]
"""Name of the figure -> value; None if it did not come about in time."""

Work = Callable[[Pool, int], Awaitable[Figures]]


@dataclass(frozen=True)
class Row:
    """`goal` is the most that mpreg's share of serf's figure may be; `goals` has the figures with another one.

    Figures in `most` have a goal of mpreg's own, whatever serf's may be.
    """

    what: str
    work: Work
    unit: str
    goal: float
    goals: Mapping[str, float] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)


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
