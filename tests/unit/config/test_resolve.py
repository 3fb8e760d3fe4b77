"""Which strategy a pool runs, with which options, and whose word counts most."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import Struct

from mpreg_core import ServiceSpec, UnknownStrategyError, hookimpl
from mpreg_core.config.load import load_config, read_config
from mpreg_core.config.problems import ConfigProblems
from mpreg_core.config.resolve import Resolved, resolve
from mpreg_core.config.selection import parse_selection
from mpreg_core.ids import PoolTier
from mpreg_core.plugin.discovery import find_plugins, load_plugins
from mpreg_core.plugin.registry import Plugins

DATA = Path(__file__).parent / "data"
DEFAULTS = {
    "transport": "tcp",
    "gossip": "hybrid",
    "failure_detector": "swim",
    "consensus": "quorum",
    "routing": "hub",
}


def resolved(data: dict[str, Any], plugins: Plugins, *specs: str, sets: tuple[str, ...] = ()) -> Resolved:
    config, problems = read_config(data={"node": {"id": "n"}, **data}, env={}, sets=sets)
    assert problems == []
    return resolve(config, plugins, specs)


def problems_of(data: dict[str, Any], plugins: Plugins, *specs: str, sets: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        resolved(data, plugins, *specs, sets=sets)
    return [str(problem) for problem in caught.value.problems]


def options_of(result: Resolved, tier: PoolTier, family: str) -> dict[str, object]:
    options = getattr(result.pools[tier], family).options
    return {key: getattr(options, key) for key in options.__struct_fields__}


def test_without_a_word_every_pool_runs_the_defaults(plugins: Plugins) -> None:
    result = resolved({}, plugins)
    assert {tier: pool.names() for tier, pool in result.pools.items()} == {
        "local": DEFAULTS,
        "regional": DEFAULTS,
        "global": DEFAULTS,
    }
    assert result.warnings == ()


def test_the_guides_file_sets_the_strategies_options(plugins: Plugins) -> None:
    result = resolve(load_config(DATA / "production.yaml", env={}), plugins)
    swim = {"probe_interval": 2.0, "probe_timeout": 5.0, "suspicion_timeout": 30.0}
    assert options_of(result, "global", "failure_detector") == swim
    assert options_of(result, "local", "consensus") == {
        "threshold": 0.6,
        "max_proposals": 100,
        "proposal_timeout": 10.0,
    }
    assert options_of(result, "local", "gossip") == {"interval": 1.0, "fanout": 3, "max_gossip_messages": 1000}


@pytest.mark.skipif(
    not {"tcp", "epidemic", "swim", "quorum", "hub"} <= {found.name for found in find_plugins()},
    reason="the default plugins are not installed",
)
def test_the_guides_file_suits_the_default_plugins_as_they_are() -> None:
    result = resolve(load_config(DATA / "production.yaml", env={}), load_plugins(env={}))
    assert {tier: pool.names() for tier, pool in result.pools.items()} == dict.fromkeys(result.pools, DEFAULTS)
    assert options_of(result, "global", "failure_detector")["suspicion_timeout"] == 30.0
    assert result.warnings == ()


@pytest.mark.parametrize(
    ("data", "specs", "detectors"),
    [
        ({"membership": {"strategy": "phi"}}, [], ("phi", "phi", "phi")),
        ({"tiers": {"local": {"membership": {"strategy": "phi"}}}}, [], ("phi", "swim", "swim")),
        (
            {"membership": {"strategy": "phi"}, "tiers": {"local": {"membership": {"strategy": "swim"}}}},
            [],
            ("swim", "phi", "phi"),
        ),
        ({}, ["phi"], ("phi", "phi", "phi")),
        ({}, ["plain,phi"], ("phi", "phi", "phi")),
        ({}, ["local:phi", "regional:failure_detector=phi"], ("phi", "phi", "swim")),
        ({}, ["membership=phi", "global:swim"], ("phi", "phi", "swim")),
        ({"tiers": {"local": {"membership": {"strategy": "swim"}}}}, ["phi"], ("phi", "phi", "phi")),
    ],
)
def test_the_stronger_word_chooses_the_strategy(
    data: dict[str, Any], specs: list[str], detectors: tuple[str, ...], plugins: Plugins
) -> None:
    pools = resolved(data, plugins, *specs).pools
    assert tuple(pools[tier].failure_detector.spec.name for tier in ("local", "regional", "global")) == detectors


def test_options_are_laid_over_each_other_tier_over_section(plugins: Plugins) -> None:
    data = {"gossip": {"fanout": 5, "interval": 2}, "tiers": {"local": {"gossip": {"fanout": 7}}}}
    result = resolved(data, plugins)
    assert options_of(result, "local", "gossip") == {"interval": 2.0, "fanout": 7, "max_gossip_messages": 1000}
    assert options_of(result, "global", "gossip") == {"interval": 2.0, "fanout": 5, "max_gossip_messages": 1000}


def test_network_and_memory_keys_reach_the_strategies_that_have_them(plugins: Plugins) -> None:
    data = {
        "network": {"tcp_nodelay": False, "connection_timeout": 7, "tcp_keepalive": True},
        "memory": {"max_gossip_messages": 50, "max_graph_cache_size": 10, "max_consensus_proposals": 7},
        "transport": {"connection_timeout": 9},
    }
    result = resolved(data, plugins)
    assert options_of(result, "local", "transport") == {"tcp_nodelay": False, "connection_timeout": 9.0}
    assert options_of(result, "local", "gossip")["max_gossip_messages"] == 50
    assert options_of(result, "local", "consensus")["max_proposals"] == 7
    assert sorted(map(str, result.warnings)) == [
        "memory.max_graph_cache_size: ignored: routing strategy hub has no such option",
        "network.tcp_keepalive: ignored: transport strategy tcp has no such option",
    ]


def test_an_option_from_a_flag_takes_the_type_of_its_field(plugins: Plugins) -> None:
    sets = ("gossip.fanout=9", "tiers.local.gossip.interval=0.5", "transport.tcp_nodelay=no")
    result = resolved({}, plugins, sets=sets)
    assert options_of(result, "local", "gossip") == {"interval": 0.5, "fanout": 9, "max_gossip_messages": 1000}
    assert options_of(result, "local", "transport")["tcp_nodelay"] is False


# options written for another strategy


def test_another_detector_by_flag_leaves_the_guides_keys_with_a_warning(plugins: Plugins) -> None:
    result = resolve(load_config(DATA / "production.yaml", env={}), plugins, ["phi"])
    assert options_of(result, "global", "failure_detector") == {"probe_interval": 2.0, "threshold": 8.0}
    ignored = "ignored: failure_detector strategy phi has no such option; it was written for swim"
    assert [str(warning).partition("production.yaml")[2] for warning in result.warnings] == [
        f":23: membership.probe_timeout: {ignored}",
        f":24: membership.suspicion_timeout: {ignored}",
    ]


@pytest.mark.parametrize("way", ["tier", "flag", "environment"])
def test_another_detector_by_a_stronger_layer_leaves_the_weaker_ones_keys(way: str, plugins: Plugins) -> None:
    data: dict[str, Any] = {"membership": {"probe_timeout": 5.0}}
    env: dict[str, str] = {}
    sets: list[str] = []
    if way == "tier":
        data["tiers"] = {"local": {"membership": {"strategy": "phi", "threshold": 9}}}
    elif way == "flag":
        sets = ["membership.strategy=phi", "membership.threshold=9"]
    else:
        env = {"MPREG_MEMBERSHIP__STRATEGY": "phi", "MPREG_MEMBERSHIP__THRESHOLD": "9"}
    config, problems = read_config(data=data, env=env, sets=sets)
    assert problems == []
    result = resolve(config, plugins, tiers=["local"])
    assert options_of(result, "local", "failure_detector") == {"probe_interval": 1.0, "threshold": 9.0}
    assert [warning.path for warning in result.warnings] == ["membership.probe_timeout"]


def test_a_key_for_a_strategy_that_is_not_installed_is_left_with_a_warning(plugins: Plugins) -> None:
    result = resolved({"membership": {"strategy": "absent", "window": 5}}, plugins, "swim")
    assert [warning.path for warning in result.warnings] == ["membership.window"]


def test_a_flag_that_goes_back_to_the_default_leaves_the_files_keys_for_its_own_strategy(plugins: Plugins) -> None:
    result = resolved(
        {"consensus": {"strategy": "raft", "election_min": 0.5}}, plugins, sets=("consensus.strategy=quorum",)
    )
    assert result.pools["local"].consensus.spec.name == "quorum"
    assert [str(warning).rpartition("; ")[2] for warning in result.warnings] == ["it was written for raft"]


@pytest.mark.parametrize(
    ("data", "specs", "problem"),
    [
        # beside the strategy's name, in the mapping that chose it
        ({"membership": {"strategy": "phi", "probe_timeout": 5}}, [], "membership.probe_timeout: unknown key"),
        (
            {"tiers": {"local": {"membership": {"strategy": "phi", "treshold": 5}}}},
            [],
            "tiers.local.membership.treshold: unknown key, did you mean 'threshold'?",
        ),
        (
            {"membership": {"probe_intervall": 1}},
            [],
            "membership.probe_intervall: unknown key, did you mean 'probe_interval'?",
        ),
        # written for a strategy that does not have it either: a slip, whoever is chosen
        (
            {"membership": {"probe_intervall": 1}},
            ["phi"],
            "membership.probe_intervall: unknown key, did you mean 'probe",
        ),
    ],
)
def test_a_key_that_nobody_knows_is_a_problem(
    data: dict[str, Any], specs: list[str], problem: str, plugins: Plugins
) -> None:
    (found,) = problems_of(data, plugins, *specs)
    assert found.startswith(problem)


# problems


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            {"gossip": {"fanout": 0}},
            "gossip.fanout: expected an integer from 1 to 64, got 0 (option of hybrid, in this pro",
        ),
        ({"gossip": {"fanout": "x"}}, "gossip.fanout: expected an integer from 1 to 64, got 'x'"),
        (
            {"consensus": {"threshold": 0.5}},
            "consensus.threshold: expected a number > 0.5 and <= 1, got 0.5 (option of quo",
        ),
        (
            {"tiers": {"local": {"gossip": {"interval": "12:30"}}}},
            "tiers.local.gossip.interval: expected a number > 0 and",
        ),
        (
            {"consensus": {"strategy": "raft", "election_min": 3}},
            "consensus: expected election_min < election_max, got 3.0 and 2.0 (option of raft, in this process)",
        ),
        (
            {"gossip": {"strategy": "hybird"}},
            "gossip.strategy: unknown gossip strategy 'hybird', did you mean 'hybrid'? (ins",
        ),
        (
            {"tiers": {"global": {"routing": {"strategy": "x"}}}},
            "tiers.global.routing.strategy: unknown routing strategy",
        ),
        ({"transport": {"strategy": "bus", "login": 5}}, "transport.login: expected a text, got an integer"),
        ({"transport": {"strategy": "bus", "password": 5}}, "transport.password: expected a text, got an integer"),
        ({"transport": {"strategy": "bus", "servers": [1]}}, "transport.servers[0]: expected a text, got 1"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_option_or_strategy_is_told_once(data: dict[str, Any], problem: str, plugins: Plugins) -> None:
    (found,) = problems_of(data, plugins)
    assert found.startswith(problem)


def test_every_problem_is_told_with_the_line_of_its_key(tmp_path: Path, plugins: Plugins) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("membership:\n  probe_intervall: 1\n  probe_timeout: -1\nrouting:\n  strategy: grph\n")
    with pytest.raises(ConfigProblems) as caught:
        resolve(load_config(path, env={}), plugins)
    assert [str(problem).removeprefix(f"{tmp_path}/").split(": ")[:2] for problem in caught.value.problems] == [
        ["f.yaml:2", "membership.probe_intervall"],
        ["f.yaml:3", "membership.probe_timeout"],
        ["f.yaml:5", "routing.strategy"],
    ]
    assert isinstance(caught.value.__cause__, UnknownStrategyError)


def test_a_tier_that_is_not_asked_for_is_not_judged(plugins: Plugins) -> None:
    config, _ = read_config(data={"tiers": {"global": {"consensus": {"strategy": "absent"}}}}, env={})
    assert resolve(config, plugins, tiers=["local"]).pools["local"].names() == DEFAULTS


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (
            "swm",
            "--plugins swm: unknown plugin or strategy 'swm', did you mean 'swim'? (installed: bus, graph, hub, hyb",
        ),
        ("hub", "--plugins hub: hub is a strategy of gossip and routing: write gossip=hub"),
        (
            "routing=grph",
            "--plugins routing=grph: unknown routing strategy 'grph', did you mean 'graph'? (installed: graph, hub)",
        ),
        (
            "rooting=graph",
            "--plugins rooting=graph: expected one of transport, gossip, failure_detector, consensus, routing, m",
        ),
        (
            "lokal:phi",
            "--plugins lokal:phi: expected one of global, regional, local before the colon, got 'lokal', did you",
        ),
        ("local:", "--plugins local:: expected [TIER:][FAMILY=]NAME, got no name"),
        ("phi,swim", "--plugins swim: expected one failure_detector strategy for a tier, got phi and swim"),
    ],
)
def test_a_wrong_plugins_flag_says_what_there_is(spec: str, problem: str, plugins: Plugins) -> None:
    (found,) = problems_of({}, plugins, spec)
    assert found.startswith(problem)


def test_a_plugins_flag_may_be_repeated_and_hold_empty_parts(plugins: Plugins) -> None:
    selection = parse_selection(["phi,", " regional:consensus=raft ", "phi"], plugins)
    assert selection.problems == ()
    assert selection.names == {(None, "failure_detector"): "phi", ("regional", "consensus"): "raft"}


# services


class Web(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    insecure: bool = False
    workers: int = 1


@pytest.fixture
def with_web(plugins: Plugins) -> Plugins:
    async def run(*_: Any) -> None:
        raise AssertionError("nothing runs here")

    @hookimpl
    def mpreg_services() -> list[ServiceSpec[Web]]:
        return [ServiceSpec(name="web", summary="serves", options=Web, run=run)]

    web = load_plugins(env={}, entry_points=[], extra=[("web", SimpleNamespace(mpreg_services=mpreg_services))])
    return Plugins([*plugins.loaded, *web.loaded])


def test_a_service_has_its_defaults_or_the_options_of_the_plugins_section(with_web: Plugins) -> None:
    assert resolved({}, with_web).services == {"web": Web()}
    sets = ("plugins.options.web.insecure=yes",)
    result = resolved({"plugins": {"options": {"web": {"workers": 3}}}}, with_web, sets=sets)
    assert result.services == {"web": Web(insecure=True, workers=3)}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"wbe": {}}, "plugins.options.wbe: unknown key, did you mean 'web'?"),
        ({"web": {"worker": 1}}, "plugins.options.web.worker: unknown key, did you mean 'workers'?"),
        ({"web": {"workers": "x"}}, "plugins.options.web.workers: expected an integer, got 'x' (option of web)"),
    ],
)
def test_a_wrong_option_of_a_service_is_told(options: dict[str, Any], problem: str, with_web: Plugins) -> None:
    assert problems_of({"plugins": {"options": options}}, with_web) == [problem]


# plugins that failed


def test_a_failed_plugin_that_is_chosen_is_the_problem_and_else_a_warning(plugins: Plugins) -> None:
    broken = load_plugins(env={}, entry_points=[], extra=[("mesh", SimpleNamespace())])
    both = Plugins(plugins.loaded, broken.failures)
    (warning,) = resolved({}, both).warnings
    assert str(warning).startswith("plugin mesh (in this process): ")
    (found,) = problems_of({"routing": {"strategy": "mesh"}}, both)
    assert found.startswith("routing.strategy: plugin mesh (in this process): it has no function marked with @hookimpl")
    (found,) = problems_of({"routing": {"strategy": "mehs"}}, both)
    assert found.endswith("failed to load, see mpreg plugins: mesh (in this process)")
