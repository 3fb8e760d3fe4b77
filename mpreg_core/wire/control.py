"""Core's own messages beside the strategies': joining a pool, and measuring how a message spreads.

All ride on `CONTROL_CHANNEL` of the membership plane. Fields are only ever appended, with defaults.
"""

from msgspec import Struct

from mpreg_core.contracts.members import Member
from mpreg_core.ids import NodeId, PoolId, PoolTier
from mpreg_core.membership.federation import HubSummary


class Hello(Struct, frozen=True, array_like=True, tag=1):
    """A node asks to become a member of the receiver's pool of a tier. `wire` is the envelope version it speaks.

    `has_hub` says that another hub serves it well: it wants to come home, but to no hub that is not settled itself.
    """

    federation: str
    member: Member
    wants: PoolTier
    wire: int
    has_hub: bool = False


class Welcome(Struct, frozen=True, array_like=True, tag=2):
    """Yes: the pool's id, its members (a bounded page; anti-entropy brings the rest) and what is known of hubs."""

    pool: PoolId
    members: tuple[Member, ...]
    hubs: tuple[HubSummary, ...] = ()


class Refused(Struct, frozen=True, array_like=True, tag=3):
    """No. `code`: `federation`, `wire`, `tier`, `region`, `full`, `id_in_use`, `draining`; `hubs` are others to ask."""

    wants: PoolTier
    code: str
    reason: str
    hint: str = ""
    hubs: tuple[HubSummary, ...] = ()


class Received(Struct, frozen=True, array_like=True, tag=4):
    """A test message reached the sender of this."""

    probe: str
    member: NodeId


class Goodbye(Struct, frozen=True, array_like=True, tag=5):
    """The sender leaves a pool: its last record there, of status left."""

    pool: PoolId
    member: Member


class Deliver(Struct, frozen=True, array_like=True, tag=6):
    """A published message, straight to a member of a pool that wants it: a message's item of that pool.

    `served` are the queue groups that have it, or will have it by another way. A message that is to arrive at least
    once comes for the plain subscribers, or for one `group`.
    """

    pool: PoolId
    key: str
    payload: bytes
    born_ms: int
    served: tuple[str, ...] = ()
    group: str = ""


class TookCustody(Struct, frozen=True, array_like=True, tag=7):
    """The sender has taken on a message that is to arrive at least once: it need not be sent again (for a `group`)."""

    pool: PoolId
    id: str
    group: str = ""


Control = Hello | Welcome | Refused | Received | Goodbye | Deliver | TookCustody
