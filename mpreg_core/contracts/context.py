"""What a machine is given when it is created. Narrow and frozen: no host object, no way around the contract."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from mpreg_core.contracts.gossip import Replica
from mpreg_core.contracts.members import Member
from mpreg_core.ids import PoolId, PoolTier


@dataclass(frozen=True, slots=True)
class StrategyContext:
    """The place a machine lives in.

    `me` is this node's own record as it was at creation (later ones come by `on_members`), `pool` and `tier` the pool
    it works for, `rng` its own stream of chance (seeded from seed, node, pool, family and name, so that one
    strategy's draws never shift another's), `now_ns` the time of creation.
    """

    me: Member
    pool: PoolId
    tier: PoolTier
    rng: Random
    now_ns: int


@dataclass(frozen=True, slots=True)
class GossipContext(StrategyContext):
    """A gossip strategy also sees what the pool's replica holds, read-only, for its duplicate filter and repair."""

    replica: Replica


@dataclass(frozen=True, slots=True)
class ConsensusContext(StrategyContext):
    """A consensus engine also gets its journal back and may read the application's state for a checkpoint.

    `records` are the durable records in order, the last checkpoint first if there was one. `capture()` returns the
    application state after all decisions emitted so far; it comes back to some member as `SnapshotInstalled`.
    """

    records: Sequence[bytes]
    capture: Callable[[], bytes]
