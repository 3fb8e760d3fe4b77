"""The tour: what a newcomer should see a federation do, step by step, each measured and each able to fail."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

import anyio

from mpreg_core.contracts.api import Cluster, Json, MemberView, Request
from mpreg_core.demo.fleet import Fleet
from mpreg_core.demo.shape import Place
from mpreg_core.errors import MpregError, RequestError
from mpreg_core.ids import NodeId

State = Literal["waits", "runs", "held", "skipped", "failed"]
PAUSE_S = 0.6
"""Between steps, so that eyes can follow."""


class NotHeldError(Exception):
    """A step did not show what it should; the text says what was seen instead."""


class SkipStepError(Exception):
    """The shape lacks what the step needs; the text says what."""


@dataclass(eq=False)
class Step:
    """One step: `play` gives what it measured, within `within_s` seconds or it has failed."""

    name: str
    shows: str
    play: Callable[[], Awaitable[str]]
    within_s: float
    state: State = "waits"
    seen: str = ""


class Tour:
    """The steps over a fleet whose first start began at `begun_s` (of `perf_counter`)."""

    def __init__(self, fleet: Fleet, begun_s: float) -> None:
        self._fleet = fleet
        self._begun_s = begun_s
        shape = fleet.shape
        clusters = shape.of("cluster")
        self._here, self._there = clusters[0], clusters[-1]
        self.steps: Sequence[Step] = (
            Step("formation", "every node finds its pools", self._formation, 30),
            Step("discovery", "a cluster registers, another region finds it", self._discovery, 15),
            Step("request", "a request crosses regions", self._request, 15),
            Step("state", "one write, read on every node", self._state, 15),
            Step("proposal", "the hubs agree on a value", self._proposal, 15),
            Step("gossip", "a test message reaches a pool", self._gossip, 15),
            Step("hub loss", "a hub dies, its clusters move on", self._hub_loss, 60),
            Step("hub back", "it returns, they come home", self._hub_back, 60),
        )

    @property
    def failed(self) -> Step | None:
        """The step that did not hold."""
        return next((step for step in self.steps if step.state == "failed"), None)

    async def play(self, on_change: Callable[[Step], None]) -> None:
        """Play the steps in order, up to the first that fails."""
        for step in self.steps:
            step.state = "runs"
            on_change(step)
            step.state = await _play(step)
            on_change(step)
            if self.failed is not None:
                return
            await anyio.sleep(PAUSE_S)

    # the steps

    async def _formation(self) -> str:
        fleet = self._fleet
        await until(fleet.is_whole)
        seconds = perf_counter() - self._begun_s
        return f"{len(fleet.running)} nodes in {fleet.pools()} pools, complete after {seconds:.2f} s"

    async def _discovery(self) -> str:
        fleet, here, there = self._fleet, self._here, self._there
        begun = perf_counter()

        async def price(request: Request) -> Json:
            return {"price": 42, "asked_by": request.caller}

        await fleet[there.id].serve("prices", price)
        assert there.parent is not None
        shop = Cluster(
            id="shop",
            services=("orders",),
            endpoints=("http://127.0.0.1:9/",),
            load=0.2,
            coordinates=there.coordinates,
        )
        await fleet[there.parent].register_cluster(shop)
        for service in ("orders", "prices"):
            await self._found(here, service)
        best = (await fleet[here.id].discover("orders", near=here.coordinates))[0]
        return f"{best.cluster} at {best.hub}, found after {_ms(begun)}: {best.why}"

    async def _found(self, at: Place, service: str) -> None:
        while not await self._fleet[at.id].discover(service):
            await anyio.sleep(0.01)

    async def _request(self) -> str:
        reply = await self._fleet[self._here.id].request("prices", {"item": "tea"}, timeout=5.0, idempotent=True)
        if reply.served_by != self._there.id:
            raise NotHeldError(f"{reply.served_by} answered, not {self._there.id}")
        return f"{reply.seconds * 1000:.1f} ms by {' > '.join(reply.path)}"

    async def _state(self) -> str:
        fleet = self._fleet
        await fleet[self._here.id].state.put("demo/color", "green", scope="federation")
        begun = perf_counter()
        await until(lambda: all(self._reads(place.id) == "green" for place, _ in fleet.running))
        return f"demo/color is on all {len(fleet.running)} nodes after {_ms(begun)}"

    def _reads(self, node: NodeId) -> object:
        entries = self._fleet[node].state.list("demo/color", scope="federation")[0]
        return entries[0].value if entries else None

    async def _proposal(self) -> str:
        hub = self._fleet.shape.region_names[0]
        begun = perf_counter()
        made = await self._fleet[hub].propose("demo/max_load", 0.8, scope="federation", timeout=10.0)
        if made.status != "committed":
            raise NotHeldError(f"the proposal ended as {made.status}, votes {made.votes}")
        yes = sum(made.votes.values())
        if not made.votes:  # the engine keeps a log, on whose entries nobody votes
            return f"committed in {_ms(begun)}: on {made.needed} of {made.voters} voters at least"
        return f"committed in {_ms(begun)}: {yes} of {made.voters} voters said yes, {made.needed} were needed"

    async def _gossip(self) -> str:
        answer = await self._fleet[self._fleet.shape.region_names[0]].gossip_test(timeout=5.0)
        assert isinstance(answer, dict)
        reached, of, seconds = answer["reached"], answer["of"], answer["seconds"]
        if reached != of:
            raise NotHeldError(f"{reached} of {of} members had it after {seconds:.2f} s")
        return f"{reached} of {of} members after {float(str(seconds)) * 1000:.1f} ms"

    @property
    def _victim(self) -> Place:
        """The hub to lose: the last local hub of the first region, if its cluster has another one to go to."""
        hubs = self._fleet.shape.of("local", self._fleet.shape.region_names[0])
        if len(hubs) < 2:
            raise SkipStepError("needs two local hubs in a region, like 1x1x2")
        return hubs[-1]

    async def _hub_loss(self) -> str:
        fleet, lost = self._fleet, self._victim
        assert lost.parent is not None
        above, child = fleet[lost.parent], fleet[f"{lost.id}-app"]
        begun = perf_counter()
        await fleet.kill(lost.id)
        await until(lambda: _status(above.members(), lost.id) == "failed")
        seen = _ms(begun)
        await until(lambda: child.status().parent_hub not in (None, lost.id) and child.ready())
        moved, home = _ms(begun), child.status().parent_hub
        reply = await self._answered(f"{lost.id}-app")
        return f"dead after {seen}, its cluster is at {home} after {moved}, answers by {' > '.join(reply)}"

    async def _hub_back(self) -> str:
        fleet, lost = self._fleet, self._victim
        assert lost.parent is not None
        above, child = fleet[lost.parent], fleet[f"{lost.id}-app"]
        before = _incarnation(above.members(), lost.id)
        begun = perf_counter()
        await fleet.start(lost.id)
        await until(lambda: _status(above.members(), lost.id) == "alive")
        seen, now = _ms(begun), _incarnation(above.members(), lost.id)
        if now <= before:
            raise NotHeldError(f"{lost.id} came back with incarnation {now}, it had {before}")
        await until(lambda: child.status().parent_hub == lost.id and fleet.is_whole())
        return f"back after {seen} as incarnation {now} (was {before}); its cluster is home after {_ms(begun)}"

    async def _answered(self, node: NodeId) -> Sequence[NodeId]:
        """The path by which a node answers the farthest cluster node; asked until it does."""
        asker = self._there if self._there.id != node else self._here
        while True:
            try:
                reply = await self._fleet[asker.id].request("mpreg.echo", 1, target=node, timeout=2.0, idempotent=True)
            except RequestError:
                await anyio.sleep(0.05)
            else:
                return reply.path


async def _play(step: Step) -> State:
    try:
        with anyio.fail_after(step.within_s):
            step.seen = await step.play()
    except SkipStepError as reason:
        step.seen = f"skipped: {reason}"
        return "skipped"
    except TimeoutError:
        step.seen = f"not within {step.within_s:g} s"
        return "failed"
    except (NotHeldError, MpregError, LookupError) as error:
        step.seen = str(error)
        return "failed"
    return "held"


async def until(condition: Callable[[], bool]) -> None:
    """Look every 10 ms until it is so. The caller sets the deadline."""
    while not condition():
        await anyio.sleep(0.01)


def _ms(begun_s: float) -> str:
    seconds = perf_counter() - begun_s
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _status(members: Sequence[MemberView], node: NodeId) -> str:
    return next((view.member.status for view in members if view.member.id == node), "unknown")


def _incarnation(members: Sequence[MemberView], node: NodeId) -> int:
    return next((view.member.incarnation for view in members if view.member.id == node), 0)
