"""The hooks. A plugin is a module with functions marked `@hookimpl`, named by an entry point in group `mpreg.v1`.

No hook is async, a wrapper or `firstresult`; none is handed the node. Providing hooks are called once, when plugins
are loaded; a plugin whose hook raises then is reported and provides nothing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pluggy

from mpreg_core.contracts.events import Occurrence
from mpreg_core.contracts.merge import MergePolicySpec
from mpreg_core.contracts.service import ServiceSpec
from mpreg_core.contracts.strategy import (
    AnyConsensusSpec,
    AnyFailureDetectorSpec,
    AnyGossipSpec,
    AnyRouterSpec,
    AnyTransportSpec,
)

if TYPE_CHECKING:
    from typer import Typer

ENTRY_POINT_GROUP = "mpreg.v1"
"""The contract's major version is in the name: a plugin for another major is listed, never imported."""

PROJECT = "mpreg"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def mpreg_transports() -> Sequence[AnyTransportSpec]:
    """Provide transports. Called once at load."""
    raise AssertionError


@hookspec
def mpreg_gossip_strategies() -> Sequence[AnyGossipSpec]:
    """Provide gossip strategies. Called once at load."""
    raise AssertionError


@hookspec
def mpreg_failure_detectors() -> Sequence[AnyFailureDetectorSpec]:
    """Provide failure detectors. Called once at load."""
    raise AssertionError


@hookspec
def mpreg_consensus_engines() -> Sequence[AnyConsensusSpec]:
    """Provide consensus engines. Called once at load."""
    raise AssertionError


@hookspec
def mpreg_routers() -> Sequence[AnyRouterSpec]:
    """Provide routers. Called once at load."""
    raise AssertionError


@hookspec
def mpreg_services() -> Sequence[ServiceSpec[Any]]:
    """Provide services: async work that runs beside every node, under the supervisor. Called once at load."""
    raise AssertionError


@hookspec
def mpreg_merge_policies() -> Sequence[MergePolicySpec]:
    """Provide policies of replicated keys, chosen as `custom:<name>`. Called once at load."""
    raise AssertionError


@hookspec
def mpreg_commands() -> "Typer":
    """Provide CLI commands: a Typer app, mounted under the plugin's entry point name. Called when the CLI starts."""
    raise AssertionError


@hookspec
def mpreg_on_event(event: Occurrence) -> None:
    """See a fact. Called for every event of every node in the process, from a bounded queue of this observer alone.

    Sync and quick; the return value is ignored. An observer that raises is logged once, counted and switched off; one
    that is slow loses the oldest events, counted.
    """
