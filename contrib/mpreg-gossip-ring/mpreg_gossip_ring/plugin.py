"""What the entry point names: the spec of `ring`."""

from collections.abc import Sequence

from mpreg_core import GossipSpec, hookimpl
from mpreg_gossip_ring.machine import RingGossip
from mpreg_gossip_ring.messages import MESSAGES, RingMessage
from mpreg_gossip_ring.options import RingOptions

SPEC: GossipSpec[RingOptions, RingMessage] = GossipSpec(
    name="ring",
    summary="Gossip along a ring of hashes, repaired by comparing with a random member.",
    options=RingOptions,
    messages=MESSAGES,
    create=RingGossip,
)


@hookimpl
def mpreg_gossip_strategies() -> Sequence[GossipSpec[RingOptions, RingMessage]]:
    """Provide `ring`."""
    return (SPEC,)
