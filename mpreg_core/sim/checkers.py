"""Whether a federation kept its promises in a run. They look at what was seen from outside, never at how it is done."""

from collections.abc import Sequence

from msgspec import Struct

from mpreg_core.contracts.events import Decided
from mpreg_core.ids import NodeId
from mpreg_core.limits import HOPS_MAX
from mpreg_core.node.requests import Outcome
from mpreg_core.sim.fleet import Fleet


class Asked(Struct, frozen=True):
    """A request or proposal of the workload: who asked, when, and by when it had to be answered (world time)."""

    at: NodeId
    token: int
    life: int
    begun_s: float
    due_s: float
    what: str


class Seen(Struct):
    """What a run left to look at. `decided` are all commits with the node that saw them, over all its lives."""

    fleet: Fleet
    asked: list[Asked]
    outcomes: dict[tuple[NodeId, int, int], tuple[float, object]]
    decided: list[tuple[NodeId, Decided]]
    accused: list[tuple[float, NodeId, NodeId]]
    excused: frozenset[NodeId]
    written: dict[str, object]
    last: dict[NodeId, str]
    healed_s: float | None


def whole_again(seen: Seen) -> str:
    """After the faults every node has found its place and every pool agrees on its members."""
    return "" if seen.healed_s is not None else "the federation was not whole again after the faults"


def state_converges(seen: Seen) -> str:
    """Every write of the workload is on every node that runs, the same everywhere."""
    for key in sorted(seen.written):
        values = {repr(value) for value in seen.fleet.values(key).values()}
        if len(values) != 1:
            return f"{key} has the values {sorted(values)} on different nodes"
    return ""


def requests_end_once(seen: Seen) -> str:
    """Every request and proposal of a node that lived has exactly one outcome, in its time."""
    for asked in seen.asked:
        node = seen.fleet.world.nodes[asked.at]
        if node.life != asked.life:
            continue  # its caller died
        outcome = seen.outcomes.get((asked.at, asked.life, asked.token))
        if outcome is None:
            return f"{asked.what} at {asked.at} has no outcome"
        at_s, _ = outcome
        if at_s > asked.due_s and asked.at not in seen.excused:
            return f"{asked.what} at {asked.at} was answered {at_s - asked.due_s:.2f} s too late"
    return ""


def paths_do_not_loop(seen: Seen) -> str:
    """No request visits a node twice, none takes more hops than allowed."""
    for (at, _, _), (_, result) in sorted(seen.outcomes.items(), key=lambda item: item[0]):
        if isinstance(result, Outcome):
            path = result.reply.path
            if len(set(path)) != len(path) or len(path) - 1 > HOPS_MAX:
                return f"a request of {at} went {' > '.join(path)}"
    return ""


def decisions_agree(seen: Seen) -> str:
    """One decision for a key and index, one value for a proposal, for ever and everywhere."""
    places: dict[tuple[str, int], tuple[str, bytes]] = {}
    values: dict[str, bytes] = {}
    for node, made in seen.decided:
        if made.status != "committed":
            continue
        known = places.setdefault((made.key, made.index), (made.proposal, made.value))
        if made.index and known != (made.proposal, made.value):
            return f"{made.key} at {made.index} was decided twice: {known[0]} and, at {node}, {made.proposal}"
        if values.setdefault(made.proposal, made.value) != made.value:
            return f"proposal {made.proposal} has two values"
    return ""


def pools_decide_again(seen: Seen) -> str:
    """After the faults every pool that was asked for one more decision made it."""
    for at, status in sorted(seen.last.items()):
        if status != "committed":
            return f"the last proposal of {at} ended as {status}"
    return ""


def nobody_is_wronged(seen: Seen) -> str:
    """No node that ran and could be reached was failed."""
    wrong = [(at_s, by, who) for at_s, by, who in seen.accused if who not in seen.excused and by not in seen.excused]
    if not wrong:
        return ""
    at_s, by, who = wrong[0]
    return f"{who} was failed at {by} after {at_s:.1f} s, though it ran ({len(wrong)} times in all)"


def nothing_piles_up(seen: Seen) -> str:
    """At rest no node holds requests that nobody waits for."""
    for name in seen.fleet.alive():
        pending = len(seen.fleet.world.nodes[name].core.requests)
        if pending:
            return f"{name} still holds {pending} requests"
    return ""


CHECKERS = (
    whole_again,
    state_converges,
    requests_end_once,
    paths_do_not_loop,
    decisions_agree,
    pools_decide_again,
    nobody_is_wronged,
    nothing_piles_up,
)
"""Each gives what is wrong, or an empty text."""


def violations(seen: Seen) -> Sequence[tuple[str, str]]:
    """(checker, what is wrong) for every promise that was not kept."""
    found = ((checker.__name__, checker(seen)) for checker in CHECKERS)
    return [(name, wrong) for name, wrong in found if wrong]
