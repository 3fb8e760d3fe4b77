"""What the entry point names: the spec of `plumtree`."""

from collections.abc import Sequence

from mpreg_core import GossipSpec, hookimpl
from mpreg_gossip_plumtree.machine import Plumtree
from mpreg_gossip_plumtree.messages import MESSAGES, PlumtreeMessage
from mpreg_gossip_plumtree.options import PlumtreeOptions

SPEC: GossipSpec[PlumtreeOptions, PlumtreeMessage] = GossipSpec(
    name="plumtree",
    summary="Broadcast trees over a random overlay: about one copy of an item for each member, for large pools.",
    options=PlumtreeOptions,
    messages=MESSAGES,
    create=Plumtree,
)


@hookimpl
def mpreg_gossip_strategies() -> Sequence[GossipSpec[PlumtreeOptions, PlumtreeMessage]]:
    """Provide `plumtree`."""
    return (SPEC,)
