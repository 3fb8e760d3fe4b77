"""Registers the router `graph`."""

from collections.abc import Sequence

from mpreg_core import RouterSpec, hookimpl
from mpreg_routing_graph.machine import GraphRouter
from mpreg_routing_graph.messages import MESSAGES, LinkState
from mpreg_routing_graph.options import GraphOptions

SPEC: RouterSpec[GraphOptions, LinkState] = RouterSpec(
    name="graph",
    summary="link-state routing: the cheapest path over the measured links of the pool, by policy",
    options=GraphOptions,
    messages=MESSAGES,
    create=GraphRouter,
)


@hookimpl
def mpreg_routers() -> Sequence[RouterSpec[GraphOptions, LinkState]]:
    """The router `graph`."""
    return (SPEC,)
