"""What can go wrong, as data: kinds of faults, schedules of them, drawn from a seed or written down."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Literal

from msgspec import Struct

from mpreg_core.errors import InvalidInputError, did_you_mean
from mpreg_core.ids import NodeId
from mpreg_core.sim.network import Link
from mpreg_core.sim.world import World, address_of


class Fault(Struct, frozen=True):
    """One fault: from `at_s` on, for `for_s` seconds. `target` is a node, a region, two of them by `>`, or empty."""

    kind: str
    at_s: float
    for_s: float
    target: str = ""
    amount: float = 0.0

    def __str__(self) -> str:
        """As `--faults` takes it."""
        amount = f"*{self.amount:g}" if self.amount else ""
        target = f":{self.target}" if self.target else ""
        return f"{self.kind}{target}{amount}@{self.at_s:g}+{self.for_s:g}"


Schedule = Sequence[Fault]
Act = Callable[[World, Fault, Sequence[NodeId]], None]


Blames = Literal["targets", "anyone", "nobody"]


class Kind(Struct, frozen=True):
    """How a kind of fault begins and ends. `wants` says what its target is, `amount` its usual amount.

    `blames` says who may be taken for dead because of it; `kills` that its targets are.
    """

    says: str
    wants: str
    begin: Act
    end: Act
    amount: float = 0.0
    blames: Blames = "targets"
    kills: bool = False


def _each(act: Callable[[World, NodeId], object], *, alive: bool) -> Act:
    def run(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
        for node in nodes:
            if world.nodes[node].alive is alive:
                act(world, node)

    return run


def _partition(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
    world.network.partition(nodes)


def _heal(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
    world.network.heal()


def _ends(nodes: Sequence[NodeId]) -> tuple[NodeId, NodeId]:
    return nodes[0], nodes[-1]


def _block(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
    world.network.block(*_ends(nodes))


def _unblock(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
    world.network.unblock(*_ends(nodes))


def _set(name: str) -> tuple[Act, Act]:
    """A network-wide fault: its amount comes on top and goes again."""

    def begin(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
        setattr(world.network.faults, name, getattr(world.network.faults, name) + fault.amount)

    def end(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
        setattr(world.network.faults, name, max(0.0, getattr(world.network.faults, name) - fault.amount))

    return begin, end


def _link(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
    world.network.links[_ends(nodes)] = Link(loss=fault.amount)


def _unlink(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
    world.network.links.pop(_ends(nodes), None)


def _slow(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
    world.network.slow |= {node: Link(delay_s=fault.amount) for node in nodes}


def _fast(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
    for node in nodes:
        world.network.slow.pop(node, None)


def _disk(**faults: float | bool) -> Act:
    def run(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
        for node in nodes:
            for name, value in faults.items():
                setattr(world.nodes[node].disk.faults, name, fault.amount if value == -1 else value)

    return run


def _drift(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
    for node in nodes:
        world.drift(node, fault.amount / 1e6)


def _no_drift(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
    for node in nodes:
        world.drift(node, 0.0)


def _jump(sign: int) -> Act:
    def run(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
        for node in nodes:
            world.jump(node, sign * fault.amount)

    return run


def _roll(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
    """One after the other says good-bye, and is back before the next one goes."""
    slot_s = fault.for_s / len(nodes)
    _if(world, nodes[0], True, world.leave)
    for number, node in enumerate(nodes):
        if number:
            world.later(number * slot_s, partial(_if, world, node, True, world.leave))
        world.later((number + 0.5) * slot_s, partial(_back, world, node))


def _back(world: World, node: NodeId) -> None:
    """Start it again, once it has stopped."""
    made = world.nodes[node]
    if not made.alive:
        world.start(node)
    elif made.core.state.life == "stopped":
        world.later(0.1, partial(_back, world, node))


def _if(world: World, node: NodeId, alive: bool, act: Callable[[NodeId], object]) -> None:
    if world.nodes[node].alive is alive:
        act(node)


def _storm(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
    """So many new cluster nodes at once, below the local hubs of a region."""
    hubs = [node for node in nodes if world.nodes[node].settings.tier == "local" and world.nodes[node].alive]
    for number in range(int(fault.amount) if hubs else 0):
        hub = world.nodes[hubs[number % len(hubs)]]
        name = f"{hub.id}-new-{number}"
        if name in world.nodes:
            _if(world, name, False, world.start)
        else:
            below = replace(hub.settings, id=name, tier="cluster", parent=hub.id, parent_address=address_of(hub.id))
            world.add(below, hub.parts_of)


def _calm(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
    """Those who came in the storm leave."""
    for name, node in list(world.nodes.items()):
        if "-new-" in name and node.settings.parent in nodes:
            _if(world, name, True, world.leave)


_crash = _each(World.crash, alive=True)


def _start(world: World, fault: Fault, nodes: Sequence[NodeId]) -> None:
    for node in nodes:
        _back(world, node)


KINDS: Mapping[str, Kind] = {
    "crash": Kind("the process dies, and starts again with its disk", "node", _crash, _start, kills=True),
    "replace": Kind(
        "the machine dies; another takes its id, with an empty disk",
        "node",
        _crash,
        _each(World.replace, alive=False),
        kills=True,
    ),
    "pause": Kind(
        "the process is stopped (SIGSTOP), and goes on",
        "node",
        _each(World.pause, alive=True),
        _each(World.resume, alive=True),
        kills=True,
    ),
    "leave": Kind("the node says good-bye, and comes back", "node", _each(World.leave, alive=True), _start),
    "region-loss": Kind("every process of a region dies", "region", _crash, _start, kills=True),
    "rolling-restart": Kind("the nodes of a region restart, one after the other", "region", _roll, _start),
    "join-storm": Kind(
        "so many new nodes join a region's hubs at once, and leave", "region", _storm, _calm, 20.0, "nobody"
    ),
    "partition": Kind("a region is cut off from all others", "region", _partition, _heal, blames="anyone"),
    "block": Kind("nothing goes one way between two nodes", "pair", _block, _unblock, blames="anyone"),
    "link-loss": Kind(
        "a share of datagrams is lost one way between two nodes", "pair", _link, _unlink, 0.5, blames="anyone"
    ),
    "slow": Kind("all from and to a node is late, in seconds", "node", _slow, _fast, 0.2),
    "loss": Kind("a share of all datagrams is lost", "", *_set("loss"), 0.1, "anyone"),
    "burst": Kind("losses come in bursts of so many datagrams", "", *_set("burst"), 10.0, "anyone"),
    "duplicate": Kind("a share of all datagrams comes twice", "", *_set("duplicate"), 0.1),
    "reorder": Kind("a share of all datagrams is overtaken", "", *_set("reorder"), 0.2),
    "delay": Kind("every way takes longer, in seconds", "", *_set("delay_s"), 0.1, "anyone"),
    "jitter": Kind("every way varies more, in seconds", "", *_set("jitter_s"), 0.05),
    "bandwidth": Kind(
        "each node sends at most so many bytes a second", "", *_set("bandwidth_bytes_s"), 50_000.0, "anyone"
    ),
    "disk-full": Kind("the disk has no space", "node", _disk(full=True), _disk(full=False)),
    "disk-failing": Kind("every write fails", "node", _disk(failing=True), _disk(failing=False)),
    "disk-slow": Kind("every write takes longer, in seconds", "node", _disk(slow_s=-1), _disk(slow_s=0.0), 0.5),
    "disk-torn": Kind(
        "a crash leaves some of the records under way on the disk, the next cut short",
        "node",
        _disk(torn=True),
        _disk(torn=False),
    ),
    "disk-forgets": Kind(
        "a crash takes so many records that the disk called durable", "node", _disk(forgets=-1), _disk(forgets=0.0), 1.0
    ),
    "clock-drift": Kind("the clock runs fast, in parts per million", "node", _drift, _no_drift, 500.0),
    "clock-jump": Kind("the wall clock is set forward, and back, in seconds", "node", _jump(1), _jump(-1), 30.0),
}
"""Every kind of fault."""

DEFAULT_KINDS = ("crash", "pause", "loss", "partition", "slow", "disk-slow")

_SPEC = re.compile(
    r"(?P<kind>[a-z-]+)(?::(?P<target>[\w.>-]+))?(?:\*(?P<amount>\d+(?:\.\d+)?))?"
    r"(?:@(?P<at>\d+(?:\.\d+)?)(?:\+(?P<for>\d+(?:\.\d+)?))?)?"
)


def parse_faults(text: str, nodes: Mapping[NodeId, str], seed: int, duration_s: float) -> Schedule:
    """The schedule of `--faults`: comma-separated `KIND[:TARGET][*AMOUNT][@AT[+FOR]]`; what is left out is drawn.

    `none` stands for no faults, `default` for one of each usual kind. `nodes` are node -> region. Raises
    `InvalidInputError`.
    """
    rng = Random(f"{seed}/faults")
    if text in ("", "none"):
        return ()
    words = [word.strip() for word in text.split(",")]
    words = [each for word in words for each in (DEFAULT_KINDS if word == "default" else (word,))]
    drawn = [_parsed(word, nodes, rng, duration_s) for word in words]
    return tuple(sorted(drawn, key=lambda fault: (fault.at_s, fault.kind, fault.target)))


def _parsed(word: str, nodes: Mapping[NodeId, str], rng: Random, duration_s: float) -> Fault:
    match = _SPEC.fullmatch(word)
    if match is None:
        raise InvalidInputError(f"expected KIND[:TARGET][*AMOUNT][@AT[+FOR]], got {word!r}", where="--faults")
    kind = KINDS.get(match["kind"])
    if kind is None:
        known = [*KINDS, "none", "default"]
        hint = did_you_mean(match["kind"], known)
        raise InvalidInputError(
            f"unknown fault {match['kind']!r}{hint} (there are: {', '.join(sorted(known))})", where="--faults"
        )
    at_s = float(match["at"]) if match["at"] else round(duration_s * rng.uniform(0.2, 0.5), 3)
    for_s = float(match["for"]) if match["for"] else round(duration_s * rng.uniform(0.1, 0.3), 3)
    if at_s + for_s > duration_s:
        raise InvalidInputError(
            f"{word!r} ends after {at_s + for_s:g} s, later than the run of {duration_s:g} s", where="--faults"
        )
    target = match["target"] or _drawn(kind, nodes, rng)
    fault = Fault(match["kind"], at_s, for_s, target, float(match["amount"]) if match["amount"] else kind.amount)
    targets_of(fault, nodes)
    return fault


def _drawn(kind: Kind, nodes: Mapping[NodeId, str], rng: Random) -> str:
    names = sorted(nodes)
    if kind.wants == "node":
        return rng.choice(names)
    if kind.wants == "region":
        return rng.choice(sorted(set(nodes.values())))
    return ">".join(rng.sample(names, 2)) if kind.wants == "pair" else ""


def targets_of(fault: Fault, nodes: Mapping[NodeId, str]) -> Sequence[NodeId]:
    """The nodes that a fault concerns. Raises `InvalidInputError` for one that does not exist."""
    wants = KINDS[fault.kind].wants
    if wants == "":
        return ()
    if wants == "region":
        found = [node for node in sorted(nodes) if nodes[node] == fault.target]
        if not found:
            regions = sorted(set(nodes.values()))
            raise InvalidInputError(
                f"{fault}: no region {fault.target!r}{did_you_mean(fault.target, regions)} ({', '.join(regions)})",
                where="--faults",
            )
        return found
    names = fault.target.split(">")
    if len(names) != (2 if wants == "pair" else 1):
        raise InvalidInputError(f"{fault}: expected {'NODE>NODE' if wants == 'pair' else 'one node'}", where="--faults")
    for name in names:
        if name not in nodes:
            raise InvalidInputError(f"{fault}: no node {name!r}{did_you_mean(name, sorted(nodes))}", where="--faults")
    return names
