"""Nodes on loopback inside the test, on each backend: fixtures for the folders that import them."""

import anyio
import pytest


@pytest.fixture(
    params=[("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True}), ("trio", {})],
    ids=["asyncio", "uvloop", "trio"],
)
def anyio_backend(request):
    if request.param[1].get("use_uvloop"):
        pytest.importorskip("uvloop")
    return request.param


@pytest.fixture(scope="session")
def plugins():
    from mpreg_core.plugin.discovery import load_plugins

    return load_plugins()


@pytest.fixture
def node(plugins, tmp_path):
    """A node on loopback with free ports: `node("r", "regional", "us", above=g)`; `above` is a started `Node`."""
    from mpreg_core.config.load import read_config
    from mpreg_core.embed.node import Node

    def make(name, tier, region, above=None, durable=False, specs=(), **sections):
        network = {f"{plane}_port": 0 for plane in ("gossip", "membership", "consensus", "routing")}
        network |= {"listen_host": "127.0.0.1", "listen_port": 0} | sections.pop("network", {})
        own = {"id": name, "hub_tier": tier, "region": region}
        federation = {}
        if durable:
            own["data_dir"] = str(tmp_path / "data")
        if above is not None:
            own["parent_hub"] = above.id
            ports = {f"{plane}_port": endpoint.port for plane, endpoint in above.endpoints.items()}
            federation = {"peers": {above.id: {"host": "127.0.0.1", **ports}}}
        data = {"node": own, "network": network, "federation": federation, **sections}
        config, problems = read_config(data=data, env={})
        assert not problems
        made = Node(config, plugins=plugins, specs=specs)
        made.id = name
        return made

    return make


def port_of(node):
    return f"127.0.0.1:{node.endpoints['routing'].port}"


async def until(condition, timeout_s=10):
    with anyio.fail_after(timeout_s):
        while not condition():
            await anyio.sleep(0.01)
