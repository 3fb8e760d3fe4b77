"""A node that is all in memory, for the API's tests; it does what `NodeApi` says and notes what it was asked."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import anyio
import pytest
from msgspec import structs
from starlette.testclient import TestClient

from mpreg_admin_http.app import build_app
from mpreg_admin_http.backend import Backend
from mpreg_admin_http.guard import Guard
from mpreg_admin_http.options import AdminHttpOptions
from mpreg_admin_http.plugin import SPEC
from mpreg_admin_http.ring import EventRing
from mpreg_admin_http.routes import ROUTES
from mpreg_core import (
    Address,
    Authenticator,
    Candidate,
    Check,
    Cluster,
    CompactedError,
    ConflictError,
    Coordinates,
    Decision,
    Endpoint,
    Event,
    HealthReport,
    Json,
    Member,
    MemberView,
    Message,
    MpregError,
    NodeStatus,
    NoRouteError,
    NotFoundError,
    Occurrence,
    PoolStatus,
    Reply,
    RouteView,
    ServiceContext,
    StateChange,
    StateChanged,
    StateEntry,
)
from mpreg_core.contracts.api import Status

POOL = "local:a"
STRATEGIES = {
    "gossip": "epidemic",
    "failure_detector": "swim",
    "consensus": "quorum",
    "routing": "hub",
    "transport": "tcp",
}


def member(id: str, status: str = "alive") -> Member:
    address = Address("10.0.0.1", 8081, 8082, 8083, 8084, 8080)
    return Member(
        id=id,
        incarnation=3,
        status=status,
        tier="local",
        region="eu",
        address=address,
        started_ms=0,
        coordinates=Coordinates(50.1, 8.7),
        parent="r",
    )


class FakeState:
    def __init__(self, node: "FakeNode") -> None:
        self.entries: dict[tuple[str, str], StateEntry] = {}
        self.log: list[StateChange] = []
        self.oldest = 0
        self.revision = 0
        self._node = node

    async def put(
        self,
        key: str,
        value: Json,
        *,
        scope: str = "pool",
        policy: str | None = None,
        if_version: str | None = None,
        consistency: str = "eventual",
        timeout: float = 5.0,
        ttl: float | None = None,
        ephemeral: bool = False,
    ) -> StateEntry:
        self._node.fail_if_told()
        old = self.entries.get((scope, key))
        if if_version is not None and (old is None or old.version != if_version):
            raise ConflictError(f"version is {old.version if old else 'none'}, not {if_version}", where=key)
        self.revision += 1
        entry = StateEntry(key, value, f"v{self.revision}", self.revision, policy or "last_write_wins", scope)
        self.entries[scope, key] = entry
        self.log.append(StateChange(self.revision, key, scope, entry))
        self._node.emit(StateChanged(key, scope, self.revision, False))
        return entry

    async def get(
        self, key: str, *, scope: str = "pool", consistency: str = "eventual", timeout: float = 5.0
    ) -> StateEntry:
        self._node.fail_if_told()
        if (scope, key) not in self.entries:
            raise NotFoundError("no such key", where=key)
        return self.entries[scope, key]

    async def delete(
        self, key: str, *, scope: str = "pool", if_version: str | None = None, consistency: str = "eventual"
    ) -> int:
        if (scope, key) not in self.entries:
            raise NotFoundError("no such key", where=key)
        self.revision += 1
        del self.entries[scope, key]
        self.log.append(StateChange(self.revision, key, scope, None))
        self._node.emit(StateChanged(key, scope, self.revision, True))
        return self.revision

    def list(self, prefix: str = "", *, scope: str | None = None) -> tuple[Sequence[StateEntry], int]:
        found = [
            entry
            for (entry_scope, key), entry in sorted(self.entries.items(), key=lambda item: item[0][::-1])
            if key.startswith(prefix) and scope in (None, entry_scope)
        ]
        return found, self.revision

    def changes(self, since: int, prefix: str = "", *, scope: str | None = None) -> tuple[Sequence[StateChange], int]:
        if not self.oldest <= since <= self.revision:
            raise CompactedError(since, self.oldest, self.revision)
        found = [
            change
            for change in self.log
            if change.revision > since and change.key.startswith(prefix) and scope in (None, change.scope)
        ]
        return found, self.revision


class FakeNode:
    """One local hub `a` in region `eu`."""

    def __init__(self) -> None:
        self.state = FakeState(self)
        self.life = "ready"
        self.fail_with: MpregError | Exception | None = None
        self.registered: dict[str, Cluster] = {}
        self.decisions: list[Decision] = []
        self.asked: list[tuple[Any, ...]] = []
        self.hangs = False
        self.counted: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self.reports = HealthReport("healthy", {"gossip_protocol": Check("healthy", {POOL: {"alive": 2}})})
        self.views = [MemberView(POOL, member("a"), None, 1.5), MemberView(POOL, member("b", "failed"), 2_500_000, 2.5)]
        self._queues: dict[str, list[Any]] = {"events": [], "messages": []}
        self._now_ns = 0

    def fail_if_told(self) -> None:
        if self.fail_with is not None:
            raise self.fail_with

    def emit(self, event: Event) -> None:
        self._now_ns += 1
        for queue in self._queues["events"]:
            queue.send_nowait(Occurrence(self._now_ns, "a", POOL, event))

    def watchers(self, kind: str) -> int:
        return len(self._queues[kind])

    def status(self) -> Status:
        node = NodeStatus("a", "eu", "local", 3, 12.5, "0.1.0", self.life, "test", Coordinates(50.1, 8.7))
        pool = PoolStatus(POOL, "local", 2, 1, 0, 1, 0, "a", dict(STRATEGIES))
        return Status(node, [pool], "r", ["c"])

    def members(self) -> Sequence[MemberView]:
        return self.views

    def health(self) -> HealthReport:
        return self.reports

    def ready(self) -> bool:
        return self.life == "ready"

    def topology(self) -> Json:
        return {"nodes": [], "edges": [], "pools": [], "clusters": []}

    def gossip_stats(self) -> Json:
        return {POOL: {"messages": 1}}

    def consensus_status(self) -> Json:
        return {POOL: {"strategy": "quorum"}}

    def counters(self) -> Mapping[tuple[str, tuple[tuple[str, str], ...]], float]:
        return self.counted

    async def request(
        self,
        service: str,
        payload: Json,
        *,
        target: str | None = None,
        timeout: float = 5.0,
        idempotent: bool = False,
        hedge: float | None = None,
    ) -> Reply:
        self.asked.append((service, payload, target, timeout, idempotent))
        self.fail_if_told()
        if self.hangs:
            await anyio.sleep_forever()
        return Reply(payload, "a", ("a",), 0.001)

    async def serve(self, service: str, handler: object) -> None:
        raise NotImplementedError

    async def propose(
        self, key: str, value: Json, *, scope: str = "pool", timeout: float | None = None, wait: bool = True
    ) -> Decision:
        self.fail_if_told()
        self.asked.append((key, value, scope, timeout, wait))
        status = "committed" if wait else "pending"
        decision = Decision("p1", key, value, "a", status, {"a": True}, 3, 5, 10.0, 10.5 if wait else None, 0.6)
        self.decisions.append(decision)
        return decision

    def proposals(self) -> Sequence[Decision]:
        return self.decisions

    async def vote(self, proposal: str, yes: bool) -> Decision:
        for decision in self.decisions:
            if decision.id == proposal:
                return structs.replace(decision, votes=decision.votes | {"b": yes})
        raise NotFoundError("no such proposal", where=proposal)

    async def register_cluster(self, cluster: Cluster) -> Cluster:
        self.registered[cluster.id] = structs.replace(cluster, hub="a", region="eu")
        return self.registered[cluster.id]

    async def deregister_cluster(self, cluster: str) -> None:
        if self.registered.pop(cluster, None) is None:
            raise NotFoundError("no such cluster", where=cluster)

    async def heartbeat_cluster(self, cluster: str, *, load: float | None = None, status: str | None = None) -> Cluster:
        if cluster not in self.registered:
            raise NotFoundError("no such cluster", where=cluster)
        changes = {"load": load, "status": status}
        known = structs.replace(self.registered[cluster], **{k: v for k, v in changes.items() if v is not None})
        self.registered[cluster] = known
        return known

    def clusters(self) -> Sequence[Cluster]:
        return [cluster for _, cluster in sorted(self.registered.items())]

    def registry_status(self) -> Json:
        return {"eu": {"clusters": len(self.registered)}}

    async def discover(self, service: str, *, near: Coordinates | None = None, limit: int = 10) -> Sequence[Candidate]:
        self.asked.append((service, near, limit))
        return [Candidate(service, "k", "a", "eu", "", "healthy", 0.1, 12.0, 1.5, ("http://k",), "nearest")]

    def route(self, to: str, policy: str = "optimal") -> RouteView:
        if to == "nowhere":
            raise NoRouteError("no live way", where="a")
        return RouteView(to, "r", "regional:eu", 4.5, ["r2"], policy)

    async def gossip_test(self, *, timeout: float = 5.0) -> Json:
        return {"id": "t", "reached": 1, "of": 2, "seconds": 0.1}

    async def publish(self, topic: str, payload: Json, *, at_least_once: bool = False) -> Message:
        message = Message(topic, payload, "a", "m1")
        for queue in self._queues["messages"]:
            queue.send_nowait(message)
        return message

    @asynccontextmanager
    async def subscribe(self, pattern: str, *, queue: str = "") -> AsyncIterator[AsyncIterator[Message]]:
        self.fail_if_told()
        async with self._queue("messages") as messages:
            yield messages

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[Occurrence]]:
        async with self._queue("events") as queue:
            yield queue

    @asynccontextmanager
    async def _queue(self, kind: str) -> AsyncIterator[Any]:
        send, receive = anyio.create_memory_object_stream[Any](1000)
        self._queues[kind].append(send)
        async with send, receive:
            try:
                yield receive
            finally:
                self._queues[kind].remove(send)

    async def drain(self) -> None:
        self.life = "draining"
        if self.hangs:
            await anyio.sleep_forever()

    async def resume(self) -> None:
        self.fail_if_told()
        self.life = "ready"

    async def shutdown(self) -> None:
        self.life = "stopped"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
def authenticator() -> Authenticator | None:
    """Who knows the bearers of tokens; a module that wants tokens has a fixture of its own."""
    return None


@pytest.fixture
def context_of(authenticator: Authenticator | None) -> Callable[..., ServiceContext]:
    def make(
        node: FakeNode, *, host: str = "127.0.0.1", ports: Mapping[str, int] | None = None, **config: Json
    ) -> ServiceContext:
        plugins: Json = [{"name": "swim", "distribution": "mpreg-detector-swim", "version": "0.1.0"}]
        http, metrics = (Endpoint(host, (ports or {}).get(name, 0)) for name in ("http", "metrics"))
        return ServiceContext(node, http, metrics, config, plugins, authenticator)

    return make


@pytest.fixture
def client(node: FakeNode, context_of: Callable[..., ServiceContext]) -> Iterator[TestClient]:
    """The whole API without a socket."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with anyio.create_task_group() as tasks:
            backend = Backend(context_of(node, gossip={"fanout": 3}), EventRing("e"), tasks)
            await Guard(build_app(ROUTES, backend), frozenset({"localhost"}))(scope, receive, send)
            tasks.cancel_scope.cancel()

    with TestClient(app, base_url="http://localhost:8080") as client:
        yield client


@dataclass
class Running:
    """A service that runs. `stop` cancels it and tells how many seconds it took to end."""

    http: Endpoint
    metrics: Endpoint
    stop: Callable[[], Awaitable[float]]


@pytest.fixture
def service(context_of: Callable[..., ServiceContext]) -> Any:
    """`async with service(node) as running`: the service over real sockets."""

    @asynccontextmanager
    async def serving(node: FakeNode, *, insecure: bool = False, **place: Any) -> AsyncIterator[Running]:
        scope, ended = anyio.CancelScope(), anyio.Event()

        async def run(*, task_status: Any) -> None:
            with scope:
                await SPEC.run(context_of(node, **place), AdminHttpOptions(insecure=insecure), task_status)
            ended.set()

        async def stop() -> float:
            begun = perf_counter()
            scope.cancel()
            await ended.wait()
            return perf_counter() - begun

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                bound = await group.start(run)
                yield Running(bound["http"], bound["metrics"], stop)
                scope.cancel()

    return serving
