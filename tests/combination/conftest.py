"""Which combination of plugins is installed, and a small federation of it. Nothing but core may be imported here."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from mpreg_core import NodeConfig
from mpreg_core.config.load import read_config
from mpreg_core.embed.node import Node
from mpreg_core.embed.running import RunningNode
from mpreg_core.plugin.discovery import load_plugins

HERE = os.environ.get("MPREG_COMBINATION", "")
"""The combination that is installed alone; empty where everything is."""

DEFAULTS = {
    "transport": "tcp", "gossip": "hybrid", "failure_detector": "swim", "consensus": "quorum", "routing": "hub",
}  # fmt: skip
OTHERS: Mapping[str, Mapping[str, str]] = {
    "default": {},
    "alt": {"failure_detector": "phi", "gossip": "plumtree", "consensus": "raft", "routing": "graph"},
    "detector": {"failure_detector": "phi"},
    "routing": {"routing": "graph"},
}
"""Combination -> the strategies it has in place of the defaults."""

PLACES = (
    ("g", "global", "us", None),
    ("r", "regional", "us", "g"),
    ("l1", "local", "us", "r"),
    ("l2", "local", "us", "r"),
    ("c1", "cluster", "us", "l1"),
    ("c2", "cluster", "us", "l2"),
)
POOLS = {
    "global": {"g", "r"},
    "regional:us": {"r", "l1", "l2"},
    "local:l1": {"l1", "c1"},
    "local:l2": {"l2", "c2"},
}
FORMED_S = 20.0
VERB_S = 30.0

Tree = dict[str, RunningNode]
Grow = Callable[[], AbstractAsyncContextManager[Tree]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`with_plugins` and `without_plugins` mark the tests that make sense only so."""
    unfit = "with_plugins" if HERE == "none" else "without_plugins" if HERE else ""
    for item in items:
        if unfit and unfit in item.keywords:
            item.add_marker(pytest.mark.skip(reason=f"not for the combination {HERE!r}"))


def pytest_configure(config: pytest.Config) -> None:
    for name in ("with_plugins", "without_plugins"):
        config.addinivalue_line("markers", f"{name}: see tests/combination/conftest.py")


@pytest.fixture(params=[HERE] if HERE in OTHERS else list(OTHERS))
def combination(request: pytest.FixtureRequest) -> str:
    """The combination to test: the one that is installed, or each where everything is."""
    return str(request.param)


@pytest.fixture
def is_alone() -> bool:
    """True if no other plugin than the combination's is installed."""
    return bool(HERE)


@pytest.fixture
def strategies(combination: str) -> dict[str, str]:
    """Family -> strategy of the combination."""
    return {**DEFAULTS, **OTHERS[combination]}


@pytest.fixture
def specs(combination: str) -> tuple[str, ...]:
    """The `--plugins` flags that choose it."""
    return tuple(f"{family}={name}" for family, name in OTHERS[combination].items())


@pytest.fixture(
    params=[("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True}), ("trio", {})],
    ids=["asyncio", "uvloop", "trio"],
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    if request.param[1].get("use_uvloop"):
        pytest.importorskip("uvloop")
    return request.param


def config_of(name: str, tier: str, region: str, above: Node | None, above_id: str | None) -> NodeConfig:
    network = {f"{plane}_port": 0 for plane in ("gossip", "membership", "consensus", "routing")}
    data: dict[str, Any] = {
        "node": {"id": name, "hub_tier": tier, "region": region},
        "network": {**network, "listen_host": "127.0.0.1", "listen_port": 0},
    }
    if above is not None:
        ports = {f"{plane}_port": endpoint.port for plane, endpoint in above.endpoints.items()}
        data["node"]["parent_hub"] = above_id
        data["federation"] = {"peers": {above_id: {"host": "127.0.0.1", **ports}}}
    config, problems = read_config(data=data, env={})
    assert not problems
    return config


async def until(condition: Callable[[], bool], within_s: float, what: Callable[[], str]) -> None:
    """Wait until the condition holds; fails with `what` when the time is over."""
    with anyio.move_on_after(within_s):
        while not condition():
            await anyio.sleep(0.01)
        return
    pytest.fail(f"not within {within_s} s: {what()}")


def alive_at(node: RunningNode) -> dict[str, set[str]]:
    """Pool -> the members that a node sees alive."""
    found: dict[str, set[str]] = {}
    for view in node.members():
        if view.member.status == "alive":
            found.setdefault(view.pool, set()).add(view.member.id)
    return found


@pytest.fixture
def grow(specs: tuple[str, ...]) -> Grow:
    """A federation of one global, one regional and two local hubs and two clusters, formed; ends with its context."""

    @asynccontextmanager
    async def make() -> AsyncIterator[Tree]:
        plugins = load_plugins()
        runners: dict[str, Node] = {}
        tree: Tree = {}
        async with AsyncExitStack() as stack:
            for name, tier, region, parent in PLACES:
                config = config_of(name, tier, region, runners[parent] if parent else None, parent)
                runners[name] = Node(config, plugins=plugins, specs=specs)
                tree[name] = await stack.enter_async_context(runners[name])
            expected = {name: {pool: ids for pool, ids in POOLS.items() if name in ids} for name in tree}

            def views() -> dict[str, dict[str, set[str]]]:
                return {name: alive_at(node) for name, node in tree.items()}

            await until(lambda: views() == expected, FORMED_S, lambda: f"expected {expected}, got {views()}")
            yield tree

    return make


@pytest.fixture
def mpreg() -> Callable[..., tuple[int, str, str]]:
    """Run a verb, `mpreg("validate", file)`: exit code, standard output, standard error. Keywords: environment."""

    def run(*arguments: object, **env: str) -> tuple[int, str, str]:
        command = (sys.executable, "-m", "mpreg_core", *map(str, arguments))
        whole = {key: value for key, value in os.environ.items() if not key.startswith("MPREG_")} | env
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=VERB_S, env=whole)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def guide() -> Path:
    """The deployment guide's own configuration."""
    return Path(__file__).parent.parent / "guide" / "production.yaml"
