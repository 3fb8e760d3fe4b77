"""What grows with a pool and what does not, in the simulator: `python contrib/benchmarks/pool_growth.py`.

Pools of 10 to 300 members, the median of some seeds: what a member sends at rest, how soon one item is everywhere with
and without loss, and when the last member knows of a silent death, beside the bound that the docs of `swim` state.
Prints a table and draws docs/pool-growth.svg.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from mpreg_core import NS_PER_MS, NS_PER_S
from mpreg_core.sim import Fleet
from mpreg_core.sim.plots import lines
from mpreg_core.testing import installed_parts

SIZES = {10: 9, 30: 7, 100: 5, 300: 2}
"""Members of the pool, and seeds."""

REST_S, ITEMS, LOSS = 30.0, 10, 0.05
PICTURE = Path(__file__).resolve().parents[2] / "docs" / "pool-growth.svg"


@dataclass(frozen=True)
class Found:
    """One pool's figures."""

    bytes_s: float
    frames_s: float
    spread_ms: float
    spread_lossy_ms: float
    detected_s: float


class Pool:
    """A local hub with its cluster nodes, settled."""

    def __init__(self, size: int, seed: int) -> None:
        self.fleet = Fleet.of_shape(installed_parts(), 1, 1, 1, size - 1, seed=seed)
        self.world = self.fleet.world
        self.members = [node for node in self.fleet.regions if node.startswith("us-east-1")]
        self.world.run(40)

    def rest(self) -> tuple[float, float]:
        """Bytes and frames a member and second."""
        nodes = [self.world.nodes[name] for name in self.members]
        before = [(node.bytes_sent, node.frames_sent) for node in nodes]
        self.world.run(REST_S)
        sent = [
            (node.bytes_sent - size, node.frames_sent - count)
            for node, (size, count) in zip(nodes, before, strict=True)
        ]
        share = REST_S * len(nodes)
        return sum(size for size, _ in sent) / share, sum(count for _, count in sent) / share

    def spread_ms(self, loss: float) -> float:
        """From a write to its last copy."""
        self.world.network.faults.loss = loss
        times = []
        for number in range(ITEMS):
            key, begun_ns = f"{loss}-{number}", self.world.now_ns
            self.fleet.put(self.members[number % len(self.members)], key, number, "pool")
            while any(self.fleet.values(key, "pool")[name] != number for name in self.members):
                self.world.run(0.0005)
            times.append((self.world.now_ns - begun_ns) / NS_PER_MS)
            self.world.run(1.0)
        self.world.network.faults.loss = 0.0
        return median(times)

    def detected_s(self) -> float:
        """From a death that no kernel tells of to the last member that knows."""
        victim = self.members[len(self.members) // 2]
        others = [self.world.nodes[name] for name in self.members if name != victim]
        self.world.network.partition([name for name in self.fleet.regions if name != victim], [victim])
        begun_ns = self.world.now_ns

        def status(core) -> str:  # type: ignore[no-untyped-def]
            (stack,) = [stack for stack in core.state.lowest_first() if stack.pool == "local:us-east-1"]
            return stack.table.member(victim).status

        while any(status(node.core) != "failed" for node in others):
            self.world.run(0.1)
        return (self.world.now_ns - begun_ns) / NS_PER_S


def measure(size: int, seed: int) -> Found:
    """One pool."""
    pool = Pool(size, seed)
    size_s, frames_s = pool.rest()
    return Found(size_s, frames_s, pool.spread_ms(0.0), pool.spread_ms(LOSS), pool.detected_s())


def drawn(found: dict[int, Found]) -> str:
    """Three curves below each other, in one picture."""
    plots = {
        "bytes a member and second, at rest": (lambda each: (each.bytes_s,), "B/s"),
        f"one item from its write to its last copy; broken: with {LOSS:.0%} loss": (
            lambda each: (each.spread_ms, each.spread_lossy_ms),
            "ms",
        ),
        "a silent death, until the last member knows": (lambda each: (each.detected_s,), "s"),
    }
    inner = ""
    for place, (title, (values, unit)) in enumerate(plots.items()):
        series = list(zip(*([(size, value) for value in values(each)] for size, each in found.items()), strict=True))
        plot = lines(series, "members", unit, by_decades=True).replace("<svg ", f'<svg y="{place * 220}" height="200" ')
        inner += f'{plot}<text x="320" y="{place * 220 + 26}" text-anchor="middle">{title}</text>'
    style = "text{font:12px sans-serif;fill:#666}.axis{stroke:#999}"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 660"><style>{style}</style>{inner}</svg>\n'


def main() -> None:
    """Print and draw."""
    print(f"members  bytes/s  frames/s     spread  with {LOSS:.0%} loss  silent death known")
    found: dict[int, Found] = {}
    for size, seeds in SIZES.items():
        pools = [measure(size, seed) for seed in range(1, seeds + 1)]
        row = Found(*(median(getattr(each, name) for each in pools) for name in Found.__dataclass_fields__))
        spread = f"{row.spread_ms:>8.1f} ms {row.spread_lossy_ms:>10.1f} ms"
        print(f"{size:>7} {row.bytes_s:>8.1f} {row.frames_s:>9.2f} {spread} {row.detected_s:>17.1f} s", flush=True)
        found[size] = row
    PICTURE.write_text(drawn(found))


if __name__ == "__main__":
    main()
