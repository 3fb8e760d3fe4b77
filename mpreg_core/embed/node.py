"""`mpreg_core.Node`: a node inside a program, as an async context manager on any anyio backend."""

import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, cast

import anyio
import msgspec
from msgspec import Struct

from mpreg_core.assembly import assemble
from mpreg_core.config.model import NodeConfig
from mpreg_core.contracts.access import Authenticator
from mpreg_core.contracts.api import Json
from mpreg_core.contracts.events import Occurrence
from mpreg_core.contracts.service import ServiceContext, ServiceSpec
from mpreg_core.contracts.transport import Endpoint
from mpreg_core.embed.narration import Narrator
from mpreg_core.embed.running import RunningNode
from mpreg_core.ids import Plane
from mpreg_core.plugin.discovery import load_plugins
from mpreg_core.plugin.observers import Observers
from mpreg_core.plugin.registry import Plugins
from mpreg_core.runtime.driver import Driver
from mpreg_core.runtime.supervisor import supervise

logger = logging.getLogger("mpreg.node")

GRACE_S = 3.0


class Node:
    """A node that runs while the context is open; entering gives its `NodeApi`.

    `plugins` default to the installed ones, `specs` are `--plugins` flags. `services` says whether service plugins
    (the HTTP API) run beside it. Leaving the context drains, announces the departure and stops. Raises `ConfigError`,
    `PluginError`, `StorageError` or `TransportError` when it cannot start.
    """

    def __init__(
        self,
        config: NodeConfig,
        *,
        plugins: Plugins | None = None,
        specs: tuple[str, ...] = (),
        services: bool = False,
        seed: int | None = None,
    ) -> None:
        self._config = config
        self._plugins = plugins or load_plugins(block=config.plugins.block, require=config.plugins.require)
        self._specs = specs
        self._services = services
        self._seed = seed
        self._exit = AsyncExitStack()
        self._observers = Observers(self._plugins.loaded)
        self._observed = anyio.Event()
        self._narrator = Narrator()
        self._early: list[Occurrence] = []
        self._node: RunningNode | None = None
        self.endpoints: Mapping[Plane, Endpoint] = {}
        self.served: dict[str, Endpoint] = {}
        self.driver: Driver | None = None
        self.grace_s = GRACE_S
        self.departed = False

    async def __aenter__(self) -> RunningNode:
        await self._exit.__aenter__()
        try:
            return await self._start()
        except BaseException as error:
            cause = await self._undo(error)
            if cause is not error:
                raise cause from None
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._node is not None and kind is None and not self.departed:
            await self._node.depart(self.grace_s)
        try:
            return await self._exit.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            if error is not None and _only(group) is error:
                return False  # the body's own error comes out as it is, not wrapped by the node's tasks
            raise

    async def _undo(self, error: BaseException) -> BaseException:
        """Stop what was started; gives the one error that says why, out of the groups that tasks wrap it in."""
        try:
            await self._exit.__aexit__(type(error), error, error.__traceback__)
        except BaseExceptionGroup as group:
            return _only(group) or group
        return (_only(error) or error) if isinstance(error, BaseExceptionGroup) else error

    async def _start(self) -> RunningNode:
        parts = assemble(self._config, self._plugins, self._specs, seed=self._seed)
        for warning in (*self._config.warnings, *parts.resolved.warnings):
            logger.warning("%s", warning)
        driver = Driver(parts.make_core, parts.transport, parts.journal, self._on_occurrence)
        self.driver = driver
        tasks = await self._exit.enter_async_context(anyio.create_task_group())
        self._exit.callback(tasks.cancel_scope.cancel)
        self.endpoints = await tasks.start(driver.run, parts.listen)
        timeout_s = _proposal_timeout_s(parts.resolved.pools.values())
        node = self._node = RunningNode(driver, parts.transport_name, timeout_s)
        for occurrence in self._early:
            node.on_occurrence(occurrence)
        self._early.clear()
        tasks.start_soon(self._observe)
        if self._services:
            context = self._service_context(node, parts.authenticator)
            for name, spec in sorted(self._plugins.services.items()):
                run = partial(_run_service, spec, context, parts.resolved.services[name])
                self.served.update(await tasks.start(supervise, name, run))
        return node

    def _service_context(self, node: RunningNode, authenticator: Authenticator | None) -> ServiceContext:
        network, monitoring = self._config.network, self._config.monitoring
        host = self._service_host()
        metrics = Endpoint(host, monitoring.metrics_port) if monitoring.metrics_enabled else None
        return ServiceContext(
            node=node,
            http=Endpoint(host, network.listen_port),
            metrics=metrics,
            config=cast("Mapping[str, Json]", msgspec.to_builtins(self._config.redacted())),
            plugins=self._plugins.as_json(),
            authenticator=authenticator,
        )

    def _service_host(self) -> str:
        """Where services listen: as configured; loopback if nothing was said and nobody would be authenticated."""
        config = self._config
        if ("network", "listen_host") in config.origins or config.security.authentication is not None:
            return config.network.listen_host
        logger.warning("no authentication is configured: the HTTP API listens on loopback only")
        return "127.0.0.1"

    def _on_occurrence(self, occurrence: Occurrence) -> None:
        self._narrator.tell(occurrence)
        if self._node is None:
            self._early.append(occurrence)
        else:
            self._node.on_occurrence(occurrence)
        if self._observers.publish(occurrence):
            self._observed.set()

    async def _observe(self) -> None:
        while True:
            await self._observed.wait()
            self._observed = anyio.Event()
            while self._observers.drain():
                await anyio.sleep(0)

    async def wait_stopped(self) -> str:
        """Wait until the node is to stop: the reason if it must (another node has its id), empty if it was asked to."""
        assert self._node is not None
        assert self.driver is not None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._cancel_after, self._node.stopping, tasks.cancel_scope)
            tasks.start_soon(self._cancel_after, self.driver.stopped, tasks.cancel_scope)
        return self.driver.stop_reason

    @staticmethod
    async def _cancel_after(event: anyio.Event, scope: anyio.CancelScope) -> None:
        await event.wait()
        scope.cancel()

    def __repr__(self) -> str:
        return f"Node({self._config.node.id!r})"


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """The one error in a group of groups, if there is just one."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return None if isinstance(error, BaseExceptionGroup) else error


async def _run_service(spec: ServiceSpec[Any], context: ServiceContext, options: Struct, task_status: Any) -> None:
    await spec.run(context, options, task_status)


def _proposal_timeout_s(pools: Any) -> float:
    """The consensus option `proposal_timeout` where the chosen engine has one."""
    found = [getattr(pool.consensus.options, "proposal_timeout", 10.0) for pool in pools]
    return float(max(found))
