"""A running node as programs and services see it: the `NodeApi`, made of reads and commands over one driver."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress

import anyio
import msgspec

from mpreg_core.contracts.api import (
    Body,
    Candidate,
    Cluster,
    Consistency,
    Decision,
    Handler,
    HealthReport,
    Json,
    MemberView,
    Message,
    PolicyName,
    Reply,
    RouteView,
    Scope,
    StateApi,
    StateChange,
    StateEntry,
    Status,
)
from mpreg_core.contracts.events import Occurrence, Published, SpreadMeasured
from mpreg_core.contracts.members import Coordinates
from mpreg_core.contracts.router import Policy
from mpreg_core.embed import internal
from mpreg_core.embed.commands import Commands, decision_from
from mpreg_core.embed.finding import discover_here, may_know, registry_status
from mpreg_core.embed.reads import Reads
from mpreg_core.embed.streams import Broadcast
from mpreg_core.embed.vitals import Vitals
from mpreg_core.errors import InvalidInputError, NotFoundError, RequestError, UnavailableError
from mpreg_core.ids import LOWER_POOL, NodeId
from mpreg_core.node.topics import matches
from mpreg_core.runtime import clock
from mpreg_core.runtime.driver import Driver

STAY_S = 5.0
QUIET_S = 0.1
"""A client may have asked just before it heard that the node stops: so long no request may come in."""


class State:
    """`node.state`. A linearizable access to a scope whose pool this node is not in is handed up the tree."""

    def __init__(self, node: "RunningNode", commands: Commands) -> None:
        self._node = node
        self._commands = commands

    async def put(
        self,
        key: str,
        value: Json,
        *,
        scope: Scope = "pool",
        policy: PolicyName | None = None,
        if_version: str | None = None,
        consistency: Consistency = "eventual",
        timeout: float = 5.0,
        ttl: float | None = None,
        ephemeral: bool = False,
    ) -> StateEntry:
        """See `StateApi`."""
        linearizable = consistency == "linearizable" or policy == "consensus"
        if linearizable and ttl is None and not ephemeral and self._commands.in_pool_of(scope) is not None:
            call = internal.StateCall("put", key, scope, timeout, value, if_version)
            return msgspec.convert(await self._up(call), StateEntry)
        return await self._commands.put(
            key, value, scope, policy, if_version, consistency, timeout, ttl, ephemeral=ephemeral
        )

    async def get(
        self, key: str, *, scope: Scope = "pool", consistency: Consistency = "eventual", timeout: float = 5.0
    ) -> StateEntry:
        """See `StateApi`."""
        if consistency == "linearizable" and self._commands.in_pool_of(scope) is not None:
            return msgspec.convert(await self._up(internal.StateCall("get", key, scope, timeout)), StateEntry)
        return await self._commands.get(key, scope, consistency, timeout)

    async def delete(
        self, key: str, *, scope: Scope = "pool", if_version: str | None = None, consistency: Consistency = "eventual"
    ) -> int:
        """See `StateApi`."""
        if consistency == "linearizable" and self._commands.in_pool_of(scope) is not None:
            call = internal.StateCall("delete", key, scope, 5.0, None, if_version)
            return msgspec.convert(await self._up(call), int)
        return await self._commands.delete(key, scope, if_version, consistency, 5.0)

    def list(self, prefix: str = "", *, scope: Scope | None = None) -> tuple[Sequence[StateEntry], int]:
        """See `StateApi`."""
        return self._node.reads.state(prefix, scope)

    def changes(self, since: int, prefix: str = "", *, scope: Scope | None = None) -> tuple[Sequence[StateChange], int]:
        """See `StateApi`."""
        return self._node.reads.changes(since, prefix, scope)

    async def _up(self, call: internal.StateCall) -> Json:
        tier = self._commands.in_pool_of(call.scope)
        reply = await self._commands.request(
            internal.STATE, internal.to_json(call), timeout_s=call.timeout + 1.0, climb=tier
        )
        return reply.payload


class RunningNode:
    """Implements `NodeApi`."""

    def __init__(self, driver: Driver, transport: str, proposal_timeout_s: float) -> None:
        self._driver = driver
        self._commands = Commands(driver, proposal_timeout_s)
        self._events: Broadcast[Occurrence] = Broadcast()
        self._messages: Broadcast[tuple[Message, Published]] = Broadcast()
        self.reads = Reads(driver.core, transport)
        self._vitals = Vitals(driver, self.reads)
        self._state = State(self, self._commands)
        self.stopping = anyio.Event()
        assert driver.handlers is not None
        for service, handler in internal.handlers(self).items():
            driver.handlers.add(service, handler)

    def on_occurrence(self, occurrence: Occurrence) -> None:
        """From the driver: every event."""
        self._vitals.on_occurrence(occurrence)
        self._events.put(occurrence)
        event = occurrence.event
        if isinstance(event, Published) and self._messages:
            payload: Json = msgspec.json.decode(event.payload)
            self._messages.put((Message(event.topic, payload, event.origin, event.id), event))

    # reads

    @property
    def state(self) -> StateApi:
        """See `NodeApi`."""
        return self._state

    def status(self) -> Status:
        """See `NodeApi`."""
        return self.reads.status()

    def members(self) -> Sequence[MemberView]:
        """See `NodeApi`."""
        return self.reads.members()

    def health(self) -> HealthReport:
        """See `NodeApi`."""
        return self._vitals.health()

    def ready(self) -> bool:
        """See `NodeApi`."""
        return self._driver.core.state.life == "ready"

    def topology(self) -> Json:
        """See `NodeApi`."""
        return self.reads.topology()

    def gossip_stats(self) -> Json:
        """See `NodeApi`."""
        return self.reads.gossip_stats()

    def consensus_status(self) -> Json:
        """See `NodeApi`."""
        return self.reads.consensus_status()

    def counters(self) -> Mapping[tuple[str, tuple[tuple[str, str], ...]], float]:
        """See `NodeApi`."""
        return self._vitals.counters()

    def proposals(self) -> Sequence[Decision]:
        """See `NodeApi`."""
        return self.reads.proposals()

    def clusters(self) -> Sequence[Cluster]:
        """See `NodeApi`."""
        return self._driver.core.registry.clusters()

    def registry_status(self) -> Json:
        """See `NodeApi`."""
        return registry_status(self._driver.core)

    def route(self, to: str, policy: Policy = "optimal") -> RouteView:
        """See `NodeApi`."""
        return self.reads.route(to, policy)

    # requests and messages

    async def request(
        self,
        service: str,
        payload: Body,
        *,
        target: str | None = None,
        timeout: float = 5.0,
        idempotent: bool = False,
        hedge: float | None = None,
    ) -> Reply:
        """See `NodeApi`."""
        return await self._commands.request(
            service, payload, target=target, timeout_s=timeout, idempotent=idempotent, hedge_s=hedge
        )

    async def serve(self, service: str, handler: Handler) -> None:
        """See `NodeApi`."""
        self._commands.serve(service)
        assert self._driver.handlers is not None
        self._driver.handlers.add(service, handler)

    async def stop_serving(self, service: str) -> None:
        """See `NodeApi`."""
        self._commands.unserve(service)

    async def publish(self, topic: str, payload: Json, *, at_least_once: bool = False) -> Message:
        """See `NodeApi`."""
        publish = self._commands.publish_and_keep if at_least_once else self._commands.publish
        return Message(topic, payload, self.reads.id, await publish(topic, payload))

    @asynccontextmanager
    async def _subscription(self, pattern: str, queue: str) -> AsyncIterator[AsyncIterator[Message]]:
        async with self._messages.listen() as feed, self._commands.subscribed(pattern, queue) as token:

            async def matching() -> AsyncGenerator[Message, None]:
                async for message, event in feed:
                    if token in event.chosen if queue else event.plain and matches(pattern, message.topic):
                        yield message

            async with aclosing(matching()) as stream:
                yield stream

    def subscribe(self, pattern: str, *, queue: str = "") -> AbstractAsyncContextManager[AsyncIterator[Message]]:
        """See `NodeApi`."""
        return self._subscription(pattern, queue)

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[Occurrence]]:
        """See `NodeApi`."""
        return self._events.listen()

    async def gossip_test(self, *, timeout: float = 5.0) -> Json:
        """See `NodeApi`."""
        reached, seconds = 0, 0.0
        async with self._events.listen() as feed:
            probe, of = self._commands.measure()
            with anyio.move_on_after(timeout):
                while reached < of:
                    event = (await anext(feed)).event
                    if isinstance(event, SpreadMeasured) and event.id == probe:
                        reached, seconds = event.reached, event.duration_ns / 1e9
        return {"id": probe, "reached": reached, "of": of, "seconds": round(seconds, 6)}

    # consensus

    async def propose(
        self, key: str, value: Json, *, scope: Scope = "pool", timeout: float | None = None, wait: bool = True
    ) -> Decision:
        """See `NodeApi`."""
        tier = self._commands.in_pool_of(scope)
        if tier is not None:
            timeout_s = timeout or self._commands.proposal_timeout_s
            call = internal.ProposeCall(key, value, scope, timeout_s)
            reply = await self._commands.request(
                internal.PROPOSE, internal.to_json(call), timeout_s=timeout_s + 1.0, climb=tier
            )
            return msgspec.convert(reply.payload, Decision)
        if not wait:
            return self.reads.proposal(self._commands.start_proposal(key, value, scope, timeout))
        created_ms = clock.wall_ms()
        made = await self._commands.propose(key, value, scope, timeout)
        return decision_from(made, self._commands.view(made.decided.proposal), value, key, created_ms)

    async def vote(self, proposal: str, yes: bool) -> Decision:
        """See `NodeApi`."""
        self._commands.vote(proposal, yes)
        return self.reads.proposal(proposal)

    # registry

    async def register_cluster(self, cluster: Cluster) -> Cluster:
        """See `NodeApi`."""
        if self._is_local_hub():
            return self._commands.register(cluster)
        return msgspec.convert(await self._at_hub(internal.ClustersCall("register", cluster)), Cluster)

    async def deregister_cluster(self, cluster: str) -> None:
        """See `NodeApi`."""
        if self._is_local_hub():
            self._commands.deregister(cluster)
        else:
            await self._at_hub(internal.ClustersCall("deregister", id=cluster))

    async def heartbeat_cluster(self, cluster: str, *, load: float | None = None, status: str | None = None) -> Cluster:
        """See `NodeApi`."""
        if self._is_local_hub():
            return self._commands.heartbeat(cluster, load, status)
        call = internal.ClustersCall("heartbeat", id=cluster, load=load, status=status)
        return msgspec.convert(await self._at_hub(call), Cluster)

    def _is_local_hub(self) -> bool:
        return LOWER_POOL[self._driver.core.state.settings.tier] == "local"

    async def _at_hub(self, call: internal.ClustersCall) -> Json:
        state = self._driver.core.state
        if state.settings.tier != "cluster":
            raise InvalidInputError(
                f"clusters register with a local hub or a node below one, this node is of tier {state.settings.tier}",
                where=state.id,
            )
        if state.parent is None:
            raise UnavailableError("this node has no hub now that a cluster could register with", where=state.id)
        reply = await self._commands.request(internal.CLUSTERS, internal.to_json(call), target=state.parent)
        return reply.payload

    async def discover(self, service: str, *, near: Coordinates | None = None, limit: int = 10) -> Sequence[Candidate]:
        """See `NodeApi`: from what is known here, else from hubs that may know more, else from the hub above."""
        return await self.find(service, near, limit, down=False)

    async def find(self, service: str, near: Coordinates | None, limit: int, *, down: bool) -> Sequence[Candidate]:
        """Discover; `down` asks nobody above, as whoever asks is there."""
        core = self._driver.core
        found = discover_here(core, service, near, limit)
        if found:
            return found
        for hub in may_know(core, service, below=down):
            with suppress(RequestError, NotFoundError):  # it may not have it after all, or be gone
                if found := await self._ask_where(hub, internal.DiscoverCall(service, near, limit, True)):
                    return found
        if down or core.state.parent is None:
            return []
        try:
            return await self._ask_where(core.state.parent, internal.DiscoverCall(service, near, limit))
        except NotFoundError:
            return []

    async def _ask_where(self, hub: NodeId, call: internal.DiscoverCall) -> Sequence[Candidate]:
        asked = internal.to_json(call)
        reply = await self._commands.request(internal.DISCOVER, asked, target=hub, idempotent=True)
        return msgspec.convert(reply.payload, list[Candidate])

    # life

    async def drain(self) -> None:
        """See `NodeApi`."""
        core = self._driver.core
        self._driver.carry_out(core.drain(clock.now_ns()))

    async def resume(self) -> None:
        """See `NodeApi`."""
        core = self._driver.core
        self._driver.carry_out(core.resume(clock.now_ns()))

    async def shutdown(self) -> None:
        """See `NodeApi`: whoever runs the node waits on `stopping`."""
        await self.drain()
        self.stopping.set()

    async def depart(self, grace_s: float) -> None:
        """Drain, wait for running requests at most `grace_s`, announce the departure, let it leave the process.

        For at most `STAY_S` the node still votes, so that the pool's voters can go on without it.
        """
        await self.drain()
        core = self._driver.core
        with anyio.move_on_after(grace_s):
            quiet_s = QUIET_S if len(core.clients) else 0.0
            since = anyio.current_time()
            while len(core.requests) or anyio.current_time() - since < quiet_s:
                if len(core.requests):
                    since = anyio.current_time()
                await anyio.sleep(0.01)
        self._driver.carry_out(core.leave(clock.now_ns()))
        with anyio.move_on_after(STAY_S):
            while not core.may_stop():
                await anyio.sleep(0.01)
        await self._driver.flush(1.0)
