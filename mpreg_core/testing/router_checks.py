"""Routers: the next hop leads nearer, never back, and a way that is gone is not taken."""

from random import Random
from typing import Any

from mpreg_core.contracts.context import StrategyContext
from mpreg_core.contracts.members import Address, Member
from mpreg_core.contracts.router import Forward, Local, Policy, Refuse, Route, Router, Target, View
from mpreg_core.ids import NodeId
from mpreg_core.node.core import NodeCore
from mpreg_core.node.pending import Outcome
from mpreg_core.sim import Faults, World
from mpreg_core.testing.report import NotConformingError
from mpreg_core.testing.subject import Pool, Subject
from mpreg_core.units import NS_PER_MS, ns

POLICIES: tuple[Policy, ...] = ("optimal", "fastest", "balanced", "geographic")
GRAPHS = 20
HOPS_MAX = 5


def hops_make_sense(subject: Subject) -> None:
    """It answers Local for itself, forwards to members alone, never to itself or to whom it shall avoid."""
    for seed in subject.seeds:
        rng = Random(f"views/{seed}")
        for number in range(GRAPHS):
            view = _view(rng, 4 + number)
            machine = _machine(subject, view, seed)
            for policy in POLICIES:
                if not isinstance(machine.route(Target(node=view.me), frozenset(), policy), Local):
                    raise NotConformingError("Local for the node itself", "something else", seed)
                for target in _targets(view):
                    _try(machine, view, target, policy, seed)


def _try(machine: Router[Any], view: View, target: Target, policy: Policy, seed: int) -> None:
    """Avoid each way that it gives until it refuses: it must come to an end, and name nobody twice."""
    avoid: set[NodeId] = {view.me}
    for _ in range(len(view.members) + 1):
        route: Route = machine.route(target, frozenset(avoid), policy)
        if isinstance(route, Refuse):
            if not route.reason:
                raise NotConformingError("a reason with every refusal", "none", seed)
            return
        if isinstance(route, Local):
            raise NotConformingError(f"a way to {target}", "Local, at another node", seed)
        for hop in (route.next_hop, *route.alternatives):
            if hop not in view.members or hop in avoid or hop == view.me:
                raise NotConformingError(f"a member beside {sorted(avoid)}", f"{hop} towards {target}", seed)
        if not route.reason or route.cost_ns < 0:
            raise NotConformingError("a cost and a reason with every way", f"{route}", seed)
        avoid.add(route.next_hop)
    raise NotConformingError("an end of the ways", "more ways than members", seed)


def members_are_reached(subject: Subject) -> None:
    """A live member of the pool, and what lies below one, is reached."""
    for seed in subject.seeds:
        rng = Random(f"reach/{seed}")
        for number in range(GRAPHS):
            view = _view(rng, 4 + number)
            machine = _machine(subject, view, seed)
            for target in _targets(view):
                if not isinstance(machine.route(target, frozenset((view.me,)), "optimal"), Forward):
                    raise NotConformingError(f"a way to {target}", "none", seed)


def requests_arrive(subject: Subject) -> None:
    """Across three tiers requests arrive, by no node twice, over few hops."""
    for seed in subject.seeds:
        pool = _tree(subject, seed)
        for at, to in (("c-1-1", "c-2-2"), ("c-2-1", "c-2-2"), ("g", "c-1-2"), ("c-1-1", "g")):
            path = _path(pool, at, to)
            if path is None:
                raise NotConformingError(f"{at} to reach {to}", "no reply", seed)
            if len(set(path)) != len(path) or len(path) - 1 > HOPS_MAX:
                raise NotConformingError(f"at most {HOPS_MAX} hops, nobody twice", " > ".join(path), seed)


def what_is_gone_is_not_taken(subject: Subject) -> None:
    """A member that left the view is no way any more; after a hub's loss its clusters are reached by another."""
    for seed in subject.seeds:
        view = _view(Random(f"gone/{seed}"), 8)
        machine = _machine(subject, view, seed)
        lost = next(node for node in sorted(view.members) if node != view.me)
        members = {node: member for node, member in view.members.items() if node != lost}
        below = {hub: ids for hub, ids in view.below.items() if hub != lost}
        hub = view.hub if view.hub != lost else None
        machine.on_view(NS_PER_MS, View(view.me, view.tier, members, view.rtts_ns, hub, below))
        for target in (*_targets(view), Target(node=lost)):
            route = machine.route(target, frozenset((view.me,)), "optimal")
            if isinstance(route, Forward) and lost in (route.next_hop, *route.alternatives):
                raise NotConformingError(f"{lost} not to be a way once it is gone", f"it is, towards {target}", seed)
        pool = _tree(subject, seed)
        pool.world.crash("l-2-1")
        pool.world.run(40)
        path = _path(pool, "c-1-1", "c-2-1")
        if path is None or "l-2-1" in path:
            raise NotConformingError("another way to the clusters of a lost hub", f"{path}", seed)


def _machine(subject: Subject, view: View, seed: int) -> Router[Any]:
    machine: Router[Any] = subject.create(
        StrategyContext(view.members[view.me], "regional:r", view.tier, Random(seed), 0)
    )
    machine.on_view(0, view)
    return machine


def _view(rng: Random, size: int) -> View:
    """A regional pool: a regional hub, local hubs, each with clusters below it."""
    hub = "r"
    ids = [hub, *(f"l{number}" for number in range(1, size))]
    address = Address("host", 1, 2, 3, 4)
    members = {
        node: Member(
            id=node,
            incarnation=1,
            status="alive",
            tier="regional" if node == hub else "local",
            region="here",
            address=address,
            started_ms=0,
            load=rng.random(),
        )
        for node in ids
    }
    me = rng.choice(ids[1:])
    below = {node: frozenset(f"{node}-c{n}" for n in range(rng.randrange(1, 4))) for node in ids if node != hub}
    rtts = {node: rng.randrange(1, 100) * NS_PER_MS for node in ids if node != me}
    return View(me, "regional", members, rtts, hub, below)


def _targets(view: View) -> list[Target]:
    """Each other member, and what lies below it."""
    others = [node for node in sorted(view.members) if node != view.me]
    return [Target(node=node) for node in others] + [
        Target(node=min(view.below[node]), hub=node) for node in others if node in view.below
    ]


def _tree(subject: Subject, seed: int) -> Pool:
    """Two regions with two local hubs each and a cluster node below each of them, formed."""
    parts = subject.parts()
    pool = Pool(World(seed, Faults()), lambda tier: parts, seed)
    pool.add("g", "global", None, "r1")
    for region in ("1", "2"):
        pool.add(f"r-{region}", "regional", "g", f"r{region}")
        for number in ("1", "2"):
            pool.add(f"l-{region}-{number}", "local", f"r-{region}", f"r{region}")
            pool.add(f"c-{region}-{number}", "cluster", f"l-{region}-{number}", f"r{region}")
    pool.world.run(15)
    return pool


def _path(pool: Pool, at: NodeId, to: NodeId) -> tuple[NodeId, ...] | None:
    tokens: list[int] = []

    def ask(core: NodeCore) -> None:
        tokens.append(core.new_token())
        core.requests.ask(tokens[0], "mpreg.echo", b"1", ns(3), node=to)

    pool.world.command(at, ask)
    results = pool.world.nodes[at].results
    pool.world.run_until(lambda: tokens[0] in results, 4)
    result = results.get(tokens[0])
    return result.reply.path if isinstance(result, Outcome) and not result.reply.code else None
