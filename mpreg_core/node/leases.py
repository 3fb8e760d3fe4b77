"""Keys that end by themselves: after a time, or with the life of the node that wrote them (as leases in etcd do).

Every replica can tell that a time is over, every member of the holder's pool that the holder failed, left or came back
as another process. Whoever sees it first removes the key, in a way that comes out the same wherever it is done. One
that was taken for dead and is not writes its keys again, ever more seldom while that goes on.
"""

from typing import NamedTuple

from mpreg_core.contracts.api import Json, Scope
from mpreg_core.errors import InvalidInputError, MpregError, UnavailableError
from mpreg_core.limits import LEASE_S_MAX, LEASE_S_MIN
from mpreg_core.node.replication import Replication
from mpreg_core.node.state import NodeState
from mpreg_core.state.registers import Lease
from mpreg_core.units import MS_PER_S, NS_PER_MS, NS_PER_S

CHECK_NS = 500 * NS_PER_MS
GRACE_MS = 2_000
"""Others than the writer wait this much longer for a time to be over: their clocks may be ahead."""

AGAIN_NS_MAX = 60 * NS_PER_S


class Mine(NamedTuple):
    """An ephemeral key of this node: its value, and how long to wait before it is written again."""

    value: Json
    wait_ns: int = CHECK_NS
    not_before_ns: int = 0


class Leases:
    """What ends by itself here, and the keys of this node that must not while it lives."""

    def __init__(self, state: NodeState, replication: Replication) -> None:
        self._state = state
        self._replication = replication
        self._mine: dict[tuple[Scope, str], Mine] = {}
        self._next_ns: int | None = None

    def lease(self, ttl_s: float | None, *, ephemeral: bool) -> Lease | None:
        """The lease of a write of now; None when it asks for none. Raises `InvalidInputError`, `UnavailableError`."""
        if ttl_s is None and not ephemeral:
            return None
        expires_ms = 0
        if ttl_s is not None:
            if not LEASE_S_MIN <= ttl_s <= LEASE_S_MAX:
                raise InvalidInputError(f"expected a ttl of {LEASE_S_MIN} to {LEASE_S_MAX} s, got {ttl_s}", where="ttl")
            expires_ms = self._state.wall_ms + round(ttl_s * MS_PER_S)
        home = self._state.home()
        if ephemeral and home is None:
            raise UnavailableError("this node has not joined a pool yet", where=self._state.id)
        pool = home.pool if ephemeral and home is not None else ""
        return Lease(self._state.id, self._state.settings.started_ms, expires_ms, pool)

    def hold(self, scope: Scope, key: str, value: Json, lease: Lease | None) -> None:
        """A key was written here under a lease, or none."""
        place = (scope, self._replication.inner(scope, key))
        if lease is not None and lease.pool:
            self._mine[place] = Mine(value)
        else:
            self._mine.pop(place, None)

    def next_deadline(self) -> int | None:
        """Nothing is looked at where no key ends by itself."""
        if not self._mine and not self._replication.store.leased:
            self._next_ns = None
        elif self._next_ns is None:
            self._next_ns = self._state.now_ns + CHECK_NS
        return self._next_ns

    def on_deadline(self) -> None:
        """Remove what ended; write again what should not have."""
        self._next_ns = self._state.now_ns + CHECK_NS
        for (scope, inner), lease in sorted(self._replication.store.leased.items(), key=lambda each: each[0]):
            if self._is_over(lease):
                self._replication.lapse(scope, inner)
        for place in sorted(self._mine):
            self._defend(place, self._mine[place])

    def _is_over(self, lease: Lease) -> bool:
        state = self._state
        is_mine = (lease.holder, lease.started_ms) == (state.id, state.settings.started_ms)
        if lease.expires_ms and state.wall_ms >= lease.expires_ms + (0 if is_mine else GRACE_MS):
            return True
        stack = state.stacks.get(lease.pool)
        if stack is None or is_mine:
            return False
        holder = stack.table.member(lease.holder)
        return holder is not None and (holder.status in ("failed", "left") or holder.started_ms > lease.started_ms)

    def _defend(self, place: tuple[Scope, str], mine: Mine) -> None:
        scope, inner = place
        last = self._replication.store.last(inner, scope)
        if last is None or not last.has_lapsed():
            if last is None or last.lease is None or last.lease.holder != self._state.id:
                del self._mine[place]  # someone else wrote or removed it
            return
        if mine.not_before_ns > self._state.now_ns:
            return
        wait_ns = min(mine.wait_ns * 2, AGAIN_NS_MAX)
        try:
            lease = self.lease(None, ephemeral=True)
            self._replication.put_inner(scope, inner, mine.value, lease)
        except MpregError as error:
            self._state.count("mpreg_state_refused_total", code=error.code)
        self._mine[place] = Mine(mine.value, wait_ns, self._state.now_ns + wait_ns)
