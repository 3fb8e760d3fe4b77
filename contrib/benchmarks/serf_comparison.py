"""mpreg beside Debian's serf: the same work, separate processes on loopback, in one run.

    python contrib/benchmarks/serf_comparison.py                         # the usual rows, some ten minutes
    python contrib/benchmarks/serf_comparison.py kill-30 event-60 --runs 3 --json figures.json

A row is NAME-NODES; see ROWS in `side_by_side/rows.py`. The rows split and drops need root and iptables. serf runs with
its profile lan, mpreg with the same probe interval (1 s), time-out (0.5 s) and gossip interval (0.2 s). Times are taken
where both say it first, in their logs.
"""

import argparse
import asyncio
import json
import statistics
import sys
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from side_by_side.board import Board
from side_by_side.mpreg import MpregPool
from side_by_side.pool import Pool, Unavailable
from side_by_side.rows import ROWS
from side_by_side.serf import SerfPool
from side_by_side.work import Figures, Row

USUAL = ("formation-30", "kill-10", "kill-30", "stop-30", "leave-30", "event-30", "burst-30", "idle-30")
KINDS = (SerfPool, MpregPool)
PORTS = (20_000 + number * 1_000 % 12_000 for number in count())
"""Below those that the system gives to clients."""


async def measured(kind: type[Pool], row: Row, nodes: int) -> Figures:
    """One run of one side, on ports of its own."""
    pool = kind(Board(), next(PORTS))  # type: ignore[call-arg]
    try:
        return await row.work(pool, nodes)
    finally:
        await pool.stop()


async def compare(names: list[str], runs: int) -> list[dict[str, object]]:
    """All rows; prints each line as it is known."""
    lines: list[dict[str, object]] = []
    print(f"{'row':<14} {'figure':<16} {'serf':>10} {'mpreg':>10} {'share':>7}  goal", flush=True)
    for name in names:
        key, _, nodes = name.rpartition("-")
        row = ROWS[key]
        found: dict[str, list[Figures]] = {}
        for _ in range(runs):
            for kind in KINDS:
                found.setdefault(kind.name, []).append(await measured(kind, row, int(nodes)))
        for figure in dict.fromkeys(figure for each in found.values() for one in each for figure in one):
            line = told(name, figure, row, *(collected(found[kind.name], figure) for kind in KINDS))
            lines.append(line)
    return lines


def collected(figures: list[Figures], name: str) -> list[float | None]:
    """A figure over all runs."""
    return [each.get(name) for each in figures]


def told(name: str, figure: str, row: Row, serf: list[float | None], mpreg: list[float | None]) -> dict[str, object]:
    """Print a line, and give it as data."""
    theirs, ours = median(serf), median(mpreg)
    share = ours / theirs if ours is not None and theirs else None
    most, goal = row.most.get(figure), row.goals.get(figure, row.goal)
    asked = f"{goal:g}x" if most is None else f"{most:g}"
    reached = (share is not None and share <= goal) if most is None else (ours is not None and ours <= most)
    met = "met" if reached else "" if most is None and share is None and ours is not None else "MISSED"
    shown = f"{share:>6.3f}x" if share is not None else f"{'-':>7}"
    print(f"{name:<14} {figure:<16} {number(theirs):>10} {number(ours):>10} {shown}  {asked} {met}", flush=True)
    return {
        "row": name, "what": row.what, "figure": figure, "unit": row.unit, "serf": serf, "mpreg": mpreg,
        "share": share, "goal": goal if most is None else None, "most": most,
    }  # fmt: skip


def median(values: list[float | None]) -> float | None:
    """None if it did not come about in half of the runs."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if len(known) * 2 > len(values) else None


def number(value: float | None) -> str:
    """Three digits, or that it never came about."""
    return "never" if value is None else f"{value:.3g}"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="mpreg beside serf, on the same work.")
    parser.add_argument("rows", nargs="*", default=list(USUAL), metavar="ROW-NODES", help=", ".join(ROWS))
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all figures there")
    asked = parser.parse_args()
    for name in asked.rows:
        key, _, nodes = name.rpartition("-")
        if key not in ROWS or not nodes.isdigit() or not 2 <= int(nodes) <= 150:
            parser.error(f"expected ROW-NODES with one of {', '.join(ROWS)} and 2 to 150 nodes, got {name!r}")
    try:
        lines = asyncio.run(compare(asked.rows, asked.runs))
    except Unavailable as error:
        print(f"serf_comparison: {error}", file=sys.stderr)
        return 1
    if asked.json is not None:
        asked.json.write_text(json.dumps(lines, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
