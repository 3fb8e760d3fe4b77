"""View and target in, route out: the hub router in each kind of pool, its choices and its distrust."""

import random
from collections.abc import Mapping

import msgspec
import pytest

from mpreg_core import (
    NS_PER_MS,
    NS_PER_S,
    Address,
    Coordinates,
    Emit,
    Forward,
    Local,
    Member,
    NodeId,
    Policy,
    PoolTier,
    Refuse,
    RouteChanged,
    Router,
    Status,
    StrategyContext,
    Target,
    Tier,
    View,
    ns,
)
from mpreg_routing_hub.machine import HubRouter
from mpreg_routing_hub.options import HubOptions
from mpreg_routing_hub.plugin import SPEC, mpreg_routers

NOBODY: frozenset[NodeId] = frozenset()


def member(
    id: NodeId,
    tier: Tier = "cluster",
    region: str = "us",
    *,
    status: Status = "alive",
    draining: bool = False,
    load: float = 0.0,
    at: tuple[float, float] | None = None,
) -> Member:
    return Member(
        id=id,
        incarnation=0,
        status=status,
        tier=tier,
        region=region,
        address=Address("10.0.0.1"),
        started_ms=0,
        draining=draining,
        load=load,
        coordinates=Coordinates(*at) if at else None,
    )


def view(
    me: NodeId,
    tier: PoolTier,
    *members: Member,
    hub: NodeId | None = None,
    rtts_ms: Mapping[NodeId, float] | None = None,
    below: Mapping[NodeId, frozenset[str]] | None = None,
) -> View:
    rtts_ns = {peer: round(rtt * NS_PER_MS) for peer, rtt in (rtts_ms or {}).items()}
    return View(me, tier, {m.id: m for m in members}, rtts_ns, hub, below or {})


def router_of(seen: View, **options: float) -> HubRouter:
    context = StrategyContext(seen.members[seen.me], "pool", seen.tier, random.Random(0), 0)
    router = HubRouter(context, msgspec.convert(options, HubOptions))
    router.on_view(0, seen)
    return router


def next_hop(router: HubRouter, target: Target, policy: Policy = "optimal") -> NodeId:
    route = router.route(target, NOBODY, policy)
    assert isinstance(route, Forward), route
    return route.next_hop


# The three pools as seen from one node of each kind.
LOCAL = (member("l1", "local"), member("c1"), member("c2"))
REGIONAL = (member("r1", "regional"), member("l1", "local"), member("l2", "local"))
GLOBAL = (
    member("g1", "global"),
    member("r1", "regional", "us"),
    member("r2", "regional", "eu"),
    member("r3", "regional", "eu"),
)
CLUSTER_NODE = view("c1", "local", *LOCAL, hub="l1")
LOCAL_HUB_BELOW = view("l1", "local", *LOCAL)
LOCAL_HUB_ABOVE = view("l1", "regional", *REGIONAL, hub="r1", below={"l2": frozenset({"c8", "c9"})})
REGIONAL_HUB_BELOW = view("r1", "regional", *REGIONAL, below={"l1": frozenset({"c1", "c2"}), "l2": frozenset({"c8"})})
REGIONAL_HUB_ABOVE = view(
    "r1",
    "global",
    *GLOBAL,
    hub="g1",
    rtts_ms={"r2": 90, "r3": 80, "g1": 20},
    below={"r2": frozenset({"l9", "c99"}), "r1": frozenset({"l1"})},
)
GLOBAL_HUB = view("g1", "global", *GLOBAL, rtts_ms={"r2": 10, "r3": 30})


@pytest.mark.parametrize(
    ("seen", "target", "hops"),
    [
        # a plain member
        pytest.param(CLUSTER_NODE, Target(node="c1", hub="l1", region="us"), [], id="itself"),
        pytest.param(CLUSTER_NODE, Target(node="c2", hub="l1", region="us"), ["c2", "l1"], id="a neighbour, straight"),
        pytest.param(CLUSTER_NODE, Target(hub="l1", region="us"), ["l1"], id="its own hub"),
        pytest.param(CLUSTER_NODE, Target(node="c99", hub="l9", region="eu"), ["l1"], id="far away: up"),
        pytest.param(CLUSTER_NODE, Target(node="c99"), ["l1"], id="unknown: up"),
        # a local hub, in the pool above it
        pytest.param(LOCAL_HUB_ABOVE, Target(hub="l1", region="us"), [], id="what is at this hub itself"),
        pytest.param(LOCAL_HUB_ABOVE, Target(node="c8", hub="l2", region="us"), ["l2", "r1"], id="below a sibling"),
        pytest.param(LOCAL_HUB_ABOVE, Target(node="c8"), ["l2", "r1"], id="below a sibling, by its claim alone"),
        pytest.param(LOCAL_HUB_ABOVE, Target(node="c7", hub="l2"), ["l2", "r1"], id="below a sibling, as named"),
        pytest.param(LOCAL_HUB_ABOVE, Target(node="c8", hub="l1"), ["l2", "r1"], id="moved from this hub to a sibling"),
        pytest.param(LOCAL_HUB_ABOVE, Target(node="c99", hub="l9", region="eu"), ["r1"], id="another region: up"),
        pytest.param(LOCAL_HUB_ABOVE, Target(region="eu"), ["r1"], id="any place in another region: up"),
        # a regional hub
        pytest.param(REGIONAL_HUB_BELOW, Target(node="c8"), ["l2"], id="down to the claiming hub"),
        pytest.param(REGIONAL_HUB_BELOW, Target(node="c7", hub="l2"), ["l2"], id="down to the named hub"),
        pytest.param(REGIONAL_HUB_ABOVE, Target(node="c99", hub="l9", region="eu"), ["r2", "g1"], id="by claim"),
        pytest.param(REGIONAL_HUB_ABOVE, Target(node="c55", hub="l9", region="eu"), ["r2", "g1"], id="hub by claim"),
        pytest.param(REGIONAL_HUB_ABOVE, Target(node="c55", region="eu"), ["r3", "r2", "g1"], id="nearest there"),
        pytest.param(REGIONAL_HUB_ABOVE, Target(node="c55", region="asia"), ["g1"], id="unknown region: up"),
        pytest.param(GLOBAL_HUB, Target(node="c1", region="us"), ["r1"], id="global hub: down"),
        pytest.param(GLOBAL_HUB, Target(node="c55", region="eu"), ["r2", "r3"], id="global hub: nearest"),
    ],
)
def test_a_target_leads_to_its_next_hops(seen: View, target: Target, hops: list[NodeId]) -> None:
    route = router_of(seen).route(target, NOBODY, "optimal")
    if hops:
        assert isinstance(route, Forward), route
        assert [route.next_hop, *route.alternatives] == hops
    else:
        assert route == Local()


@pytest.mark.parametrize(
    ("seen", "target", "reason"),
    [
        (LOCAL_HUB_BELOW, Target(node="c99", hub="l9", region="eu"), "c99 is neither a member of the local pool nor"),
        (REGIONAL_HUB_BELOW, Target(node="c5", hub="l5", region="us"), "no hub above"),
        (LOCAL_HUB_ABOVE, Target(node="c7", hub="l1", region="us"), "c7 is not below l1"),
        (REGIONAL_HUB_ABOVE, Target(node="c5", hub="l5", region="us"), "no other regional hub of us"),
        (GLOBAL_HUB, Target(node="c5", region="asia"), "no other regional hub of asia"),
        (GLOBAL_HUB, Target(), "names neither a node nor a hub nor a region"),
        (view("c1", "local", *LOCAL[1:]), Target(node="c5"), "c5 is neither a member"),
    ],
)
def test_a_refusal_says_what_was_looked_for(seen: View, target: Target, reason: str) -> None:
    route = router_of(seen).route(target, NOBODY, "optimal")
    assert isinstance(route, Refuse), route
    assert reason in route.reason


def test_a_router_that_saw_no_view_yet_knows_itself_alone() -> None:
    router = HubRouter(StrategyContext(member("c1"), "local:l1", "local", random.Random(0), 0), HubOptions())
    assert router.route(Target(node="c1"), NOBODY, "optimal") == Local()
    assert isinstance(router.route(Target(node="c2"), NOBODY, "optimal"), Refuse)


@pytest.mark.parametrize(
    ("avoid", "hops"),
    [
        ({"r1", "l1"}, ["r3", "r2", "g1"]),
        ({"r3"}, ["r2", "g1"]),
        ({"r2"}, ["r3", "g1"]),
        ({"r2", "r3"}, ["g1"]),
    ],
)
def test_whom_to_avoid_is_left_out_of_next_hop_and_alternatives(avoid: set[NodeId], hops: list[NodeId]) -> None:
    route = router_of(REGIONAL_HUB_ABOVE).route(Target(region="eu"), frozenset(avoid), "optimal")
    assert isinstance(route, Forward)
    assert [route.next_hop, *route.alternatives] == hops
    assert route.cost_ns == REGIONAL_HUB_ABOVE.rtts_ns[hops[0]]


def test_with_all_ways_to_be_avoided_it_refuses() -> None:
    route = router_of(REGIONAL_HUB_ABOVE).route(Target(region="eu"), frozenset({"r2", "r3", "g1"}), "optimal")
    assert isinstance(route, Refuse)
    assert "r3, r2, g1" in route.reason


@pytest.mark.parametrize(
    ("r2", "r3", "chosen"),
    [
        ({}, {}, "r3"),
        ({}, {"status": "suspect"}, "r2"),
        ({}, {"draining": True}, "r2"),
        ({"draining": True}, {"status": "suspect"}, "r3"),
        ({"draining": True}, {"draining": True}, "r3"),
    ],
)
def test_a_suspect_comes_after_the_alive_and_a_draining_hub_last(
    r2: dict[str, object], r3: dict[str, object], chosen: NodeId
) -> None:
    hubs = [msgspec.structs.replace(GLOBAL[2], **r2), msgspec.structs.replace(GLOBAL[3], **r3)]
    seen = view("r1", "global", *GLOBAL[:2], *hubs, hub="g1", rtts_ms={"r2": 90, "r3": 80})
    assert next_hop(router_of(seen), Target(region="eu")) == chosen


def test_a_draining_member_is_still_reached_itself() -> None:
    seen = view("c1", "local", member("l1", "local"), member("c1"), member("c2", draining=True), hub="l1")
    assert next_hop(router_of(seen), Target(node="c2")) == "c2"


def test_with_two_leaders_the_way_up_is_the_views_hub_and_then_the_other() -> None:
    seen = view("l1", "regional", member("r1", "regional"), member("r9", "regional"), member("l1", "local"), hub="r9")
    route = router_of(seen).route(Target(region="eu"), NOBODY, "optimal")
    assert isinstance(route, Forward)
    assert (route.next_hop, route.alternatives) == ("r9", ("r1",))


def test_a_standby_leader_does_not_go_up_in_the_pool_it_leads() -> None:
    seen = view("r9", "regional", member("r1", "regional"), member("r9", "regional"), hub="r1")
    for region in ("us", "eu"):
        assert isinstance(router_of(seen).route(Target(node="c5", region=region), NOBODY, "optimal"), Refuse)


def test_a_claim_ends_with_its_hub_and_moves_with_the_node() -> None:
    seen = view("r1", "regional", *REGIONAL, below={"l1": frozenset({"c1", "c2"}), "l2": frozenset({"c2", "c3"})})
    router = router_of(seen)
    assert next_hop(router, Target(node="c2")) in {"l1", "l2"}
    router.on_view(1, msgspec.structs.replace(seen, below={"l1": frozenset({"c1"}), "l2": frozenset({"c2"})}))
    assert next_hop(router, Target(node="c2")) == "l2"
    assert isinstance(router.route(Target(node="c3"), NOBODY, "optimal"), Refuse)
    router.on_view(2, view("r1", "regional", *REGIONAL[:2], below={"l1": frozenset({"c1"}), "l2": frozenset({"c2"})}))
    assert isinstance(router.route(Target(node="c2"), NOBODY, "optimal"), Refuse)
    assert next_hop(router, Target(node="c1")) == "l1"


# --- policies and hysteresis ---

LONDON, PARIS, NEW_YORK, TOKYO = (51.5, -0.1), (48.9, 2.4), (40.7, -74.0), (35.7, 139.7)
PLACED = (
    member("r1", "regional", "us", at=NEW_YORK),
    member("r2", "regional", "eu", load=0.1, at=TOKYO),
    member("r3", "regional", "eu", load=0.9, at=LONDON),
    member("r4", "regional", "eu", load=0.5, at=PARIS),
)


@pytest.mark.parametrize(
    ("policy", "rtts_ms", "chosen"),
    [
        ("optimal", {"r2": 150, "r3": 90, "r4": 80}, "r4"),
        ("fastest", {"r2": 150, "r3": 90, "r4": 80}, "r4"),
        ("optimal", {}, "r3"),  # estimated from the distance
        ("balanced", {"r2": 150, "r3": 90, "r4": 80}, "r2"),
        ("geographic", {"r2": 10, "r3": 90, "r4": 80}, "r3"),
    ],
)
def test_a_policy_ranks_the_hubs_of_a_region(policy: Policy, rtts_ms: dict[str, float], chosen: NodeId) -> None:
    router = router_of(view("r1", "global", *PLACED, rtts_ms=rtts_ms))
    assert next_hop(router, Target(region="eu"), policy) == chosen


def test_an_estimated_cost_is_light_in_fibre_there_and_back() -> None:
    route = router_of(view("r1", "global", *PLACED)).route(Target(region="eu"), NOBODY, "optimal")
    assert isinstance(route, Forward)
    assert route.cost_ns == pytest.approx(55.7 * NS_PER_MS, rel=0.01)  # New York - London: 5,570 km


@pytest.mark.parametrize(("r2_ms", "chosen"), [(80.0, "r3"), (64.5, "r3"), (63.5, "r2"), (10.0, "r2")], ids=str)
def test_the_choice_moves_only_to_a_hub_better_by_a_fifth(r2_ms: float, chosen: NodeId) -> None:
    router = router_of(view("r1", "global", *GLOBAL, rtts_ms={"r2": 90, "r3": 80}))
    router.on_view(1, view("r1", "global", *GLOBAL, rtts_ms={"r2": r2_ms, "r3": 80}))
    assert next_hop(router, Target(region="eu")) == chosen


def test_noise_on_round_trips_never_makes_the_next_hop_flap() -> None:
    rng = random.Random(7)
    router = router_of(view("r1", "global", *GLOBAL, rtts_ms={"r2": 100, "r3": 99}))
    changes = 0
    for step in range(200):
        rtts_ms = {"r2": 100 * rng.uniform(0.9, 1.1), "r3": 100 * rng.uniform(0.9, 1.1)}
        changes += len(router.on_view(step, view("r1", "global", *GLOBAL, rtts_ms=rtts_ms)))
        assert next_hop(router, Target(region="eu")) == "r3"
    assert changes == 0


def test_a_fitter_hub_is_taken_at_once_however_near_the_choice_is() -> None:
    rtts_ms = {"r2": 90.0, "r3": 80.0}
    router = router_of(view("r1", "global", *GLOBAL, rtts_ms=rtts_ms))
    suspected = msgspec.structs.replace(GLOBAL[3], status="suspect")
    router.on_view(1, view("r1", "global", *GLOBAL[:3], suspected, rtts_ms=rtts_ms))
    assert next_hop(router, Target(region="eu")) == "r2"


# --- ejection ---


def test_failures_in_a_row_eject_a_next_hop_for_a_time_that_grows() -> None:
    router = router_of(REGIONAL_HUB_ABOVE, eject_after=3, eject_time=10.0, eject_time_max=15.0)
    eu = Target(region="eu")
    for _ in range(2):
        assert router.on_outcome(0, "r3", False, 1) == ()
    assert next_hop(router, eu) == "r3"
    router.on_outcome(0, "r3", False, 1)
    assert next_hop(router, eu) == "r2"
    assert router.next_deadline() == 10 * NS_PER_S
    router.on_deadline(ns(9.9))
    assert next_hop(router, eu) == "r2"
    router.on_deadline(ns(10.0))
    assert router.next_deadline() is None
    router.on_view(ns(10.0), msgspec.structs.replace(REGIONAL_HUB_ABOVE, rtts_ns={"r2": 90, "r3": 8}))
    assert next_hop(router, eu) == "r3"
    router.on_outcome(ns(11), "r3", False, 1)  # once more is enough, and lasts longer, up to the bound
    assert next_hop(router, eu) == "r2"
    assert router.next_deadline() == ns(11 + 15)


def test_a_success_clears_a_next_hop_and_its_past() -> None:
    router = router_of(REGIONAL_HUB_ABOVE, eject_after=2)
    for ok in (False, True, False, True, False):
        router.on_outcome(0, "r3", ok, 1)
    assert router.snapshot().ejected == ()
    router.on_outcome(0, "r3", False, 1)
    assert router.snapshot().ejected == ("r3",)
    router.on_outcome(0, "r3", True, 1)  # a request that was under way came through
    assert router.snapshot().ejected == ()


def test_the_only_way_is_never_ejected() -> None:
    router = router_of(LOCAL_HUB_ABOVE, eject_after=1)
    router.on_outcome(0, "r1", False, 1)
    assert next_hop(router, Target(region="eu")) == "r1"


def test_when_all_ways_are_ejected_they_rank_as_if_none_were() -> None:
    router = router_of(REGIONAL_HUB_ABOVE, eject_after=1)
    for hop in ("r2", "r3", "g1"):
        router.on_outcome(0, hop, False, 1)
    assert next_hop(router, Target(region="eu")) in {"r2", "r3"}


def test_who_leaves_the_pool_is_forgotten_and_strangers_are_not_kept() -> None:
    router = router_of(REGIONAL_HUB_ABOVE, eject_after=1)
    router.on_outcome(0, "r3", False, 1)
    router.on_outcome(0, "stranger", False, 1)
    assert router.snapshot().ejected == ("r3",)
    router.on_view(1, view("r1", "global", *GLOBAL[:3]))
    assert router.snapshot().ejected == ()
    assert router.next_deadline() is None


# --- what it says ---


def announced(effects: object) -> dict[str, NodeId | None]:
    assert isinstance(effects, list | tuple)
    events = [effect.event for effect in effects if isinstance(effect, Emit)]
    return {event.target: event.next_hop for event in events if isinstance(event, RouteChanged)}


def test_a_changed_next_hop_towards_a_region_or_hub_is_announced_once() -> None:
    router = HubRouter(StrategyContext(GLOBAL[1], "global", "global", random.Random(0), 0), HubOptions(eject_after=1))
    all_ways = {"eu": "r3", "g1": "g1", "r2": "r2", "r3": "r3"}
    assert announced(router.on_view(0, REGIONAL_HUB_ABOVE)) == all_ways
    assert announced(router.on_view(1, REGIONAL_HUB_ABOVE)) == {}
    without = {id: m for id, m in REGIONAL_HUB_ABOVE.members.items() if id != "r3"}
    lost = msgspec.structs.replace(REGIONAL_HUB_ABOVE, members=without)
    assert announced(router.on_view(2, lost)) == {"eu": "r2", "r3": "g1"}
    assert announced(router.on_outcome(3, "r2", False, 1)) == {"eu": "g1", "r2": "g1"}
    assert announced(router.on_deadline(ns(60))) == {"eu": "r2", "r2": "r2"}
    alone = {"r1": REGIONAL_HUB_ABOVE.members["r1"]}
    gone = announced(router.on_view(ns(61), msgspec.structs.replace(lost, members=alone, hub=None)))
    assert gone == {"eu": None, "g1": None, "r2": None}


def test_a_message_nobody_could_have_sent_is_dropped_and_counted() -> None:
    router = router_of(CLUSTER_NODE)
    assert router.on_message(0, "c2", Target()) == ()
    assert router.snapshot().dropped == 1


def test_decisions_stay_bounded_whatever_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpreg_routing_hub.machine.DECISIONS_MAX", 10)
    router = router_of(CLUSTER_NODE)
    for number in range(100):
        router.route(Target(node=f"unknown-{number}"), NOBODY, "optimal")
    assert router.snapshot().decisions <= 20  # the watched hub's among them


def test_the_plugin_provides_the_router_hub() -> None:
    (spec,) = mpreg_routers()
    assert spec is SPEC
    assert (spec.family, spec.name, spec.messages) == ("routing", "hub", ())
    router: Router[msgspec.Struct] = spec.create(
        StrategyContext(LOCAL[1], "local:l1", "local", random.Random(0), 0), spec.options()
    )
    assert router.on_leave(0) == ()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"eject_time": 20, "eject_time_max": 10}, "eject_time_max"),
        ({"hysteresis": 1.5}, "hysteresis"),
        ({"eject_after": 0}, "eject_after"),
        ({"fanout": 3}, "fanout"),
    ],
)
def test_an_option_out_of_bounds_is_refused_by_name(options: dict[str, float], complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=complaint):
        msgspec.convert(options, HubOptions)
