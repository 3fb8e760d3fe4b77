"""The envelope around every message: wire version, channel, sender, body.

A channel is one conversation: a federation, a pool, a family and the protocol that its strategy speaks there. Its
number is a hash of those names, so a frame costs five bytes for all four, and a node that runs another strategy, or
belongs to another federation, simply does not know the channel.
"""

from hashlib import blake2b

from msgspec import Raw, Struct

from mpreg_core.ids import Family, NodeId, PoolId

CONTROL_CHANNEL = 0
"""Core's own messages of the membership and gossip planes: joining, probes of the spread."""

REQUEST_CHANNEL = 1
"""Core's own messages of the routing plane: requests and replies."""

CLIENT_CHANNEL = 2
"""Between a node and its clients, on the routing plane."""

_RESERVED = 16


class Envelope(Struct, frozen=True, array_like=True, gc=False):
    """`version` is the frame format's (`limits.WIRE_VERSION`); `body` the still encoded message."""

    version: int
    channel: int
    source: NodeId
    body: Raw


def channel_id(federation: str, pool: PoolId, family: Family, protocol: str) -> int:
    """The channel's number, 32 bits, above the reserved ones; the same in every process."""
    digest = blake2b(f"{federation}\0{pool}\0{family}\0{protocol}".encode(), digest_size=4).digest()
    return max(int.from_bytes(digest, "big"), _RESERVED)
