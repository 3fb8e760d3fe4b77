"""What the installed plugins provide, by family and name, and which of them could not be used and why."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from mpreg_core.contracts.api import Json
from mpreg_core.contracts.events import Occurrence
from mpreg_core.contracts.merge import MergePolicySpec
from mpreg_core.contracts.service import ServiceSpec
from mpreg_core.contracts.strategy import AnySpec
from mpreg_core.errors import DuplicateStrategyError, PluginError, UnknownStrategyError
from mpreg_core.ids import FAMILIES, Family

if TYPE_CHECKING:
    from typer import Typer

NamedT = TypeVar("NamedT", ServiceSpec[Any], MergePolicySpec)


@dataclass(frozen=True, slots=True)
class Found:
    """A plugin that metadata speak of: entry point `name` in `group`, from a distribution. `load` imports it."""

    name: str
    group: str
    distribution: str
    version: str
    load: Callable[[], object] = field(compare=False, repr=False)

    @property
    def source(self) -> str:
        """Distribution and version, as errors name them."""
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plugin that was imported and is sound. `commands` makes its Typer app, `observe` sees every event."""

    found: Found
    strategies: tuple[AnySpec, ...] = ()
    services: tuple[ServiceSpec[Any], ...] = ()
    merges: tuple[MergePolicySpec, ...] = ()
    commands: "Callable[[], Typer] | None" = None
    observe: Callable[[Occurrence], None] | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A plugin that provides nothing because of `error`."""

    found: Found
    error: PluginError


@dataclass(frozen=True, slots=True)
class Skipped:
    """A plugin that was not imported: blocked, or built for another contract."""

    found: Found
    reason: str


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy and the plugin it comes from."""

    spec: AnySpec
    found: Found


class Plugins:
    """The plugins of this process, each list by distribution and entry point.

    Raises `DuplicateStrategyError` if two strategies share family and name, or two services or policies their name.
    """

    def __init__(
        self, loaded: Sequence[Loaded] = (), failures: Sequence[Failure] = (), skipped: Sequence[Skipped] = ()
    ) -> None:
        self.loaded = tuple(loaded)
        self.failures = tuple(failures)
        self.skipped = tuple(skipped)
        self.strategies: Mapping[tuple[Family, str], Strategy] = _strategies(self.loaded)
        self.services: Mapping[str, ServiceSpec[Any]] = _unique(self.loaded, "service", lambda plugin: plugin.services)
        self.merges: Mapping[str, MergePolicySpec] = _unique(self.loaded, "merge policy", lambda plugin: plugin.merges)

    def names(self, family: Family) -> list[str]:
        """The names of a family's strategies, sorted."""
        return sorted(name for its_family, name in self.strategies if its_family == family)

    def find(self, family: Family, name: str) -> Strategy:
        """A strategy. Raises the error of the plugin called so if that failed, else `UnknownStrategyError`."""
        strategy = self.strategies.get((family, name))
        if strategy is not None:
            return strategy
        raise self.missing(family, name, self.names(family))

    def failure_of(self, name: str) -> PluginError | None:
        """Why the plugin whose entry point is called so failed, if it did."""
        return next((failure.error for failure in self.failures if failure.found.name == name), None)

    def missing(self, what: str, name: str, known: Sequence[str]) -> PluginError:
        """The error about a strategy that is not there: the failure of the plugin called so, or what there is."""
        if failed := self.failure_of(name):
            return failed
        error = UnknownStrategyError(what, name, known)
        if self.failures:  # one of them might have provided it
            names = (f"{failure.found.name} ({failure.found.source})" for failure in self.failures)
            error.message += f"; failed to load, see mpreg plugins: {', '.join(names)}"
        for skipped in self.skipped:
            if skipped.found.name == name:
                error.message += f"; plugin {name} ({skipped.found.source}) is not loaded: {skipped.reason}"
        return error

    def as_json(self) -> Json:
        """Every plugin, with what it provides or why it does not, as `mpreg plugins list --output json` prints it."""
        rows: list[tuple[Found, dict[str, Json]]] = []
        for plugin in self.loaded:
            provided: list[Json] = [
                {"family": spec.family, "name": spec.name, "summary": spec.summary} for spec in plugin.strategies
            ]
            services: list[Json] = [spec.name for spec in plugin.services]
            policies: list[Json] = [f"custom:{spec.name}" for spec in plugin.merges]
            about: dict[str, Json] = {"strategies": provided, "services": services, "policies": policies}
            rows.append((plugin.found, {"status": "loaded", **about}))
        rows += [(failure.found, {"status": "failed", "error": str(failure.error)}) for failure in self.failures]
        rows += [(skipped.found, {"status": "skipped", "error": skipped.reason}) for skipped in self.skipped]
        rows.sort(key=lambda row: (row[0].distribution, row[0].name, row[0].group))
        return [
            {"name": found.name, "distribution": found.distribution, "version": found.version, **row}
            for found, row in rows
        ]


def _strategies(loaded: Iterable[Loaded]) -> dict[tuple[Family, str], Strategy]:
    found: dict[tuple[Family, str], Strategy] = {}
    for plugin in loaded:
        for spec in plugin.strategies:
            key = (spec.family, spec.name)
            if key in found:
                raise _duplicate(f"{spec.family} strategy {spec.name!r}", found[key].found, plugin.found)
            found[key] = Strategy(spec, plugin.found)
    return dict(sorted(found.items(), key=lambda item: (FAMILIES.index(item[0][0]), item[0][1])))


def _unique(loaded: Iterable[Loaded], what: str, provided: Callable[[Loaded], Sequence[NamedT]]) -> dict[str, NamedT]:
    found: dict[str, tuple[NamedT, Found]] = {}
    for plugin in loaded:
        for spec in provided(plugin):
            if spec.name in found:
                raise _duplicate(f"{what} {spec.name!r}", found[spec.name][1], plugin.found)
            found[spec.name] = (spec, plugin.found)
    return {name: spec for name, (spec, _) in sorted(found.items())}


def _duplicate(what: str, first: Found, second: Found) -> DuplicateStrategyError:
    return DuplicateStrategyError(
        f"{what} is provided by {first.source} (plugin {first.name}) and {second.source} (plugin {second.name}); "
        "uninstall one of them, or name it in plugins.block",
        plugin=second.name,
        distribution=second.source,
    )
