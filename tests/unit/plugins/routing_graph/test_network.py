"""Routers joined by a network in memory: what one measures all come to know, and requests follow it without loops."""

import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpreg_core import (
    NS_PER_MS,
    NS_PER_S,
    Address,
    Coordinates,
    Effects,
    Emit,
    Forward,
    Local,
    Member,
    NodeId,
    Policy,
    Refuse,
    RouteChanged,
    Router,
    Send,
    StrategyContext,
    Target,
    Tier,
    View,
    ns,
)
from mpreg_core.limits import DATAGRAM_BYTES_MAX
from mpreg_routing_graph.machine import GraphRouter
from mpreg_routing_graph.messages import COST_US_MAX, LINKS_MAX, LinkState
from mpreg_routing_graph.options import GraphOptions
from mpreg_routing_graph.plugin import SPEC, mpreg_routers

NOBODY: frozenset[NodeId] = frozenset()
ENVELOPE_BYTES = 64

# One way a detour pays: a - c takes 200 ms, over b it is 50 + 60 ms.
DETOUR = {("a", "b"): 50.0, ("b", "c"): 60.0, ("a", "c"): 200.0}


def member(id: NodeId, tier: Tier = "cluster", region: str = "us", **fields: Any) -> Member:
    return Member(
        id=id, incarnation=0, status=fields.pop("status", "alive"), tier=tier, region=region, address=Address("h"),
        started_ms=fields.pop("started_ms", 1), **fields,
    )  # fmt: skip


class Network:
    """Routers of one pool. Messages arrive at once, in order; those to nobody are lost."""

    def __init__(self, members: list[Member], rtts_ms: Mapping[tuple[str, str], float], **options: object) -> None:
        self.now_ns = 0
        self.members = {m.id: m for m in members}
        self.rtts_ms = dict(rtts_ms)
        self.options = msgspec.convert(options, GraphOptions)
        self.sent: list[tuple[NodeId, Send]] = []
        self.announced: list[tuple[NodeId, str, NodeId | None]] = []
        self.routers: dict[NodeId, GraphRouter] = {}
        for m in members:
            self.start(m.id)
        self.show()

    def start(self, id: NodeId) -> None:
        context = StrategyContext(self.members[id], "global", "global", random.Random(id), self.now_ns)
        self.routers[id] = GraphRouter(context, self.options)

    def rtts_of(self, me: NodeId) -> dict[NodeId, int]:
        found = {}
        for (a, b), rtt in self.rtts_ms.items():
            if me in (a, b):
                found[b if me == a else a] = round(rtt * NS_PER_MS)
        return {peer: rtt for peer, rtt in found.items() if peer in self.members}

    def view_of(self, me: NodeId) -> View:
        leader = next((m.id for m in self.members.values() if m.tier == "global" and m.id != me), None)
        return View(me, "global", dict(self.members), self.rtts_of(me), leader, {})

    def show(self, *ids: NodeId) -> None:
        """Each of these, or all, sees the pool as it is now."""
        for id in ids or sorted(self.routers):
            self.run(id, self.routers[id].on_view(self.now_ns, self.view_of(id)))

    def change(self, id: NodeId, **fields: Any) -> None:
        self.members[id] = msgspec.structs.replace(self.members[id], **fields)

    def advance(self, duration_s: float) -> None:
        end_ns = self.now_ns + ns(duration_s)
        while True:
            due = [(at, id) for id, router in self.routers.items() if (at := router.next_deadline()) is not None]
            at, id = min(due, default=(end_ns + 1, ""))
            if at > end_ns:
                self.now_ns = end_ns
                return
            self.now_ns = max(self.now_ns, at)
            effects = self.routers[id].on_deadline(self.now_ns)
            after = self.routers[id].next_deadline()
            assert after is None or after > self.now_ns
            self.run(id, effects)

    def run(self, sender: NodeId, effects: Effects) -> None:
        queue = deque([(sender, effects)])
        while queue:
            sender, effects = queue.popleft()
            for effect in effects:
                if isinstance(effect, Send):
                    self.sent.append((sender, effect))
                    for to in effect.to:
                        assert to != sender
                        if to in self.routers:
                            message = msgspec.convert(msgspec.to_builtins(effect.message), LinkState)
                            queue.append((to, self.routers[to].on_message(self.now_ns, sender, message)))
                elif isinstance(effect, Emit) and isinstance(effect.event, RouteChanged):
                    self.announced.append((sender, effect.event.target, effect.event.next_hop))

    def hops(self, start: NodeId, goal: NodeId, policy: Policy = "optimal") -> list[NodeId]:
        """Next hop and alternatives."""
        route = self.routers[start].route(Target(node=goal), NOBODY, policy)
        assert isinstance(route, Forward), route
        return [route.next_hop, *route.alternatives]

    def walk(self, start: NodeId, target: Target, policy: Policy, *, careful: bool) -> list[NodeId]:
        """The nodes visited. Only when `careful` is a router told whom to avoid."""
        path = [start]
        while True:
            avoid = frozenset(path) if careful else NOBODY
            route = self.routers[path[-1]].route(target, avoid, policy)
            if isinstance(route, Local) or path[-1] in (target.hub, target.region):
                return path
            assert isinstance(route, Forward), (path, route)
            assert route.next_hop not in path, (path, route)
            path.append(route.next_hop)


def three(**options: object) -> Network:
    """Told twice: the first time some did not know each other yet."""
    network = Network([member("a"), member("b"), member("c")], DETOUR, **options)
    network.advance(2)
    return network


def test_a_path_is_taken_where_it_is_cheaper_than_the_straight_link() -> None:
    network = three()
    assert network.hops("a", "c") == ["b", "c"]
    assert network.hops("a", "b") == ["b", "c"]
    route = network.routers["a"].route(Target(node="c"), NOBODY, "optimal")
    assert isinstance(route, Forward)
    assert route.cost_ns == pytest.approx(110 * NS_PER_MS, rel=0.02)
    assert "over b" in route.reason
    assert network.walk("a", Target(node="c"), "optimal", careful=False) == ["a", "b", "c"]


@pytest.mark.parametrize(("straight_ms", "first"), [(130, "c"), (137, "c"), (142, "b"), (200, "b")])
def test_the_straight_link_is_preferred_unless_a_path_is_better_by_the_margin(straight_ms: float, first: str) -> None:
    network = Network([member("a"), member("b"), member("c")], {**DETOUR, ("a", "c"): straight_ms}, margin=0.2)
    assert network.hops("a", "c")[0] == first


@pytest.mark.parametrize(
    ("policy", "first"),
    [("optimal", "b"), ("fastest", "c"), ("balanced", "d"), ("geographic", "c")],
)
def test_each_policy_weighs_the_same_links_its_own_way(policy: Policy, first: str) -> None:
    members = [
        member("a", coordinates=Coordinates(0, 0)),
        member("b", coordinates=Coordinates(50, 50), load=1.0),
        member("c", coordinates=Coordinates(0, 1)),
        member("d", coordinates=Coordinates(-60, 0)),
    ]
    network = Network(members, {**DETOUR, ("a", "d"): 70.0, ("d", "c"): 60.0})
    assert network.hops("a", "c", policy)[0] == first


def test_a_change_of_load_moves_the_balanced_way_only() -> None:
    network = Network([member("a"), member("b"), member("c"), member("d")], {**DETOUR, ("a", "d"): 70, ("d", "c"): 60})
    assert network.hops("a", "c", "balanced")[0] == "b"
    network.change("b", load=0.9)
    network.show()
    assert network.hops("a", "c", "balanced")[0] == "d"
    assert network.hops("a", "c", "optimal")[0] == "b"


@pytest.mark.parametrize("fields", [{"status": "suspect"}, {"draining": True}])
def test_links_of_a_member_that_should_not_pass_requests_on_are_withdrawn_and_come_back(
    fields: dict[str, object],
) -> None:
    network = three()
    before = network.members["b"]
    network.change("b", **fields)
    network.show("a")
    assert network.hops("a", "c") == ["c"]
    assert network.hops("a", "b")[0] == "b"  # itself it is still reached
    network.members["b"] = before
    network.show("a")
    assert network.hops("a", "c") == ["b", "c"]


@pytest.mark.parametrize("fields", [{"status": "suspect"}, {"draining": True}, None])
def test_a_path_is_not_taken_over_an_unfit_member_however_far_along_it_is(fields: dict[str, object] | None) -> None:
    members = [member(id) for id in "abcd"]
    network = Network(members, {("a", "d"): 10.0, ("d", "b"): 10.0, ("b", "c"): 10.0})
    network.advance(2)
    assert network.hops("a", "c") == ["d", "c"]
    if fields is None:
        del network.members["b"]
    else:
        network.change("b", **fields)
    network.show("a")
    assert network.hops("a", "c") == ["c"]


def test_links_to_a_suspect_are_not_told() -> None:
    network = three()
    network.advance(5)
    network.change("b", status="suspect")
    network.show("a")
    message = network.sent[-1][1].message
    assert isinstance(message, LinkState)
    assert [peer for peer, _ in message.links] == ["c"]


def test_links_of_a_member_that_is_gone_are_forgotten() -> None:
    network = three()
    del network.members["b"], network.routers["b"]
    network.show("a")
    assert network.hops("a", "c") == ["c"]
    assert network.routers["a"].snapshot().origins == 1


def test_a_link_that_one_end_lost_is_routed_around_by_all_at_once() -> None:
    members = [member(id) for id in "abcd"]
    network = Network(members, {**DETOUR, ("a", "d"): 60.0, ("d", "c"): 80.0})
    network.advance(5)
    assert network.hops("a", "c")[0] == "b"
    del network.rtts_ms["b", "c"]
    network.show("b")
    assert network.hops("a", "c")[0] == "d"


def test_noise_within_the_hysteresis_is_told_to_nobody() -> None:
    network = three()
    network.advance(5)
    network.sent.clear()
    rng = random.Random(3)
    for _ in range(100):
        network.rtts_ms = {pair: rtt * rng.uniform(0.9, 1.1) for pair, rtt in DETOUR.items()}
        network.show()
        assert network.hops("a", "c") == ["b", "c"]
    assert network.sent == []
    network.rtts_ms = {**DETOUR, ("b", "c"): 190.0}
    network.show()
    assert {sender for sender, _ in network.sent} == {"b", "c"}
    assert network.hops("a", "c")[0] == "c"


def test_changes_in_quick_succession_are_told_once_an_interval() -> None:
    network = three(update_interval=1.0)
    network.advance(5)
    network.sent.clear()
    for step in range(10):
        network.rtts_ms["a", "b"] = 50.0 if step % 2 else 150.0
        network.show("a")
        network.advance(0.1)
    network.advance(0.5)
    assert [sender for sender, _ in network.sent].count("a") == 2  # the first at once, one for all the others
    assert network.hops("c", "a")[0] == "b"  # and it said the last: 50 ms


def test_links_are_told_again_now_and_then_and_old_news_is_dropped() -> None:
    network = three(refresh_interval=30.0)
    network.advance(5)
    network.sent.clear()
    network.advance(31)
    tellers = [sender for sender, _ in network.sent]
    assert sorted(set(tellers)) == ["a", "b", "c"]
    old = network.sent[0][1].message
    router = network.routers["b" if tellers[0] != "b" else "c"]
    network.advance(60)
    dropped = router.snapshot().dropped
    assert router.on_message(network.now_ns, tellers[0], old) == ()  # type: ignore[arg-type]
    assert router.snapshot().dropped == dropped + 1


def test_repeats_come_seldom_and_seldomer() -> None:
    network = Network([member("a"), member("b")], {("a", "b"): 20.0}, refresh_interval=30.0)
    counts = []
    for duration_s in (20, 100):
        network.sent.clear()
        network.advance(duration_s)
        counts.append([sender for sender, _ in network.sent].count("a"))
    assert counts[0] in (4, 5)  # after about 1, 2, 4, 8 s
    assert counts[1] in (3, 4)


def test_a_newcomer_is_told_all_links_at_once() -> None:
    network = three()
    network.advance(300)
    network.members["d"] = member("d")
    network.start("d")
    network.rtts_ms["a", "d"] = 20.0
    network.show("d", "a", "b", "c")
    network.advance(1.3)
    assert network.routers["d"].snapshot().origins == 3
    assert network.hops("d", "c")[0] == "c"  # its own way to b and c is not measured yet, but over a it costs more


def test_after_a_restart_links_are_believed_again_and_those_of_the_old_life_no_more() -> None:
    network = three()
    network.advance(300)
    old = next(send.message for sender, send in network.sent if sender == "b")
    network.change("b", started_ms=2)
    network.show("a", "c")
    assert network.hops("a", "c") == ["c"]
    router = network.routers["a"]
    assert router.on_message(network.now_ns, "b", old) == ()  # type: ignore[arg-type]
    assert network.hops("a", "c") == ["c"]
    router.on_message(network.now_ns, "b", LinkState("b", 2, 1, (("c", 60_500),)))  # its clock began anew
    assert network.hops("a", "c") == ["b", "c"]
    network.start("b")
    network.show("b")
    assert network.hops("a", "c") == ["b", "c"]
    assert network.routers["b"].snapshot().origins == 0
    network.advance(1.3)  # its old self was told; itself not yet
    assert network.routers["b"].snapshot().origins == 2


def test_a_router_built_anew_in_the_same_process_is_believed() -> None:
    network = three()
    network.advance(100)
    network.start("b")
    network.rtts_ms["b", "c"] = 180.0
    network.show("b")
    assert network.hops("a", "c") == ["c", "b"]


def test_a_failing_next_hop_loses_its_link_for_a_while_and_others_hear_of_it() -> None:
    network = three(eject_after=2, eject_time=10.0)
    network.advance(5)
    a = network.routers["a"]
    for _ in range(2):
        network.run("a", a.on_outcome(network.now_ns, "b", False, 1))
    assert network.hops("a", "c") == ["c"]
    assert a.snapshot().ejected == ("b",)
    assert network.hops("a", "b") == ["c", "b"]  # over c, and straight only last
    network.advance(11)
    assert a.snapshot().ejected == ()
    assert network.hops("a", "c") == ["b", "c"]


def test_the_only_way_is_never_ejected() -> None:
    network = Network([member("a"), member("b")], {("a", "b"): 5.0}, eject_after=1)
    network.run("a", network.routers["a"].on_outcome(0, "b", False, 1))
    assert network.hops("a", "b") == ["b"]


def test_alternatives_leave_by_other_members_and_avoid_whom_they_should() -> None:
    members = [member(id) for id in "abcdz"]
    star = {("a", id): 10.0 for id in "bcd"} | {(id, "z"): at for id, at in (("b", 10.0), ("c", 20.0), ("d", 30.0))}
    network = Network(members, {**star, ("a", "z"): 500.0})
    assert network.hops("a", "z") == ["b", "c", "d", "z"]
    for avoid, hops in (({"b"}, ["c", "d", "z"]), ({"b", "c", "d"}, ["z"])):
        route = network.routers["a"].route(Target(node="z"), frozenset(avoid), "optimal")
        assert isinstance(route, Forward)
        assert [route.next_hop, *route.alternatives] == hops
    refused = network.routers["a"].route(Target(node="z"), frozenset("z"), "optimal")
    assert isinstance(refused, Refuse)


def test_a_changed_way_to_a_region_is_announced() -> None:
    members = [member("g", "global"), member("a", "regional"), member("b", "regional", "eu")]
    network = Network(members, {("a", "b"): 200.0, ("a", "g"): 50.0})
    network.advance(1)
    assert ("a", "eu", "b") in network.announced
    network.announced.clear()
    network.rtts_ms["g", "b"] = 50.0
    network.show()
    network.advance(1)
    assert ("a", "eu", "g") in network.announced
    network.announced.clear()
    network.advance(100)
    assert network.announced == []


# --- large pools, small messages, hostile ones ---


def test_in_a_large_pool_news_reaches_all_by_being_passed_on_once() -> None:
    members = [member(f"n{number:03}") for number in range(120)]
    network = Network(members, {}, flood_direct=16, flood_fanout=8)
    network.rtts_ms["n000", "n001"] = 30.0
    network.show("n000")
    told = [router for router in network.routers.values() if router.snapshot().origins == 1]
    assert len(told) >= 117  # each is missed by chance e**-8; the refresh brings it
    assert len(network.sent) <= 120
    assert max(len(send.to) for _, send in network.sent) == 8
    assert not any("n000" in send.to for _, send in network.sent)


def test_what_is_told_fits_a_datagram_and_has_the_leaders_the_nearest_and_some_far_links() -> None:
    long = "x" * 50
    members = [member("me"), member(f"{long}-hub", "global"), *(member(f"{long}-{n:03}") for n in range(300))]
    rtts = {("me", m.id): 10.0 + number for number, m in enumerate(members) if m.id != "me"}
    rtts["me", f"{long}-hub"] = 900.0
    for max_links in (4, 32, 64):
        network = Network(members[:1], {}, max_links=max_links)
        network.members = {m.id: m for m in members}
        network.rtts_ms = rtts
        network.show("me")
        (message,) = {send.message for _, send in network.sent}
        assert isinstance(message, LinkState)
        assert len(msgspec.msgpack.encode(message)) <= DATAGRAM_BYTES_MAX - ENVELOPE_BYTES
        links = dict(message.links)
        assert 4 <= len(links) <= max_links
        assert f"{long}-hub" in links
        assert f"{long}-000" in links
    network = Network([member("me")], {}, max_links=20)
    network.members = {m.id: m for m in [member("me"), *(member(f"n{n:03}") for n in range(300))]}
    network.rtts_ms = {("me", f"n{n:03}"): 10.0 + n for n in range(300)}
    network.show("me")
    told = [peer for peer, _ in network.sent[-1][1].message.links]  # type: ignore[attr-defined]
    assert told[:10] == [f"n{n:03}" for n in range(10)]
    assert len(told) == 20
    assert told[-1] > "n250"


def test_the_cost_of_a_nearby_link_does_not_move_with_microseconds() -> None:
    network = Network([member("a"), member("b")], {("a", "b"): 0.2})
    network.advance(5)
    network.sent.clear()
    network.rtts_ms["a", "b"] = 0.9
    network.show()
    assert network.sent == []


@pytest.mark.parametrize(
    "message",
    [
        LinkState("stranger", 1, 10**12, (("a", 1),)),
        LinkState("a", 1, 10**12, (("b", 1), ("c", 1))),  # of the router itself
        LinkState("b", 7, 10**12, (("c", 1),)),  # of another life
    ],
)
def test_links_of_strangers_of_oneself_and_of_other_lives_are_dropped_and_counted(message: LinkState) -> None:
    network = three()
    router = network.routers["a"]
    before = router.snapshot()
    assert router.on_message(0, "b", message) == ()
    after = router.snapshot()
    assert (after.dropped, after.origins, after.links) == (before.dropped + 1, before.origins, before.links)


def test_links_to_unknown_members_and_to_oneself_lead_nowhere() -> None:
    network = three()
    router = network.routers["a"]
    links = (("b", 1), ("nobody", 1), ("a", 1), ("c", 1), ("c", 2))
    router.on_message(0, "b", LinkState("b", 1, 10**12, links))
    assert network.hops("a", "c") == ["b", "c"]
    assert isinstance(router.route(Target(node="nobody"), NOBODY, "optimal"), Refuse)


@pytest.mark.parametrize(
    "body",
    [
        [1, "b", 1, 5, [["c", 0]]],
        [1, "b", 1, 5, [["c", COST_US_MAX + 1]]],
        [1, "b", 1, -5, [["c", 1]]],
        [1, "b", 1, 5, [[f"n{n}", 1] for n in range(LINKS_MAX + 1)]],
        [1, "", 1, 5, []],
        [1, "b" * 64, 1, 5, []],
    ],
)
def test_a_message_out_of_bounds_does_not_decode(body: list[object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(body), type=LinkState)


def test_the_bytes_of_a_message_stay_what_they_are() -> None:
    message = LinkState("b", 1_700_000_000_000, 5, (("c", 60_500),))
    encoded = msgspec.msgpack.encode(message)
    assert encoded.hex() == "9501a162cf0000018bcfe568000591" + "92a163cdec54"
    assert msgspec.msgpack.decode(encoded, type=LinkState) == message


def test_decisions_stay_within_max_graph_cache_size() -> None:
    network = three(max_graph_cache_size=10)
    for number in range(100):
        network.routers["a"].route(Target(node=f"x{number}"), NOBODY, "optimal")
    assert network.routers["a"].snapshot().decisions <= 10


def test_the_plugin_provides_the_router_graph() -> None:
    (spec,) = mpreg_routers()
    assert spec is SPEC
    assert (spec.family, spec.name, spec.messages) == ("routing", "graph", (LinkState,))
    router: Router[LinkState] = spec.create(
        StrategyContext(member("a"), "global", "global", random.Random(0), 0), spec.options()
    )
    assert router.on_leave(0) == ()
    assert router.next_deadline() is None


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"eject_time": 20, "eject_time_max": 10}, "eject_time_max"),
        ({"update_interval": 60}, "refresh_interval"),
        ({"margin": 1.5}, "margin"),
        ({"max_links": LINKS_MAX + 1}, "max_links"),
        ({"fanout": 3}, "fanout"),
    ],
)
def test_an_option_out_of_bounds_is_refused_by_name(options: dict[str, float], complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=complaint):
        msgspec.convert(options, GraphOptions)


# --- loop freedom ---

POLICIES: tuple[Policy, ...] = ("optimal", "fastest", "balanced", "geographic")
IDS = [f"n{number}" for number in range(8)]


def pools(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Network:
    """A pool with random links, loads, places, draining members and three regions."""
    members = [
        member(
            id,
            "regional",
            draw(st.sampled_from(["us", "eu", "asia"])),
            load=draw(st.sampled_from([0.0, 0.3, 1.0])),
            draining=draw(st.integers(0, 5)) == 0,
            coordinates=Coordinates(draw(st.integers(-60, 60)), draw(st.integers(-180, 180))),
        )
        for id in IDS
    ]
    pairs = [(a, b) for a in IDS for b in IDS if a < b]
    measured = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=len(pairs)))
    network = Network(members, {pair: draw(st.integers(1, 300)) for pair in measured})
    network.advance(2)
    return network


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_with_the_same_knowledge_no_request_loops_even_if_nobody_is_avoided(data: st.DataObject) -> None:
    network = pools(data.draw)
    for policy in POLICIES:
        for start in IDS:
            for goal in IDS:
                assert network.walk(start, Target(node=goal), policy, careful=False)[-1] == goal
            for region in ("us", "eu", "asia"):
                exits = [m.id for m in network.members.values() if m.region == region and m.id != start]
                if exits and network.members[start].region != region:
                    path = [start]
                    while network.members[path[-1]].region != region:
                        route = network.routers[path[-1]].route(Target(region=region), NOBODY, policy)
                        assert isinstance(route, Forward)
                        assert route.next_hop not in path, (policy, path, route)
                        path.append(route.next_hop)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_with_differing_knowledge_a_request_still_arrives_and_visits_nobody_twice(data: st.DataObject) -> None:
    network = pools(data.draw)
    for _ in range(data.draw(st.integers(1, 4))):  # news that some have not heard
        me = data.draw(st.sampled_from(IDS))
        for peer in IDS:
            if peer != me and data.draw(st.booleans()):
                network.rtts_ms[min(me, peer), max(me, peer)] = data.draw(st.integers(1, 300))
        network.routers[me].on_view(network.now_ns + NS_PER_S, network.view_of(me))
    for start in IDS:
        for goal in IDS:
            assert network.walk(start, Target(node=goal), "optimal", careful=True)[-1] == goal
