"""Which strategy each pool runs and with which options: `--plugins` over `tiers.<tier>` over the section over defaults.

Options are laid over each other in the same order and decoded strictly by the strategy's own Struct. One kind of
option is let go with a warning: a key written for another strategy, which the one chosen by a stronger layer does not
have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from msgspec import Struct

from mpreg_core.config.decode import FAILED, Decoder, field_types, unknown_key
from mpreg_core.config.load import POOL_TIERS
from mpreg_core.config.model import DEFAULT_STRATEGIES, Choice, NodeConfig
from mpreg_core.config.problems import ConfigProblems, Path, Problem, problem_at
from mpreg_core.config.redact import is_secret_key
from mpreg_core.config.selection import Selection, parse_selection
from mpreg_core.contracts.strategy import (
    AnyConsensusSpec,
    AnyFailureDetectorSpec,
    AnyGossipSpec,
    AnyRouterSpec,
    AnyTransportSpec,
)
from mpreg_core.errors import PluginError
from mpreg_core.ids import FAMILIES, Family, PoolTier
from mpreg_core.plugin.registry import Plugins, Strategy

SpecT = TypeVar("SpecT")

HANDED_ON: tuple[tuple[str, str, Family, str], ...] = (
    ("network", "tcp_nodelay", "transport", "tcp_nodelay"),
    ("network", "tcp_keepalive", "transport", "tcp_keepalive"),
    ("network", "connection_pooling", "transport", "connection_pooling"),
    ("network", "max_connections_per_node", "transport", "max_connections_per_node"),
    ("network", "connection_timeout", "transport", "connection_timeout"),
    ("memory", "max_gossip_messages", "gossip", "max_gossip_messages"),
    ("memory", "max_graph_cache_size", "routing", "max_graph_cache_size"),
    ("memory", "max_consensus_proposals", "consensus", "max_proposals"),
)
"""(section, key, family, option): a key outside the family's section that is its strategy's option, if it has that."""


@dataclass(frozen=True, slots=True)
class Chosen(Generic[SpecT]):
    """A strategy with its decoded options; `source` is its distribution and version."""

    spec: SpecT
    options: Struct
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStrategies:
    """What a pool of a tier runs."""

    transport: Chosen[AnyTransportSpec]
    gossip: Chosen[AnyGossipSpec]
    failure_detector: Chosen[AnyFailureDetectorSpec]
    consensus: Chosen[AnyConsensusSpec]
    routing: Chosen[AnyRouterSpec]

    def names(self) -> dict[Family, str]:
        """Family -> strategy, for status."""
        return {family: getattr(self, family).spec.name for family in FAMILIES}


@dataclass(frozen=True, slots=True)
class Resolved:
    """The strategies by tier, the options of every service by its name, and what was ignored on the way."""

    pools: Mapping[PoolTier, PoolStrategies]
    services: Mapping[str, Struct]
    warnings: tuple[Problem, ...]


def resolve(
    config: NodeConfig,
    plugins: Plugins,
    specs: Sequence[str] = (),
    tiers: Sequence[PoolTier] = POOL_TIERS,
) -> Resolved:
    """The strategies of the pools of `tiers`; `specs` are `--plugins` flags. Raises `ConfigProblems` with them all.

    A node resolves the tiers of its own pools, so that a file shared by all nodes may name strategies for other tiers
    that are not installed here.
    """
    selection = parse_selection(specs, plugins)
    work = _Resolver(config, plugins, selection)
    pools = {tier: work.pool(tier) for tier in tiers}
    services = work.services()
    if problems := [*selection.problems, *work.problems]:
        raise ConfigProblems(problems) from work.cause
    whole = {tier: pool for tier, pool in pools.items() if pool is not None}
    failed = [Problem("", 0, "", f"{failure.error}; nothing was chosen from it") for failure in plugins.failures]
    return Resolved(whole, services, tuple(dict.fromkeys((*work.warnings, *failed))))


@dataclass(frozen=True, slots=True)
class _Option:
    """An option's value, the key path it was written at, and the strategy it was written for."""

    value: object
    path: Path
    written_for: str


class _Resolver:
    def __init__(self, config: NodeConfig, plugins: Plugins, selection: Selection) -> None:
        self.config = config
        self.plugins = plugins
        self.selection = selection
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.cause: PluginError | None = None

    def pool(self, tier: PoolTier) -> PoolStrategies | None:
        chosen = {family: self.choose(tier, family) for family in FAMILIES}
        if None in chosen.values():
            return None
        return PoolStrategies(**cast("dict[str, Any]", chosen))

    def services(self) -> dict[str, Struct]:
        """The options of every service, by its name."""
        given = self.config.plugins.options
        known = self.plugins.services
        for name in sorted(given.keys() - known.keys()):
            reason = self.plugins.failure_of(name)
            message = str(reason) if reason else unknown_key(name, list(known))
            self.problems.append(self._at(("plugins", "options", name), message))
        decoded: dict[str, Struct] = {}
        for name, spec in known.items():
            decoder = Decoder(self.config.origins, suffix=f" (option of {name})")
            decoded[name] = (
                decoder.struct(spec.options, given.get(name), ("plugins", "options", name)) or spec.options()
            )
            self.problems += decoder.problems
        return decoded

    def choose(self, tier: PoolTier, family: Family) -> Chosen[Any] | None:
        """The strategy of one family in one tier with its options; None with a problem."""
        section = self.config.choice(family)
        override = self.config.tiers.get(tier, {}).get(family, Choice())
        base = section.strategy or DEFAULT_STRATEGIES[family]
        own = override.strategy or base
        name = self.selection.name(tier, family) or own
        try:
            strategy = self.plugins.find(family, name)
        except PluginError as error:
            self.cause = self.cause or error
            named_in = override if override.strategy else section
            self.problems.append(self._at((*named_in.path, "strategy"), str(error)))
            return None
        options = self._handed_on(strategy)
        for choice, written_for, weaker in ((section, base, DEFAULT_STRATEGIES[family]), (override, own, base)):
            for key, value in choice.options.items():
                for_whom = (choice.written_for[key] or weaker) if key in choice.written_for else written_for
                options[key] = _Option(value, (*choice.path, key), for_whom)
        return self._decode(strategy, options, override.path if override.options else section.path)

    def _handed_on(self, strategy: Strategy) -> dict[str, _Option]:
        spec = strategy.spec
        options: dict[str, _Option] = {}
        for section, key, family, option in HANDED_ON:
            value = getattr(getattr(self.config, section), key)
            if value is None or family != spec.family:
                continue
            if option in field_types(spec.options):
                options[option] = _Option(value, (section, key), spec.name)
            else:
                message = f"ignored: {family} strategy {spec.name} has no such option"
                self.warnings.append(self._at((section, key), message))
        return options

    def _decode(self, strategy: Strategy, options: Mapping[str, _Option], path: Path) -> Chosen[Any] | None:
        spec, source = strategy.spec, strategy.found.source
        types_of = field_types(spec.options)
        decoder = Decoder(self.config.origins, suffix=f" (option of {spec.name}, {source})")
        values: dict[str, object] = {}
        for key, option in options.items():
            if key in types_of:
                values[key] = decoder.value(types_of[key], option.value, option.path, is_secret_key(key))
            elif option.written_for == spec.name:
                decoder.problem(option.path, unknown_key(key, list(types_of)))
            else:
                self._unused(spec.family, spec.name, key, option)
        if FAILED not in values.values():
            built = decoder.build(spec.options, values, path)
            if built is not None and not decoder.problems:
                return Chosen(spec, built, source)
        self.problems += decoder.problems
        return None

    def _unused(self, family: Family, chosen: str, key: str, option: _Option) -> None:
        """An option that the chosen strategy lacks: fine if the one it was written for has it, or is not installed."""
        other = self.plugins.strategies.get((family, option.written_for))
        if other is not None and key not in field_types(other.spec.options):
            self.problems.append(self._at(option.path, unknown_key(key, list(field_types(other.spec.options)))))
        else:
            message = f"ignored: {family} strategy {chosen} has no such option; it was written for {option.written_for}"
            self.warnings.append(self._at(option.path, message))

    def _at(self, path: Path, message: str) -> Problem:
        return problem_at(path, message, self.config.origins)
