"""Finding plugins: real distributions in a folder on the path, with the metadata and imports of life."""

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from msgspec import Struct

from mpreg_core import (
    API_MINOR,
    ConfigError,
    GossipSpec,
    Occurrence,
    PluginError,
    PoolLeft,
    RouterSpec,
    ServiceSpec,
    UnknownStrategyError,
    hookimpl,
)
from mpreg_core.errors import ApiMismatchError, ContractViolationError, DuplicateStrategyError, PluginLoadError
from mpreg_core.plugin.discovery import find_plugins, load_plugins
from mpreg_core.plugin.registry import Plugins

ROUTER = """
from msgspec import Struct
from mpreg_core import RouterSpec, hookimpl
class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    depth: int = 1
def create(context, options):
    raise AssertionError
SPEC = RouterSpec(name="NAME", summary="routes", options=Options, create=create)
@hookimpl
def mpreg_routers():
    return [SPEC]
"""

Install = Callable[..., list[metadata.EntryPoint]]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a distribution with one plugin; gives the entry points of all that it installed."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, source: str, *, version: str = "0.1.0", entry: str = "", group: str = "mpreg.v1") -> Any:
        module = f"made_{name.replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entry or name} = {module}\n")
        found = metadata.distributions(path=[str(tmp_path)])
        return [entry for distribution in found for entry in distribution.entry_points]

    yield install
    for added in set(sys.modules) - before:
        if added.startswith("made_"):
            del sys.modules[added]


def router(name: str) -> str:
    return ROUTER.replace("NAME", name)


def load(entry_points: Sequence[metadata.EntryPoint] = (), env: dict[str, str] | None = None, **more: Any) -> Plugins:
    return load_plugins(env=env or {}, entry_points=entry_points, **more)


# finding and loading


def test_a_plugin_is_found_by_its_entry_point_with_distribution_and_version(install: Install) -> None:
    plugins = load(install("dist-a", router("ring"), version="1.4", entry="a"))
    strategy = plugins.find("routing", "ring")
    assert (strategy.found.name, strategy.found.distribution, strategy.found.version) == ("a", "dist-a", "1.4")
    assert strategy.found.source == "dist-a 1.4"
    assert strategy.spec.options().depth == 1
    assert plugins.names("routing") == ["ring"]
    assert plugins.names("gossip") == []


def test_installed_plugins_are_found_without_a_list(install: Install) -> None:
    install("dist-zz", router("ring"))
    names = [found.distribution for found in find_plugins()]
    assert "dist-zz" in names
    assert names == sorted(names)
    assert "made_dist_zz" not in sys.modules


def test_plugins_load_in_order_of_distribution_and_name_whatever_the_order_found(install: Install) -> None:
    for name in ("dist-b", "dist-c", "dist-a"):
        entries = install(name, router(name))
    for order in (entries, entries[::-1]):
        assert [plugin.found.distribution for plugin in load(order).loaded] == ["dist-a", "dist-b", "dist-c"]


def test_what_the_program_hands_over_takes_the_same_road() -> None:
    plugins = load(extra=[("mine", made_router(name="mine")), ("broken", SimpleNamespace())])
    assert plugins.find("routing", "mine").found.source == "in this process"
    assert [failure.found.name for failure in plugins.failures] == ["broken"]


@pytest.mark.parametrize(
    ("block", "env"),
    [
        (["a"], {}),
        (["Dist_A"], {}),
        ([], {"MPREG_PLUGINS_BLOCK": "x, dist-a"}),
        ([], {"MPREG_PLUGINS": "none"}),
    ],
)
def test_a_blocked_plugin_is_never_imported(block: list[str], env: dict[str, str], install: Install) -> None:
    plugins = load(install("dist-a", router("ring"), entry="a"), env, block=block)
    assert [(skipped.found.name, skipped.reason) for skipped in plugins.skipped] == [("a", "blocked")]
    assert "made_dist_a" not in sys.modules
    with pytest.raises(UnknownStrategyError, match=r"plugin a \(dist-a 0.1.0\) is not loaded: blocked"):
        plugins.find("routing", "a")


def test_another_value_of_mpreg_plugins_is_refused() -> None:
    with pytest.raises(ConfigError, match="MPREG_PLUGINS: expected none"):
        load(env={"MPREG_PLUGINS": "phi"})


def test_a_plugin_for_another_contract_is_listed_and_never_imported(install: Install) -> None:
    install("dist-a", "raise SystemExit", group="mpreg.v2")
    plugins = load(install("dist-b", "raise SystemExit", group="other.v1"))
    reason = "built for mpreg.v2, this core speaks mpreg.v1"
    assert [(skipped.found.distribution, skipped.reason) for skipped in plugins.skipped] == [("dist-a", reason)]
    assert "made_dist_a" not in sys.modules


# failures


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        ("import no_such_module", PluginLoadError, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", PluginLoadError, "SystemExit: 3"),
        ("x = (", PluginLoadError, "SyntaxError: "),
        ("raise BaseException", PluginLoadError, "BaseException"),
        ("", ContractViolationError, "it has no function marked with @hookimpl, so it provides nothing"),
        (router("x").replace("@hookimpl", ""), ContractViolationError, "it has no function marked with @hookimpl"),
        (
            router("x").replace("mpreg_routers", "mpreg_router"),
            ContractViolationError,
            "unknown hook 'mpreg_router', did you mean 'mpreg_routers'?",
        ),
        (router("x").replace("mpreg_routers()", "mpreg_routers(node)"), ContractViolationError, "mpreg_routers"),
        (
            router("x").replace("def mpreg_", "async def mpreg_"),
            ContractViolationError,
            "mpreg_routers: expected a plain",
        ),
        (router("x").replace("[SPEC]", "1 / 0"), PluginLoadError, "ZeroDivisionError: division by zero"),
        (
            router("x").replace("[SPEC]", "SPEC"),
            ContractViolationError,
            "mpreg_routers: expected a list or tuple of Rou",
        ),
        (router("x").replace("[SPEC]", "[1]"), ContractViolationError, "mpreg_routers: expected a RouterSpec, got 1"),
        (router("x").replace("mpreg_routers", "mpreg_transports"), ContractViolationError, "expected a TransportSpec"),
    ],
    ids=lambda value: str(value)[-40:],
)
def test_a_broken_plugin_is_reported_by_name_and_harms_no_other(
    source: str, error: type[PluginError], text: str, install: Install
) -> None:
    install("dist-a", source, entry="a")
    plugins = load(install("dist-b", router("ring")))
    assert [plugin.found.distribution for plugin in plugins.loaded] == ["dist-b"]
    (failure,) = plugins.failures
    assert type(failure.error) is error
    assert str(failure.error).startswith("plugin a (dist-a 0.1.0): ")
    assert text in str(failure.error)


def test_an_interrupt_while_plugins_load_is_not_swallowed(install: Install) -> None:
    entries = install("dist-a", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load(entries)


def test_the_name_of_a_failed_plugin_leads_to_its_failure(install: Install) -> None:
    plugins = load(install("dist-a", "import no_such_module", entry="ring"))
    with pytest.raises(PluginLoadError, match="no_such_module"):
        plugins.find("routing", "ring")
    with pytest.raises(UnknownStrategyError, match=r"failed to load, see mpreg plugins: ring \(dist-a 0.1.0\)"):
        plugins.find("routing", "other")


def test_one_strategy_from_two_distributions_names_both(install: Install) -> None:
    install("dist-a", router("ring"), version="1.0")
    entries = install("dist-b", router("ring"), version="2.0")
    with pytest.raises(DuplicateStrategyError) as caught:
        load(entries)
    assert "routing strategy 'ring' is provided by dist-a 1.0 (plugin dist-a) and dist-b 2.0 (plugin dist-b)" in str(
        caught.value
    )
    assert load(entries, block=["dist-a"]).find("routing", "ring").found.source == "dist-b 2.0"


# requirements


def test_a_required_plugin_that_is_there_is_fine(install: Install) -> None:
    load(install("dist-a", router("ring"), version="1.5"), require=["Dist.A>=1.2,<2"])


@pytest.mark.parametrize(
    ("require", "block", "text"),
    [
        ("dist-x>=1", [], "expected dist-x>=1 to be installed, found no such plugin"),
        ("dist-a>=2", [], "expected dist-a>=2, got version 1.5"),
        ("dist-a", ["dist-a"], "dist-a is not loaded: blocked"),
        ("dist-b", [], "plugin dist-b (dist-b 0.1.0): SystemExit"),
    ],
)
def test_a_required_plugin_that_is_not_usable_is_fatal(
    require: str, block: list[str], text: str, install: Install
) -> None:
    install("dist-a", router("ring"), version="1.5")
    entries = install("dist-b", "raise SystemExit")
    with pytest.raises(PluginError) as caught:
        load(entries, require=[require], block=block)
    assert text in str(caught.value)


# the shape of what is provided


class Good(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    depth: int = 1


class Thawed(Struct, kw_only=True, forbid_unknown_fields=True):
    depth: int = 1


class Lenient(Struct, frozen=True, kw_only=True):
    depth: int = 1


class Demanding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    depth: int


class Clashing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    strategy: str = "x"


class Absurd(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    depth: int = 1

    def __post_init__(self) -> None:
        raise ValueError("never right")


class Ping(Struct, frozen=True, array_like=True, tag=1):
    number: int


class Pong(Struct, frozen=True, array_like=True, tag=1):
    number: int


class Named(Struct, frozen=True, array_like=True, tag="named"):
    number: int


class Mapped(Struct, frozen=True, tag=2):
    number: int


class Untagged(Struct, frozen=True, array_like=True):
    number: int


def never(*_: Any) -> Any:
    raise AssertionError("nothing is built here")


async def later(*_: Any) -> Any:
    raise AssertionError("nothing is built here")


def made_router(**fields: Any) -> SimpleNamespace:
    described: dict[str, Any] = {"name": "ring", "summary": "routes", "options": Good, "create": never, **fields}

    @hookimpl
    def mpreg_routers() -> list[Any]:
        return [RouterSpec(**described)]

    return SimpleNamespace(mpreg_routers=mpreg_routers)


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"name": "Ring"}, ContractViolationError, "expected a name of lower case, digits, '_' and '-', got 'Ring'"),
        ({"name": ""}, ContractViolationError, "expected a name"),
        ({"summary": ""}, ContractViolationError, "expected one line as summary"),
        ({"summary": "a\nb"}, ContractViolationError, "expected one line as summary"),
        ({"options": dict}, ContractViolationError, "expected options to be a msgspec Struct"),
        ({"options": Thawed}, ContractViolationError, "expected Thawed to have frozen=True"),
        ({"options": Lenient}, ContractViolationError, "expected Lenient to have forbid_unknown_fields=True"),
        ({"options": Demanding}, ContractViolationError, "expected a default for option 'depth', got none"),
        ({"options": Clashing}, ContractViolationError, "no option may be called 'strategy'"),
        ({"options": Absurd}, ContractViolationError, "the default options are refused by themselves: never right"),
        ({"api": API_MINOR + 1}, ApiMismatchError, f"needs contract 1.{API_MINOR + 1}, this core has 1.{API_MINOR}"),
        ({"wire": (2, 1)}, ContractViolationError, "expected wire versions 1 <= lowest <= highest, got (2, 1)"),
        ({"wire": (0, 1)}, ContractViolationError, "expected wire versions"),
        ({"wire": 1}, ContractViolationError, "expected two wire versions, lowest and highest, got 1"),
        ({"protocol": "A b"}, ContractViolationError, "expected a name as protocol"),
        ({"create": None}, ContractViolationError, "expected create to be a plain function"),
        ({"create": later}, ContractViolationError, "expected create to be a plain function"),
        ({"messages": [Ping]}, ContractViolationError, "expected a tuple of messages"),
        ({"messages": (int,)}, ContractViolationError, "expected messages to be msgspec Structs"),
        ({"messages": (Untagged,)}, ContractViolationError, "expected message Untagged to have a tag"),
        ({"messages": (Mapped,)}, ContractViolationError, "expected message Mapped to have array_like=True"),
        ({"messages": (Ping, Pong)}, ContractViolationError, "the messages cannot be decoded as one union"),
        ({"messages": (Ping, Named)}, ContractViolationError, "the messages cannot be decoded as one union"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_spec_of_the_wrong_shape_is_refused(fields: dict[str, Any], error: type[PluginError], text: str) -> None:
    plugins = load(extra=[("mine", made_router(**fields))])
    (failure,) = plugins.failures
    assert type(failure.error) is error
    assert text in str(failure.error)
    assert plugins.strategies == {}


def test_a_spec_of_the_right_shape_is_taken() -> None:
    plugins = load(extra=[("mine", made_router(messages=(Ping,), api=API_MINOR, wire=(1, 3), protocol="other"))])
    assert plugins.failures == ()
    assert list(plugins.strategies) == [("routing", "ring")]


# the other hooks


def test_services_commands_and_observers_are_kept_with_their_plugin() -> None:
    seen: list[Occurrence] = []
    app = typer.Typer()

    @hookimpl
    def mpreg_services() -> tuple[ServiceSpec[Good], ...]:
        return (ServiceSpec(name="web", summary="serves", options=Good, run=later),)

    @hookimpl
    def mpreg_commands() -> typer.Typer:
        return app

    @hookimpl
    def mpreg_on_event(event: Occurrence) -> None:
        seen.append(event)

    plugin = SimpleNamespace(
        mpreg_services=mpreg_services, mpreg_commands=mpreg_commands, mpreg_on_event=mpreg_on_event
    )
    plugins = load(extra=[("mine", plugin)])
    assert plugins.failures == ()
    (loaded,) = plugins.loaded
    assert list(plugins.services) == ["web"]
    assert loaded.commands is not None
    assert loaded.commands() is app
    occurrence = Occurrence(at_ns=1, node="n", pool="", event=PoolLeft(reason="test"))
    assert loaded.observe is not None
    loaded.observe(occurrence)
    assert seen == [occurrence]


def test_two_services_of_one_name_are_refused() -> None:
    @hookimpl
    def mpreg_services() -> list[ServiceSpec[Good]]:
        return [ServiceSpec(name="web", summary="serves", options=Good, run=later)]

    plugin = SimpleNamespace(mpreg_services=mpreg_services)
    with pytest.raises(DuplicateStrategyError, match="service 'web' is provided by"):
        load(extra=[("a", plugin), ("b", plugin)])


def test_the_list_tells_of_every_plugin_and_why_one_provides_nothing(install: Install) -> None:
    install("dist-a", router("ring"), entry="a")
    install("dist-b", "raise SystemExit", entry="b")
    entries = install("dist-c", "", entry="c", group="mpreg.v9")
    rows = load(entries).as_json()
    assert rows == [
        {
            "name": "a",
            "distribution": "dist-a",
            "version": "0.1.0",
            "status": "loaded",
            "strategies": [{"family": "routing", "name": "ring", "summary": "routes"}],
            "services": [],
            "policies": [],
        },
        {
            "name": "b",
            "distribution": "dist-b",
            "version": "0.1.0",
            "status": "failed",
            "error": "plugin b (dist-b 0.1.0): SystemExit",
        },
        {
            "name": "c",
            "distribution": "dist-c",
            "version": "0.1.0",
            "status": "skipped",
            "error": "built for mpreg.v9, this core speaks mpreg.v1",
        },
    ]


def test_gossip_messages_are_checked_as_well() -> None:
    @hookimpl
    def mpreg_gossip_strategies() -> list[Any]:
        return [GossipSpec(name="g", summary="spreads", options=Good, create=never, messages=(Untagged,))]

    (failure,) = load(extra=[("g", SimpleNamespace(mpreg_gossip_strategies=mpreg_gossip_strategies))]).failures
    assert "gossip strategy 'g': expected message Untagged to have a tag" in str(failure.error)
