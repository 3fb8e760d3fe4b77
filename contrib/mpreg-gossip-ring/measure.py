"""Reach and price of the ring against others that are installed: `python measure.py ring hybrid random`.

A pool of 60 in the simulator, one item of 1,000 bytes: who has it after 3 ms, when the last one has it, and how many
copies of it went over the wire for each member; with no loss, and with a tenth of all frames late or lost.
"""

import sys
from random import Random
from statistics import median

from mpreg_core import NS_PER_S
from mpreg_core.sim import Fleet
from mpreg_core.testing import installed_parts

CLUSTERS, PAYLOAD, SEEDS = 60, 1_000, range(1, 8)


def one(name: str, loss: float, seed: int) -> tuple[float, float, float]:
    """Share of members reached after 3 ms, seconds to the last, copies a member."""
    fleet = Fleet.of_shape(installed_parts(name), 1, 1, 1, CLUSTERS, seed=seed)
    world = fleet.world
    world.run(20)
    for number in range(8):  # strategies that learn their ways have learnt them
        fleet.put(f"us-east-1-c{number + 1}", f"warm-{number}", number, "pool")
        world.run(1)
    members = [node for node in fleet.regions if node.startswith("us-east-1")]
    world.network.faults.loss = loss
    quiet = sum(world.nodes[node].bytes_sent for node in members)
    world.run(1)
    before = sum(world.nodes[node].bytes_sent for node in members)
    text = Random(seed).randbytes(PAYLOAD // 2).hex()
    fleet.put(members[3], "k", text, "pool")

    def reached() -> int:
        values = fleet.values("k", "pool")
        return sum(values[node] == text for node in members)

    begun_ns = world.now_ns
    world.run(0.003)
    early = reached() / len(members)
    while reached() < len(members) and world.now_ns - begun_ns < 60 * NS_PER_S:
        world.run(0.001)
    last_s = (world.now_ns - begun_ns) / NS_PER_S
    world.run(max(0.0, 1 - last_s))
    idle = (before - quiet) * max(1.0, last_s)
    copies = (sum(world.nodes[node].bytes_sent for node in members) - before - idle) / PAYLOAD / len(members)
    return early, last_s, copies


def main() -> None:
    """Print the table."""
    print(f"{'strategy':<16} {'loss':>5} {'after 3 ms':>11} {'last one':>10} {'copies a member':>16}")
    for loss in (0.0, 0.1):
        for name in sys.argv[1:] or ["ring", "hybrid", "random"]:
            found = [one(name, loss, seed) for seed in SEEDS]
            early, last_s, copies = (median(each) for each in zip(*found, strict=True))
            print(f"{name:<16} {loss:>5.0%} {early:>11.1%} {1000 * last_s:>7.0f} ms {copies:>16.2f}")


if __name__ == "__main__":
    main()
