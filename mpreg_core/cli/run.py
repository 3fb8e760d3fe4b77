"""`mpreg run`: a node until SIGTERM or SIGINT, which drains it, announces its departure and stops it."""

import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpreg_core.cli.exits import DONE, NO, REFUSED, fail, say

if TYPE_CHECKING:
    from mpreg_core.config.model import NodeConfig
    from mpreg_core.plugin.registry import Plugins

BACKENDS = ("asyncio", "trio")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What `run` was asked for: a file, `--set`s, flags that stand for keys (None = not given), `--plugins`."""

    config: str | None = None
    sets: Sequence[str] = ()
    overrides: Mapping[str, object] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    backend: str = "asyncio"


def command(
    config: Annotated[
        str | None, typer.Option(metavar="FILE", help="Configuration file; default MPREG_CONFIG_PATH.")
    ] = None,
    node_id: Annotated[str | None, typer.Option(metavar="ID", help="The node's id: node.id.")] = None,
    hub_tier: Annotated[
        str | None, typer.Option(metavar="TIER", help="global, regional, local or cluster: node.hub_tier.")
    ] = None,
    parent_hub: Annotated[str | None, typer.Option(metavar="ID", help="The hub above: node.parent_hub.")] = None,
    plugins: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEC", help="Strategies to run: [TIER:][FAMILY=]NAME, comma-separated or repeated."),
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="A key, over the file.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="DEBUG, INFO, WARNING, ERROR: logging.level.")
    ] = None,
    log_format: Annotated[str | None, typer.Option(metavar="FORMAT", help="json or console: logging.format.")] = None,
    metrics_enabled: Annotated[bool | None, typer.Option(help="Serve metrics: monitoring.metrics_enabled.")] = None,
    backend: Annotated[str, typer.Option(metavar="NAME", help="asyncio or trio.")] = "asyncio",
) -> None:
    """Run a node until SIGTERM or SIGINT; a second signal stops it at once."""
    overrides = {
        "node.id": node_id,
        "node.hub_tier": hub_tier,
        "node.parent_hub": parent_hub,
        "logging.level": log_level,
        "logging.format": log_format,
        "monitoring.metrics_enabled": metrics_enabled,
    }
    raise SystemExit(run(RunOptions(config, sets or (), overrides, tuple(plugins or ()), backend)))


def run(options: RunOptions) -> int:
    """Run a node; gives the exit code."""
    from mpreg_core.config.load import load_config
    from mpreg_core.errors import ConfigError, MpregError, PluginError
    from mpreg_core.observe.log import configure
    from mpreg_core.plugin.discovery import load_plugins

    if options.backend not in BACKENDS:
        fail(f"--backend: expected one of {', '.join(BACKENDS)}, got {options.backend!r}", 2)
    try:
        raise_file_limit()
        config = load_config(options.config, sets=options.sets, overrides=options.overrides)
        configure(config.logging.level, config.logging.format, sys.stderr)
        plugins = load_plugins(block=config.plugins.block, require=config.plugins.require)
        return _serve(config, plugins, options)
    except (ConfigError, PluginError) as error:
        say(f"mpreg: {error}")
        return REFUSED
    except MpregError as error:
        say(f"mpreg: {error}")
        return NO


def _serve(config: "NodeConfig", plugins: "Plugins", options: RunOptions) -> int:
    import anyio

    backend_options: dict[str, Any] = {"use_uvloop": True} if options.backend == "asyncio" and has_uvloop() else {}
    return anyio.run(_main, config, plugins, options, backend=options.backend, backend_options=backend_options)


def raise_file_limit() -> None:
    """Let the process open as many files as it may: a hub holds many connections, and the usual 1024 are soon gone."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # macOS claims no limit and takes none above the kernel's own
        logging.getLogger("mpreg.run").debug("the limit of open files stays at %d", soft)


def has_uvloop() -> bool:
    """True where uvloop is installed."""
    from importlib.util import find_spec

    return find_spec("uvloop") is not None


async def _main(config: "NodeConfig", plugins: "Plugins", options: RunOptions) -> int:
    import anyio

    from mpreg_core.embed.node import Node

    log = logging.getLogger("mpreg.run")
    runner = Node(config, plugins=plugins, specs=options.plugins, services=True)
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with runner as node:
            listening = ", ".join(f"{plane} {endpoint}" for plane, endpoint in sorted(runner.endpoints.items()))
            served = "".join(f", {name} {endpoint}" for name, endpoint in sorted(runner.served.items()))
            log.info("node %s (%s) listens: %s%s", config.node.id, config.node.hub_tier, listening, served)
            reason: list[str] = []
            async with anyio.create_task_group() as tasks:

                async def until_asked() -> None:
                    reason.append(await runner.wait_stopped())
                    tasks.cancel_scope.cancel()

                async def until_signal() -> None:
                    async for number in signals:
                        log.info("got %s: draining", signal.Signals(number).name)
                        tasks.cancel_scope.cancel()
                        return

                tasks.start_soon(until_asked)
                tasks.start_soon(until_signal)
            if reason and reason[0]:
                log.error("stopping: %s", reason[0])
                runner.grace_s = 0.0
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_at_once, signals)
                await node.depart(runner.grace_s)
                tasks.cancel_scope.cancel()
            runner.departed = True
    log.info("node %s stopped", config.node.id)
    return NO if reason and reason[0] else DONE


async def _at_once(signals: Any) -> None:
    """A second signal ends the process without more ado."""
    async for _ in signals:
        os._exit(NO)
