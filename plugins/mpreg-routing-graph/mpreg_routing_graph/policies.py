"""What a link weighs under each policy: whole numbers, at least 1, the same wherever the same records are known."""

from mpreg_core import Member, Policy
from mpreg_core.routing import RTT_NS_PER_KM, distance_km

LOAD_STEPS = 8
KM_PER_US = 1_000 / RTT_NS_PER_KM


def weight(policy: Policy, cost_us: int, tail: Member | None, head: Member | None) -> int:
    """The weight of a link that costs `cost_us`.

    `optimal`: its cost. `fastest`: 1, so that paths have the fewest hops. `balanced`: its cost times one to nine, by
    the load of the member it leads to, in eighths lest each small change of load move routes. `geographic`: kilometres
    on the globe, guessed from the cost where a place is not known.
    """
    if policy == "fastest":
        return 1
    if policy == "balanced":
        load = 0.0 if head is None else min(max(head.load, 0.0), 1.0)
        return cost_us * (1 + round(LOAD_STEPS * load))
    if policy == "geographic":
        km = distance_km(tail, head)
        return max(1, round(cost_us * KM_PER_US if km is None else km))
    return cost_us
