"""Health, and what the node knows of itself, its pools and its gossip."""

from mpreg_admin_http.call import Call
from mpreg_admin_http.messages import (
    Alive,
    MemberAnswer,
    MembersAnswer,
    MembersQuery,
    NetworkAnswer,
    Nothing,
    Ports,
    Ready,
    RouteAnswer,
    RoutesQuery,
    SpreadAnswer,
    StatusAnswer,
)
from mpreg_admin_http.ring import event_json
from mpreg_admin_http.route import Answer, AnyRoute, Route
from mpreg_admin_http.sse import EventStream, Sink, frame
from mpreg_core import NS_PER_MS, Endpoint, HealthReport, Json, MemberView, NetworkCoordinates


async def health(call: Call[Nothing, Nothing]) -> Answer:
    report = call.node.health()
    return Answer(503 if report.status in ("unhealthy", "draining") else 200, report)


async def livez(call: Call[Nothing, Nothing]) -> Alive:
    return Alive("ok")


async def readyz(call: Call[Nothing, Nothing]) -> Answer:
    ready = call.node.ready()
    return Answer(200 if ready else 503, Ready(ready, call.node.status().node.state))


async def status(call: Call[Nothing, Nothing]) -> StatusAnswer:
    now = call.node.status()
    return StatusAnswer(now.node, now.pools, now.parent_hub, now.children)


async def members(call: Call[MembersQuery, Nothing]) -> MembersAnswer:
    wanted = call.query
    return MembersAnswer(
        [
            member_answer(view)
            for view in call.node.members()
            if wanted.pool in (None, view.pool) and wanted.status in (None, view.member.status)
        ]
    )


def member_answer(view: MemberView) -> MemberAnswer:
    """A member as people read it."""
    member, address = view.member, view.member.address
    return MemberAnswer(
        id=member.id,
        pool=view.pool,
        status=member.status,
        incarnation=member.incarnation,
        hub_tier=member.tier,
        region=member.region,
        coordinates=member.coordinates,
        address=str(Endpoint(address.host, address.membership)),
        ports=Ports(address.gossip, address.membership, address.consensus, address.routing, address.http),
        rtt_ms=None if view.rtt_ns is None else round(view.rtt_ns / NS_PER_MS, 3),
        since=view.since,
        parent=member.parent,
        version=member.version,
        draining=member.draining,
        load=member.load,
        tags=member.tags,
        rtt_estimate_ms=None if view.rtt_estimate_ns is None else round(view.rtt_estimate_ns / NS_PER_MS, 3),
        network=None if member.network is None else _network(member.network),
    )


def _network(at: NetworkCoordinates) -> NetworkAnswer:
    position_ms = (at.x_us / 1000, at.y_us / 1000, at.z_us / 1000)
    return NetworkAnswer(position_ms, at.height_us / 1000, at.error_permille / 1000)


async def topology(call: Call[Nothing, Nothing]) -> Json:
    return call.node.topology()


async def plugins(call: Call[Nothing, Nothing]) -> Json:
    return call.backend.context.plugins


async def config(call: Call[Nothing, Nothing]) -> dict[str, Json]:
    return dict(call.backend.context.config)


async def gossip_stats(call: Call[Nothing, Nothing]) -> Json:
    return call.node.gossip_stats()


async def gossip_test(call: Call[Nothing, Nothing]) -> Json:
    return await call.node.gossip_test()


async def route(call: Call[RoutesQuery, Nothing]) -> RouteAnswer:
    way = call.node.route(call.query.to, call.query.policy)
    me = call.node.status().node.id
    path = [me] if way.next_hop in (None, me) else [me, way.next_hop]
    return RouteAnswer(way.to, path, way.next_hop, way.pool, way.cost_ms, way.alternatives, way.reason)


async def events(call: Call[Nothing, Nothing]) -> EventStream:
    ring = call.backend.events
    position = ring.resume_from(call.last_event_id)

    async def source(sink: Sink) -> None:
        number = position
        await sink.open()
        while True:
            await ring.wait(number)
            lost, entries = ring.after(number)
            if lost:
                await sink.write(frame(b'{"lost": %d}' % lost, event="gap"))
            for entry in entries:
                await sink.write(frame(event_json(entry), id=ring.wire_id(entry.number)))
                number = entry.number

    return call.stream(source)


Anything = dict[str, Json]


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET", path="/health", role="none", handler=health, query=Nothing, body=Nothing, answer=HealthReport,
        others=(503,), summary="The checks and the worst of them; 503 when unhealthy or draining.",
    ),
    Route(
        method="GET", path="/livez", role="none", handler=livez, query=Nothing, body=Nothing, answer=Alive,
        summary="Whether the process answers.",
    ),
    Route(
        method="GET", path="/readyz", role="none", handler=readyz, query=Nothing, body=Nothing, answer=Ready,
        others=(503,), summary="Whether the node takes requests; 503 when not.",
    ),
    Route(
        method="GET", path="/api/status", role="viewer", handler=status, query=Nothing, body=Nothing,
        answer=StatusAnswer, summary="The node, its pools and its place in the hierarchy.",
    ),
    Route(
        method="GET", path="/api/members", role="viewer", handler=members, query=MembersQuery, body=Nothing,
        answer=MembersAnswer, summary="The members of the node's pools.",
    ),
    Route(
        method="GET", path="/api/topology", role="viewer", handler=topology, query=Nothing, body=Nothing,
        answer=Anything, summary="Nodes, edges, pools and clusters as far as this node knows.",
    ),
    Route(
        method="GET", path="/api/plugins", role="viewer", handler=plugins, query=Nothing, body=Nothing,
        answer=Json, summary="The plugins installed, as `mpreg plugins list --output json` prints them.",
    ),
    Route(
        method="GET", path="/api/config", role="viewer", handler=config, query=Nothing, body=Nothing,
        answer=Anything, summary="The configuration in force, without secrets.",
    ),
    Route(
        method="GET", path="/api/events", role="viewer", handler=events, query=Nothing, body=Nothing,
        answer=str, stream=True, summary="What happens at this node, from now on or from `Last-Event-ID`.",
    ),
    Route(
        method="GET", path="/api/gossip/stats", role="viewer", handler=gossip_stats, query=Nothing, body=Nothing,
        answer=Anything, summary="Counts, bytes, queues and convergence of each pool's gossip.",
    ),
    Route(
        method="POST", path="/api/gossip/test-message", role="operator", handler=gossip_test, query=Nothing,
        body=Nothing, answer=SpreadAnswer, summary="Spreads a test message in the pools and measures it.",
    ),
    Route(
        method="GET", path="/api/routes", role="viewer", handler=route, query=RoutesQuery, body=Nothing,
        answer=RouteAnswer, summary="Which way a request would go from here, and why.",
    ),
)  # fmt: skip
