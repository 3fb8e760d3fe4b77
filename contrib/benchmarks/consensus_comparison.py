"""mpreg's raft beside etcd and PySyncObj: the same work, three processes each on loopback, in one run.

    python contrib/benchmarks/consensus_comparison.py                     # all rows, some five minutes
    python contrib/benchmarks/consensus_comparison.py writes losses --runs 3

Values of 128 bytes, disks synced wherever the engine does that. etcd is asked over gRPC where mpreg and PySyncObj are
asked inside the leader's process, as that is what a Python program would use. The rows: writes, reads, http-writes,
http-reads, losses. etcd needs `apt-get install etcd-server` and `pip install grpcio`; PySyncObj, `pip install
pysyncobj`. What is missing is left out.
"""

import argparse
import asyncio
import signal
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from three_nodes.etcd import Etcd
from three_nodes.load import Load
from three_nodes.mpreg import Mpreg
from three_nodes.pysyncobj import PySyncObj
from three_nodes.trio import Trio, Unavailable

SECONDS = 3.0
IN_FLIGHT = {"writes": (1, 16, 128), "http-writes": (1, 16, 128), "reads": (1, 128), "http-reads": (1, 16)}
LOSSES = 10
FILL_S = 2.0
"""Of writes before reads, so that there is something to read."""

MAKES: tuple[type[Trio], ...] = (Etcd, PySyncObj, Mpreg)
ROWS = (*IN_FLIGHT, "losses")

Found = dict[tuple[str, str], list[float]]
"""Row and make, to one figure a run."""


async def loads(trio: Trio, row: str, found: Found) -> None:
    """A row of rates and latencies."""
    work = trio.by_http if row.startswith("http") else trio.embedded
    if row.endswith("reads"):
        await trio.embedded("write", 128, FILL_S)
    for in_flight in IN_FLIGHT[row]:
        load: Load = await work(row.removeprefix("http-").removesuffix("s"), in_flight, SECONDS)
        name = f"{row} {in_flight}"
        found.setdefault((f"{name}: a second", trio.name), []).append(load.rate)
        found.setdefault((f"{name}: p50 ms", trio.name), []).append(load.p50_ms)
        found.setdefault((f"{name}: p99 ms", trio.name), []).append(load.p99_ms)


async def losses(make: type[Trio], found: Found) -> None:
    """The leader is killed, or stops: a new trio each time."""
    for name, number in (("kill -9", signal.SIGKILL), ("SIGSTOP", signal.SIGSTOP)):
        trio = make()
        try:
            await trio.start()
            key = (f"leader {name}: s", trio.name)
            found.setdefault(key, []).append(await trio.lose_leader(number))
        finally:
            await trio.stop()


async def measure(rows: list[str], runs: int, found: Found) -> None:
    """Makes take turns within each run."""
    absent: set[type[Trio]] = set()
    for _ in range(runs):
        for make in MAKES:
            trio = make()
            try:
                if make in absent or set(rows) == {"losses"}:
                    continue
                await trio.start()
                for row in rows:
                    if row in IN_FLIGHT and (trio.has_http or row == "writes"):
                        await loads(trio, row, found)
            except Unavailable as reason:
                absent.add(make)
                print(f"without {make.name}: {reason}", flush=True)
            finally:
                await trio.stop()
    if "losses" in rows:
        for _ in range(LOSSES):
            for make in MAKES:
                if make.has_http and make not in absent:
                    await losses(make, found)


def table(found: Found) -> None:
    """One line a figure, mpreg's share of each peer's behind it."""
    names = [make.name for make in MAKES]
    print(f"{'':<28}" + "".join(f"{name:>12}" for name in names) + "   mpreg/etcd  mpreg/pysyncobj")
    for figure in dict.fromkeys(row for row, _ in found):
        values = {name: statistics.median(found[figure, name]) for name in names if (figure, name) in found}
        shares = (f"{values['mpreg'] / values[peer]:.2f}x" if peer in values else "-" for peer in names[:-1])
        cells = "".join(f"{values[name]:>12,.2f}" if name in values else f"{'-':>12}" for name in names)
        print(f"{figure:<28}{cells}" + "".join(f"{share:>13}" for share in shares))


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    found: Found = {}
    asyncio.run(measure(arguments.rows or list(ROWS), arguments.runs, found))
    table(found)


if __name__ == "__main__":
    main()
