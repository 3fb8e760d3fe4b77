"""From what an author names, `module:SPEC` or a distribution, to the specs behind it."""

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution

from mpreg_core.contracts.merge import MergePolicySpec
from mpreg_core.contracts.strategy import AnySpec, StrategySpec
from mpreg_core.errors import InvalidInputError, did_you_mean
from mpreg_core.plugin.discovery import load_plugins

GROUP = "mpreg.v1"


def specs_of(target: str) -> Sequence[tuple[str, AnySpec | MergePolicySpec]]:
    """The specs that a target names, each with a name that `spec_named` takes. Raises `InvalidInputError`."""
    if ":" in target:
        return [(target, spec_named(target))]
    try:
        entries = [entry for entry in distribution(target).entry_points if entry.group == GROUP]
    except PackageNotFoundError:
        plugins = load_plugins()
        known = sorted({plugin.found.distribution for plugin in plugins.loaded})
        raise InvalidInputError(
            f"expected an installed distribution or module:SPEC, got {target!r}{did_you_mean(target, known)}",
            where="TARGET",
        ) from None
    if not entries:
        raise InvalidInputError(
            f"{target} has no entry point in the group {GROUP}: it is no mpreg plugin", where="TARGET"
        )
    plugins = load_plugins(entry_points=entries)
    for failure in plugins.failures:
        raise InvalidInputError(f"{target} does not load: {failure.error}", where="TARGET")
    specs = [strategy.spec for strategy in plugins.strategies.values()]
    found: list[tuple[str, AnySpec | MergePolicySpec]] = [
        (f"{target}={spec.family}={spec.name}", spec) for spec in specs
    ]
    found += [(f"{target}=merge_policy={name}", spec) for name, spec in plugins.merges.items()]
    if not found:
        raise InvalidInputError(
            f"{target} provides no strategy or merge policy: services and commands have no kit", where="TARGET"
        )
    return found


def spec_named(name: str) -> AnySpec | MergePolicySpec:
    """The spec of `module:ATTRIBUTE`, or of `distribution=family=strategy`. Raises `InvalidInputError`."""
    if "=" in name:
        return next(spec for known, spec in specs_of(name.partition("=")[0]) if known == name)
    module, _, attribute = name.partition(":")
    try:
        spec = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInputError(f"expected module:SPEC, got {name!r}: {error}", where="TARGET") from error
    if not isinstance(spec, StrategySpec | MergePolicySpec):
        raise InvalidInputError(
            f"expected {name} to be the spec of a strategy or merge policy, got {type(spec).__name__}", where="TARGET"
        )
    return spec  # type: ignore[return-value]


def name_of(spec: AnySpec) -> str:
    """A name under which `spec_named` finds a spec again in another process; empty where it has none."""
    module = spec.create.__module__
    package = module.rpartition(".")[0]
    for home in (module, f"{package}.plugin" if package else ""):
        try:
            held = vars(import_module(home)) if home else {}
        except ImportError:
            continue
        for attribute, value in held.items():
            if value is spec:
                return f"{home}:{attribute}"
    for strategy in load_plugins().strategies.values():
        if strategy.spec is spec:
            return f"{strategy.found.distribution}={spec.family}={spec.name}"
    return ""
