"""Whether a federation kept its promises in a run. They look at what was seen from outside, never at how it is done."""

from collections import Counter
from collections.abc import Sequence

from mpreg_core.limits import HOPS_MAX
from mpreg_core.node.pending import Outcome
from mpreg_core.sim.linearizability import Operation, log, not_linearizable
from mpreg_core.sim.observer import Seen

GROWTH_SHARE, GROWTH_OBJECTS = 0.05, 1_500
"""What a node at rest may hold more after a while, of Python objects: buffers that fill up to their bound."""


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


def answers_belong(seen: Seen) -> str:
    """Every answer is the one to its request: what was sent comes back."""
    for asked in seen.asked:
        _, result = seen.outcomes.get((asked.at, asked.life, asked.token), (0.0, None))
        if asked.kind != "request" or not isinstance(result, Outcome) or result.reply.code:
            continue
        if result.reply.payload != asked.subject.encode():
            return f"{asked.what} at {asked.at} was answered with {result.reply.payload!r:.80}"
    return ""


def handled_at_most_once(seen: Seen) -> str:
    """No handler ran twice for a request that was not marked idempotent, wherever it was sent again."""
    for payload, times in sorted(seen.fleet.handled.items()):
        if times > 1:
            return f"the request {payload.decode()} was handled {times} times"
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


def decisions_are_linearizable(seen: Seen) -> str:
    """A proposal that begins after another was answered is decided after it."""
    history = []
    for asked in seen.asked:
        if asked.kind == "proposal":
            ended_s, result = seen.outcomes.get((asked.at, asked.life, asked.token), (None, None))
            made = getattr(result, "decided", None)
            index = made.index if made is not None and made.status == "committed" and made.index else None
            history.append(Operation(asked.subject, asked.begun_s, ended_s, ("propose",), index, asked.at))
    places = Counter((each.key, each.result) for each in history if each.result is not None)
    twice = next((place for place, times in sorted(places.items()) if times > 1), None)
    return f"{twice} was given twice" if twice is not None else not_linearizable(history, log, 0)


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


def the_dead_are_found(seen: Seen) -> str:
    """Whoever was dead for long was failed by somebody."""
    return "".join(f"{who} was dead for {down_s:.0f} s and nobody noticed" for who, down_s in seen.missed[:1])


def nothing_piles_up(seen: Seen) -> str:
    """At rest no node holds requests that nobody waits for, records that are not written, or frames not taken."""
    for name in seen.fleet.alive():
        node = seen.fleet.world.nodes[name]
        held = {
            "requests": len(node.core.requests),
            "unwritten records": len(node.unwritten),
            "frames": len(node.waiting),
        }
        for what, number in held.items():
            if number:
                return f"{name} still holds {number} {what}"
    return ""


def memory_is_bounded(seen: Seen) -> str:
    """A node at rest holds, after a while, about as many objects as before."""
    for name, (before, after) in sorted(seen.grown.items()):
        if after > before * (1 + GROWTH_SHARE) + GROWTH_OBJECTS:
            return f"{name} grew from {before} objects to {after} while nothing happened"
    return ""


CHECKERS = (
    whole_again,
    state_converges,
    requests_end_once,
    answers_belong,
    handled_at_most_once,
    paths_do_not_loop,
    decisions_agree,
    decisions_are_linearizable,
    pools_decide_again,
    nobody_is_wronged,
    the_dead_are_found,
    nothing_piles_up,
    memory_is_bounded,
)
"""Each gives what is wrong, or an empty text."""


def violations(seen: Seen) -> Sequence[tuple[str, str]]:
    """(checker, what is wrong) for every promise that was not kept."""
    found = ((checker.__name__, checker(seen)) for checker in CHECKERS)
    return [(name, wrong) for name, wrong in found if wrong]
