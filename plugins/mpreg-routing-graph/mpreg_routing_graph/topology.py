"""What this node knows of the pool's links, and the paths that follow from it under each policy."""

from collections.abc import Iterable, Mapping
from itertools import pairwise

from msgspec import Struct

from mpreg_core import Member, NodeId, Policy, View
from mpreg_routing_graph.messages import LinkState
from mpreg_routing_graph.paths import ShortestPaths
from mpreg_routing_graph.policies import LOAD_STEPS, weight

BY_RECORD: tuple[Policy, ...] = ("balanced", "geographic")
"""Policies whose weights depend on load or place, not on what members tell alone."""

NO_LINKS: Mapping[NodeId, int] = {}


class _Told(Struct):
    """The newest links a member told of."""

    started_ms: int
    seq: int
    links: dict[NodeId, int]


class Topology:
    """Links of members, one `ShortestPaths` for each policy that was asked for. No more origins than members."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._told: dict[NodeId, _Told] = {}
        self._paths: dict[Policy, ShortestPaths] = {"optimal": ShortestPaths(view.me)}
        self._own: Mapping[NodeId, int] = {}

    def __len__(self) -> int:
        return len(self._told)

    def on_view(self, view: View, own: Mapping[NodeId, int]) -> None:
        """Take over the view and this node's own links, µs. Links of those who may not pass requests on do not count.

        That is: who is gone, suspect, draining, or another process than the one that told.
        """
        before, self._view = self._view, view
        by_record = [policy for policy in BY_RECORD if policy in self._paths]
        if by_record and any(_shape(before.members.get(m.id)) != _shape(m) for m in view.members.values()):
            for policy in by_record:  # built again when next asked for
                del self._paths[policy]
        for origin in [origin for origin in self._told if origin not in view.members]:
            del self._told[origin]
            self._apply(origin)
        for origin, told in self._told.items():
            if _passes_on(before.members.get(origin), told) != _passes_on(view.members[origin], told):
                self._apply(origin)
        if own != self._own:
            self._own = own
            self._apply(view.me)

    def learn(self, state: LinkState) -> bool | None:
        """Take over what a member told. None: not news, or not of a member; else whether paths may have changed."""
        member, known = self._view.members.get(state.origin), self._told.get(state.origin)
        if member is None or state.started_ms != member.started_ms or state.origin == self._view.me:
            return None
        if known is not None and known.started_ms == state.started_ms and known.seq >= state.seq:
            return None
        self._told[state.origin] = _Told(state.started_ms, state.seq, dict(state.links))
        return self._apply(state.origin)

    def paths(self, policy: Policy) -> ShortestPaths:
        """The paths from this node under a policy."""
        paths = self._paths.get(policy)
        if paths is None:
            paths = self._paths[policy] = ShortestPaths(self._view.me)
            for origin in (self._view.me, *self._told):
                paths.set_links(origin, self._weights(policy, origin))
        return paths

    def cost_us(self, path: Iterable[NodeId], first_us: int) -> int:
        """What a path costs whose first link costs `first_us`."""
        total = first_us
        for tail, head in pairwise(path):
            told = self._told.get(tail)
            total += told.links.get(head, 0) if told is not None else 0
        return total

    def _apply(self, origin: NodeId) -> bool:
        """Bring an origin's links into all graphs. True when paths may have changed in one."""
        changed = False
        for policy, paths in self._paths.items():
            changed |= paths.set_links(origin, self._weights(policy, origin))
        return changed

    def _weights(self, policy: Policy, origin: NodeId) -> Mapping[NodeId, int]:
        members, told = self._view.members, self._told.get(origin)
        if origin == self._view.me:
            links = self._own
        elif told is not None and _passes_on(members.get(origin), told):
            links = told.links
        else:
            return NO_LINKS
        if policy == "optimal":
            return links
        tail = members.get(origin)
        return {head: weight(policy, cost_us, tail, members.get(head)) for head, cost_us in links.items()}


def _passes_on(member: Member | None, told: _Told) -> bool:
    return (
        member is not None and member.status == "alive" and not member.draining and member.started_ms == told.started_ms
    )


def _shape(member: Member | None) -> object:
    """What the weights of links to and from a member depend on."""
    return None if member is None else (round(LOAD_STEPS * member.load), member.coordinates)
