"""Names of things: nodes, pools, clusters, regions and the closed vocabularies of the federation."""

import re
from typing import Literal, TypeAlias, get_args

NodeId: TypeAlias = str
PoolId: TypeAlias = str
ClusterId: TypeAlias = str
Region: TypeAlias = str

Tier = Literal["global", "regional", "local", "cluster"]
"""A node's level. `cluster` is a plain member below a local hub; the other three are hubs."""

PoolTier = Literal["global", "regional", "local"]
"""A pool's level: that of the hub which leads it."""

Family = Literal["transport", "gossip", "failure_detector", "consensus", "routing"]
Plane = Literal["gossip", "membership", "consensus", "routing"]
Lane = Literal["datagram", "stream"]

TIERS: tuple[Tier, ...] = get_args(Tier)
FAMILIES: tuple[Family, ...] = get_args(Family)
PLANES: tuple[Plane, ...] = get_args(Plane)

PLANE_OF: dict[Family, Plane] = {
    "gossip": "gossip",
    "failure_detector": "membership",
    "consensus": "consensus",
    "routing": "routing",
}
"""The plane whose port carries a family's messages. The transport itself has none."""

UPPER_POOL: dict[Tier, PoolTier] = {"global": "global", "regional": "global", "local": "regional", "cluster": "local"}
"""The pool a node of each tier joins through its parent (a global hub leads it itself)."""

LOWER_POOL: dict[Tier, PoolTier | None] = {"global": None, "regional": "regional", "local": "local", "cluster": None}
"""The pool a hub of each tier leads beside its upper one."""

PARENT_TIER: dict[Tier, Tier | None] = {"global": None, "regional": "global", "local": "regional", "cluster": "local"}
"""The tier a parent hub must have."""

ZONE = "zone"
"""The tag that names the part of a region which a node or cluster is in."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def is_id(text: str) -> bool:
    """True if `text` may name a node, cluster or region: 1 to 63 of letters, digits, `.`, `_`, `-`; no leading mark."""
    return _ID.fullmatch(text) is not None


def pool_id(tier: PoolTier, name: str) -> PoolId:
    """The id of a pool: `global`, `regional:<region>` or `local:<hub id>`. `name` is not used for `global`."""
    return "global" if tier == "global" else f"{tier}:{name}"
