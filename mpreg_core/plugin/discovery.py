"""Finds plugins by their entry points and loads them, each on its own, so that a broken one harms nothing else.

Order is by distribution and entry point, whatever the file system says. The block list acts before import. Pluggy
checks that a plugin's hooks are ones there are, with arguments they have; a manager per plugin keeps them apart.
"""

import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any

import pluggy

from mpreg_core.contracts.merge import MergePolicySpec
from mpreg_core.contracts.service import ServiceSpec
from mpreg_core.contracts.strategy import (
    AnySpec,
    ConsensusSpec,
    FailureDetectorSpec,
    GossipSpec,
    RouterSpec,
    StrategySpec,
    TransportSpec,
)
from mpreg_core.errors import ConfigError, ContractViolationError, PluginError, PluginLoadError, did_you_mean
from mpreg_core.plugin import hookspecs
from mpreg_core.plugin.hookspecs import ENTRY_POINT_GROUP, PROJECT
from mpreg_core.plugin.registry import Failure, Found, Loaded, Plugins, Skipped
from mpreg_core.plugin.requirements import normalised, parse_requirement
from mpreg_core.plugin.shape import check_merge_policy_shape, check_service_shape, check_strategy_shape

IN_PROCESS = "in this process"
"""The distribution that errors name for a plugin handed over by the program itself."""

_GROUP = re.compile(r"mpreg\.v\d+")
_PROVIDES: dict[str, type[StrategySpec[Any]] | type[ServiceSpec[Any]] | type[MergePolicySpec]] = {
    "mpreg_transports": TransportSpec,
    "mpreg_gossip_strategies": GossipSpec,
    "mpreg_failure_detectors": FailureDetectorSpec,
    "mpreg_consensus_engines": ConsensusSpec,
    "mpreg_routers": RouterSpec,
    "mpreg_services": ServiceSpec,
    "mpreg_merge_policies": MergePolicySpec,
}
HOOKS = (*_PROVIDES, "mpreg_commands", "mpreg_on_event")
"""The hooks there are."""


def load_plugins(
    *,
    block: Sequence[str] = (),
    require: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    entry_points: Iterable[metadata.EntryPoint] | None = None,
    extra: Sequence[tuple[str, object]] = (),
) -> Plugins:
    """Load the installed plugins, and `extra` ones: (name, module or object with hooks) of the program itself.

    `block` names entry points or distributions, as does `MPREG_PLUGINS_BLOCK` (comma-separated); `MPREG_PLUGINS=none`
    blocks all installed ones. A plugin that fails is among the `failures` of the result. Raises
    `DuplicateStrategyError`; and for each of `require` that is not there in that version, or failed, a `PluginError`.
    """
    env = os.environ if env is None else env
    if env.get("MPREG_PLUGINS", "") not in ("", "none"):
        text = "environment variable MPREG_PLUGINS: expected none, got something else; choose strategies by --plugins"
        raise ConfigError(text)
    blocked = {normalised(name.strip()) for name in (*block, *env.get("MPREG_PLUGINS_BLOCK", "").split(","))}
    loaded: list[Loaded] = []
    failures: list[Failure] = []
    skipped: list[Skipped] = []
    for found in find_plugins(entry_points):
        if found.group != ENTRY_POINT_GROUP:
            reason = f"built for {found.group}, this core speaks {ENTRY_POINT_GROUP}"
            skipped.append(Skipped(found, reason))
        elif env.get("MPREG_PLUGINS") == "none" or blocked & {normalised(found.name), normalised(found.distribution)}:
            skipped.append(Skipped(found, "blocked"))
        else:
            _load_into(found, loaded, failures)
    for name, plugin in extra:
        _load_into(Found(name, ENTRY_POINT_GROUP, IN_PROCESS, "", _giver(plugin)), loaded, failures)
    plugins = Plugins(loaded, failures, skipped)
    for text in require:
        _require(text, plugins)
    return plugins


def find_plugins(entry_points: Iterable[metadata.EntryPoint] | None = None) -> list[Found]:
    """The plugins that the installed distributions name, of any contract version; nothing is imported."""
    if entry_points is None:
        installed = metadata.entry_points()
        entry_points = [entry for group in installed.groups for entry in installed.select(group=group)]
    found = []
    for entry in entry_points:
        if _GROUP.fullmatch(entry.group):
            name, version = (entry.dist.name, entry.dist.version) if entry.dist else ("", "")
            found.append(Found(entry.name, entry.group, name, version, entry.load))
    return sorted(found, key=lambda plugin: (plugin.distribution, plugin.name, plugin.group))


def _giver(plugin: object) -> Callable[[], object]:
    return lambda: plugin


def _load_into(found: Found, loaded: list[Loaded], failures: list[Failure]) -> None:
    try:
        loaded.append(_load(found))
    except KeyboardInterrupt:
        raise
    except PluginError as error:
        error.plugin, error.distribution = found.name, found.source
        error.where = f"plugin {found.name} ({found.source})"
        failures.append(Failure(found, error))
    except BaseException as error:  # a module may do anything while it is imported, SystemExit included
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        failure = PluginLoadError(reason, plugin=found.name, distribution=found.source)
        failure.__cause__ = error
        failures.append(Failure(found, failure))


def _load(found: Found) -> Loaded:
    module = found.load()
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, found.name)
    except pluggy.PluginValidationError as error:
        raise ContractViolationError(" ".join(str(error).split())) from error
    callers = manager.get_hookcallers(module) or []
    if not callers:
        raise ContractViolationError("it has no function marked with @hookimpl, so it provides nothing")
    used: set[str] = set()
    for caller in callers:
        name, hook = caller.name, caller.get_hookimpls()[0]
        if not caller.has_spec():
            raise ContractViolationError(
                f"unknown hook {name!r}{did_you_mean(name, HOOKS)} (known: {', '.join(HOOKS)})"
            )
        if hook.wrapper or hook.hookwrapper or inspect.iscoroutinefunction(hook.function):
            raise ContractViolationError(f"{name}: expected a plain function, got a wrapper or an async one")
        used.add(name)
    strategies: list[AnySpec] = []
    services: list[ServiceSpec[Any]] = []
    merges: list[MergePolicySpec] = []
    for name, kind in _PROVIDES.items():
        for spec in _provided(manager, name, kind) if name in used else ():
            if isinstance(spec, ServiceSpec):
                check_service_shape(spec)
                services.append(spec)
            elif isinstance(spec, MergePolicySpec):
                check_merge_policy_shape(spec)
                merges.append(spec)
            else:
                check_strategy_shape(spec)
                strategies.append(spec)
    hooks = manager.hook
    return Loaded(
        found,
        tuple(strategies),
        tuple(services),
        tuple(merges),
        commands=(lambda: hooks.mpreg_commands()[0]) if "mpreg_commands" in used else None,
        observe=(lambda occurrence: hooks.mpreg_on_event(event=occurrence)) if "mpreg_on_event" in used else None,
    )


def _provided(manager: pluggy.PluginManager, name: str, kind: type) -> Sequence[Any]:
    """What a providing hook returns. Pluggy leaves out None, which is nothing anyway."""
    results: list[object] = getattr(manager.hook, name)()
    specs = results[0] if results else ()
    if not isinstance(specs, list | tuple):
        raise ContractViolationError(f"{name}: expected a list or tuple of {kind.__name__}, got {specs!r}")
    for spec in specs:
        if not isinstance(spec, kind):
            raise ContractViolationError(f"{name}: expected a {kind.__name__}, got {spec!r}")
    return specs


def _require(text: str, plugins: Plugins) -> None:
    requirement = parse_requirement(text)
    everything: tuple[Loaded | Failure | Skipped, ...] = (*plugins.loaded, *plugins.failures, *plugins.skipped)
    named = [plugin for plugin in everything if normalised(plugin.found.distribution) == requirement.name]
    if not named:
        raise PluginError(f"plugins.require: expected {requirement.text} to be installed, found no such plugin")
    for plugin in named:
        if isinstance(plugin, Failure):
            raise plugin.error
        if isinstance(plugin, Skipped):
            raise PluginError(f"plugins.require: {requirement.text} is not loaded: {plugin.reason}")
        if not requirement.accepts(plugin.found.version):
            raise PluginError(f"plugins.require: expected {requirement.text}, got version {plugin.found.version}")
