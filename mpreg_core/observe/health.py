"""From what a node knows of itself to its health: pure, so that each rule is a row in a test.

`degraded` still serves what its consistency allows (DESIGN 7: a partition is the normal case); `unhealthy` should get
no traffic, and `/health` answers 503. Draining overrides both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mpreg_core.contracts.api import Check, Health, HealthReport, Json, PoolStatus, Status
from mpreg_core.ids import PoolId
from mpreg_core.limits import OUTBOX_BYTES_MAX

SILENCE_S = 120.0
"""A pool with other live members that sends nothing for this long is worth a look: at rest, gossip is rare."""

OUTBOX_FULL_SHARE = 0.8

_GRAVITY: tuple[Health, ...] = ("healthy", "degraded", "unhealthy")
_NOT_YET = ("starting", "joining")


@dataclass(frozen=True, slots=True)
class Quorum:
    """A pool's consensus: yes votes `needed`, voters `reachable` now, or `stopped` when its engine broke."""

    needed: int
    reachable: int
    stopped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the checks look at. What is not known may be left out: its check then goes by the rest.

    `gossip_age_s` and `heard_age_s` are seconds since a pool's gossip, and since any frame at all, last came in;
    `storage_error` is the journal's last failure, empty once it writes again; `outbox_bytes` waits for the fullest
    peer; `join_refusal` says why no hub takes this node, empty once one did.
    """

    status: Status
    gossip_age_s: Mapping[PoolId, float] = field(default_factory=dict)
    heard_age_s: Mapping[PoolId, float] = field(default_factory=dict)
    quorums: Mapping[PoolId, Quorum] = field(default_factory=dict)
    storage_error: str = ""
    outbox_bytes: float = 0.0
    join_refusal: str = ""


def assess(observed: Observed) -> HealthReport:
    """The report of `GET /health`: all checks, and the worst of them unless the node drains."""
    checks = {name: check(observed) for name, check in _CHECKS.items()}
    state = observed.status.node.state
    worst = max((check.status for check in checks.values()), key=_GRAVITY.index)
    return HealthReport("draining" if state in ("draining", "stopped") else worst, checks)


def _check(status: Health, details: dict[str, Json], reasons: list[Json]) -> Check:
    if reasons:
        details["reasons"] = reasons
    return Check(status, details)


def _peers(pool: PoolStatus) -> int:
    """Live members of the pool beside this node."""
    return max(pool.alive - 1, 0)


def _silence(observed: Observed, ages: Mapping[PoolId, float], what: str) -> list[Json]:
    return [
        f"{pool.id}: no {what} for {ages[pool.id]:.0f} s from {_peers(pool)} live peers"
        for pool in observed.status.pools
        if _peers(pool) and ages.get(pool.id, 0.0) > SILENCE_S
    ]


def _gossip(observed: Observed) -> Check:
    reasons = _silence(observed, observed.gossip_age_s, "gossip")
    details: dict[str, Json] = {pool.id: {"alive": pool.alive} for pool in observed.status.pools}
    return _check("degraded" if reasons else "healthy", details, reasons)


def _membership(observed: Observed) -> Check:
    """Degraded where fewer than half of those that did not leave are alive: the wrong side of a partition."""
    pools = observed.status.pools
    reasons: list[Json] = [
        f"{pool.id}: only {pool.alive} of {total} members are alive"
        for pool in pools
        if 2 * pool.alive < (total := pool.alive + pool.suspect + pool.failed)
    ]
    details: dict[str, Json] = {
        pool.id: {"alive": pool.alive, "suspect": pool.suspect, "failed": pool.failed} for pool in pools
    }
    return _check("degraded" if reasons else "healthy", details, reasons)


def _consensus(observed: Observed) -> Check:
    reasons: list[Json] = []
    status: Health = "healthy"
    for pool, quorum in sorted(observed.quorums.items()):
        if quorum.stopped:
            status = "unhealthy"
            reasons.append(f"{pool}: the engine stopped; see the log and restart the node")
        elif quorum.reachable < quorum.needed:
            status = max(status, "degraded", key=_GRAVITY.index)
            reasons.append(f"{pool}: {quorum.reachable} voters are reachable, {quorum.needed} are needed")
    details: dict[str, Json] = {
        pool: {"needed": quorum.needed, "reachable": quorum.reachable}
        for pool, quorum in sorted(observed.quorums.items())
    }
    return _check(status, details, reasons)


def _transport(observed: Observed) -> Check:
    reasons = _silence(observed, observed.heard_age_s, "frame")
    if observed.outbox_bytes > OUTBOX_FULL_SHARE * OUTBOX_BYTES_MAX:
        reasons.append(f"{observed.outbox_bytes:.0f} bytes wait for one peer; the bound is {OUTBOX_BYTES_MAX}")
    return _check("degraded" if reasons else "healthy", {"outbox_bytes": observed.outbox_bytes}, reasons)


def _storage(observed: Observed) -> Check:
    if not observed.storage_error:
        return Check("healthy", {})
    return _check("unhealthy", {}, [f"the journal cannot be written: {observed.storage_error}"])


def _hub(observed: Observed) -> Check:
    node, parent = observed.status.node, observed.status.parent_hub
    details: dict[str, Json] = {"parent": parent, "children": len(observed.status.children), "state": node.state}
    why: list[Json] = [observed.join_refusal] if observed.join_refusal else []
    if node.state in _NOT_YET:
        return _check("unhealthy", details, [f"the node is {node.state}", *why])
    if parent is None and node.hub_tier != "global":
        return _check("degraded", details, ["no parent hub: the rest of the federation is out of reach", *why])
    return Check("healthy", details)


_CHECKS: dict[str, Callable[[Observed], Check]] = {
    "gossip_protocol": _gossip,
    "membership_protocol": _membership,
    "consensus_manager": _consensus,
    "transport": _transport,
    "storage": _storage,
    "hub": _hub,
}
