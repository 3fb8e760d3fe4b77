"""The demo's nodes: each runs in a task of its own, can be killed as if its process died, and started again."""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus

from mpreg_core.config.load import read_config
from mpreg_core.config.problems import ConfigProblems
from mpreg_core.contracts.events import MemberChanged, Occurrence, ParentChanged
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.demo.shape import FIRST, Place, Shape
from mpreg_core.embed.node import Node
from mpreg_core.embed.running import RunningNode
from mpreg_core.ids import PLANES, NodeId, Plane
from mpreg_core.plugin.registry import Plugins

HOST = "127.0.0.1"
EVENTS_KEPT = 50
LEAVE_S = 1.0

logging.getLogger("mpreg").addHandler(logging.NullHandler())


@dataclass
class Seat:
    """A place and the node that runs there, if one does. It keeps its ports, so that others find it again."""

    place: Place
    node: RunningNode | None = None
    endpoints: Mapping[Plane, Endpoint] = field(default_factory=dict)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    leave: anyio.Event = field(default_factory=anyio.Event)
    gone: anyio.Event = field(default_factory=anyio.Event)


class Fleet:
    """All nodes of a federation in this process; `served` is where the first one's HTTP API listens."""

    def __init__(
        self, shape: Shape, plugins: Plugins, specs: tuple[str, ...], data: Path, api_port: int, tasks: TaskGroup
    ) -> None:
        self.shape = shape
        self.seats = {place.id: Seat(place) for place in shape.places}
        self.events: deque[str] = deque(maxlen=EVENTS_KEPT)
        self.on_event: Callable[[str], None] = lambda line: None
        self.served: Mapping[str, Endpoint] = {}
        self._plugins, self._specs, self._data, self._api_port, self._tasks = plugins, specs, data, api_port, tasks

    def __getitem__(self, node: NodeId) -> RunningNode:
        running = self.seats[node].node
        if running is None:
            raise LookupError(f"{node} does not run")
        return running

    @property
    def running(self) -> list[tuple[Place, RunningNode]]:
        """The nodes that run, hubs first."""
        return [(seat.place, seat.node) for seat in self.seats.values() if seat.node is not None]

    async def start_all(self) -> None:
        """Start tier after tier, the first global hub before the others. Raises what `Node` does."""
        await self.start(FIRST)
        for tier in ("global", "regional", "local", "cluster"):
            async with anyio.create_task_group() as starting:
                for place in self.shape.of(tier):
                    if place.id != FIRST:
                        starting.start_soon(self.start, place.id)

    async def start(self, node: NodeId) -> None:
        """Start the node of a place; it answers on its ports when this returns."""
        await self._tasks.start(self._run, self.seats[node])

    async def kill(self, node: NodeId) -> None:
        """End a node without a word to anybody, as a crash does."""
        seat = self.seats[node]
        seat.scope.cancel()
        await seat.gone.wait()

    async def stop_all(self) -> None:
        """Have every node announce its departure and stop, the lowest tiers first; for a moment at most."""
        with anyio.move_on_after(4 * LEAVE_S):
            for tier in ("cluster", "local", "regional", "global"):
                seats = [seat for seat in self.seats.values() if seat.place.tier == tier and seat.node is not None]
                for seat in seats:
                    seat.leave.set()
                for seat in seats:
                    await seat.gone.wait()
        for seat in self.seats.values():
            seat.scope.cancel()

    def is_whole(self) -> bool:
        """True if every node runs, is ready, and every pool's members agree who is alive in it."""
        pools: dict[str, list[set[NodeId]]] = {}
        for seat in self.seats.values():
            if seat.node is None or not seat.node.ready():
                return False
            mine: dict[str, set[NodeId]] = {}
            for view in seat.node.members():
                mine.setdefault(view.pool, set())
                if view.member.status == "alive":
                    mine[view.pool].add(view.member.id)
            for pool, alive in mine.items():
                pools.setdefault(pool, []).append(alive)
        # A pool is whole when each of its members lists exactly those that hold it: no strangers, nobody missing.
        return all(len(views[0]) == len(views) and all(view == views[0] for view in views) for views in pools.values())

    def pools(self) -> int:
        """How many pools there are."""
        return len({pool.id for _, node in self.running for pool in node.status().pools})

    async def _run(self, seat: Seat, *, task_status: TaskStatus[None]) -> None:
        place = seat.place
        first = place.id == FIRST
        seat.scope, seat.leave, seat.gone = anyio.CancelScope(), anyio.Event(), anyio.Event()
        try:
            with seat.scope:
                runner = Node(self._config(seat), plugins=self._plugins, specs=self._specs, services=first)
                runner.grace_s = LEAVE_S
                async with runner as seat.node:
                    seat.endpoints = runner.endpoints
                    if first:
                        self.served = runner.served
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._listen, place, seat.node)
                        task_status.started()
                        await seat.leave.wait()
                        tasks.cancel_scope.cancel()
        finally:
            seat.node = None
            seat.gone.set()

    async def _listen(self, place: Place, node: RunningNode) -> None:
        async with node.events() as events:
            async for occurrence in events:
                line = told(place, occurrence)
                if line:
                    self.events.append(line)
                    self.on_event(line)

    def _config(self, seat: Seat) -> Any:
        place = seat.place
        ports = {f"{plane}_port": seat.endpoints[plane].port if seat.endpoints else 0 for plane in PLANES}
        federation: dict[str, Any] = {"name": "demo"}
        about: dict[str, Any] = {"id": place.id, "hub_tier": place.tier, "region": place.region}
        if place.parent is not None:
            about["parent_hub"] = place.parent
            above = self.seats[place.parent].endpoints
            federation["peers"] = {
                place.parent: {"host": HOST, **{f"{plane}_port": endpoint.port for plane, endpoint in above.items()}}
            }
        if place.seed is not None:
            federation["seeds"] = [str(self.seats[place.seed].endpoints["membership"])]
        latitude, longitude = place.coordinates.latitude, place.coordinates.longitude
        config, problems = read_config(
            data={
                "node": {
                    **about,
                    "coordinates": {"latitude": latitude, "longitude": longitude},
                    "data_dir": str(self._data / place.id),
                },
                "network": {"listen_host": HOST, "listen_port": self._api_port, **ports},
                "federation": federation,
                "monitoring": {"metrics_port": 0},
            },
            env={},
        )
        if problems:
            raise ConfigProblems(problems)
        return config


def told(place: Place, occurrence: Occurrence) -> str:
    """What an event means to people, told once by the hub of the pool; empty for what they need not hear."""
    event = occurrence.event
    if isinstance(event, ParentChanged):
        if event.parent is None:
            return f"{place.id} lost its hub {event.previous}"
        return f"{place.id} is attached to {event.parent}"
    if isinstance(event, MemberChanged) and occurrence.pool in _led_by(place) and event.member.id != place.id:
        by = f" ({event.cause}{' by ' + event.by if event.by else ''})" if event.change in ("suspect", "failed") else ""
        return f"{place.id} says: {event.member.id} {_CHANGES.get(event.change, '')}{by}" * (event.change in _CHANGES)
    return ""


_CHANGES = {
    "joined": "joined",
    "suspect": "does not answer",
    "failed": "is dead",
    "left": "left",
    "recovered": "is back",
    "refuted": "lives after all",
}


def _led_by(place: Place) -> Sequence[str]:
    led = {"global": "global", "regional": f"regional:{place.region}", "local": f"local:{place.id}"}
    return (led[place.tier],) if place.tier in led else ()
