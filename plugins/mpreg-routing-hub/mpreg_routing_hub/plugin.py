"""Registers the router `hub`."""

from collections.abc import Sequence

from msgspec import Struct

from mpreg_core import RouterSpec, hookimpl
from mpreg_routing_hub.machine import HubRouter
from mpreg_routing_hub.messages import MESSAGES
from mpreg_routing_hub.options import HubOptions

SPEC: RouterSpec[HubOptions, Struct] = RouterSpec(
    name="hub",
    summary="along the tree of hubs: up only as far as needed, across, down; next hops from tables",
    options=HubOptions,
    messages=MESSAGES,
    create=HubRouter,
)


@hookimpl
def mpreg_routers() -> Sequence[RouterSpec[HubOptions, Struct]]:
    """The router `hub`."""
    return (SPEC,)
