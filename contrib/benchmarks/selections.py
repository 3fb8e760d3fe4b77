"""When each of the four gossip selections wins: what it costs between places and within, and how soon all have an item.

    python contrib/benchmarks/selections.py

A pool of 60 in the simulator, ten members at each of six places on the earth, round trips by distance; items of 1,000
bytes from members of every place. Once with the places named as regions, once with all of them under one region's name,
as where nobody has told the nodes where they are: they know it by coordinates and measurement alone.
"""

import sys
from dataclasses import dataclass
from random import Random
from statistics import median

from mpreg_core import NS_PER_MS
from mpreg_core.node.parts import NodeSettings
from mpreg_core.sim import Fleet
from mpreg_core.sim.fleet import place_of
from mpreg_core.sim.world import address_of
from mpreg_core.testing import installed_parts

SELECTIONS = ("random", "proximity", "topology_aware", "hybrid")
PLACES = ("us-east", "eu-west", "ap-south", "sa-east", "ap-east", "us-west")
MEMBERS, ITEMS, PAYLOAD, SEEDS = 60, 30, 1_000, range(1, 6)
STEP_S = 0.005


@dataclass
class Sent:
    """Frames that carried an item."""

    far: int = 0
    near: int = 0


def pool_of(selection: str, seed: int, *, named: bool) -> tuple[Fleet, dict[str, str]]:
    """A settled pool, and where each member is."""
    fleet = Fleet(installed_parts(selection), seed)
    places = {f"n{number}": PLACES[number % len(PLACES)] for number in range(MEMBERS)}
    for name, place in places.items():
        is_hub = name == "n0"
        fleet.regions[name] = place
        settings = NodeSettings(
            id=name,
            federation="sim",
            tier="local" if is_hub else "cluster",
            region=place if named else "earth",
            address=address_of(name),
            started_ms=0,
            seed=0,
            parent=None if is_hub else "n0",
            parent_address=None if is_hub else address_of("n0"),
            coordinates=place_of(place),
        )
        fleet.world.add(settings, fleet.parts)
    fleet.world.run(90)
    return fleet, places


def counted(fleet: Fleet, places: dict[str, str]) -> Sent:
    """What passes the network from now on, by whether it stays in its place."""
    sent, network = Sent(), fleet.world.network
    datagram, stream = network.datagram, network.stream

    def note(source: str, target: str, size: int) -> None:
        if size > PAYLOAD:
            if places[source] == places[target]:
                sent.near += 1
            else:
                sent.far += 1

    def on_datagram(now_ns: int, source: str, target: str, size: int = 0) -> tuple[int, ...]:
        note(source, target, size)
        return datagram(now_ns, source, target, size)

    def on_stream(now_ns: int, source: str, target: str, size: int = 0) -> int | None:
        note(source, target, size)
        return stream(now_ns, source, target, size)

    network.datagram, network.stream = on_datagram, on_stream  # type: ignore[method-assign]
    return sent


def one(selection: str, loss: float, seed: int, *, named: bool) -> tuple[float, float, float, float]:
    """Copies between places an item, copies within a place a member and item, ms to half and to all."""
    fleet, places = pool_of(selection, seed, named=named)
    world, names = fleet.world, list(places)
    world.network.faults.loss = loss
    sent, halves, alls = counted(fleet, places), list[float](), list[float]()
    for number in range(ITEMS):
        text = Random(f"{seed}/{number}").randbytes(PAYLOAD // 2).hex()
        begun_ns, key = world.now_ns, f"k{number}"
        fleet.put(names[number * 7 % MEMBERS], key, text, "pool")
        half_ms = 0.0
        while (reached := sum(value == text for value in fleet.values(key, "pool").values())) < MEMBERS:
            if not half_ms and reached * 2 >= MEMBERS:
                half_ms = (world.now_ns - begun_ns) / NS_PER_MS
            world.run(STEP_S)
        halves.append(half_ms)
        alls.append((world.now_ns - begun_ns) / NS_PER_MS)
        world.run(2.0)
    return sent.far / ITEMS, sent.near / ITEMS / MEMBERS, median(halves), median(alls)


def main() -> None:
    """Print the table."""
    print("places   loss  selection        between places  within, a member    half     all")
    for named in (True, False):
        for loss in (0.0, 0.05):
            for selection in sys.argv[1:] or SELECTIONS:
                found = [one(selection, loss, seed, named=named) for seed in SEEDS]
                far, near, half_ms, all_ms = (median(each) for each in zip(*found, strict=True))
                print(
                    f"{'named' if named else 'unnamed':<8} {loss:>4.0%}  {selection:<16} {far:>14.1f} {near:>17.2f} "
                    f"{half_ms:>4.0f} ms {all_ms:>4.0f} ms",
                    flush=True,
                )


if __name__ == "__main__":
    main()
