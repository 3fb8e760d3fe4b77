"""What README.md shows works as printed: its configurations are valid, its plugin is found and finds a dead node."""

import re
from pathlib import Path

import pytest

from mpreg_core import load_config
from mpreg_core.assembly import parts_of
from mpreg_core.config.load import read_config
from mpreg_core.config.resolve import resolve
from mpreg_core.contracts.members import Coordinates
from mpreg_core.node.parts import NodeSettings
from mpreg_core.plugin.discovery import load_plugins
from mpreg_core.sim import World
from mpreg_core.sim.world import address_of

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files that the page shows, by the name in their first line."""
    folder = tmp_path_factory.mktemp("readme")
    for body in re.findall(r"^```\w+\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE):
        name = re.match(r"# ([\w.]+)\n", body)
        if name is not None:
            (folder / name[1]).write_text(body)
    return folder


def test_its_configurations_are_valid_and_choose_what_they_say(files):
    for name in ("global.yaml", "regional.yaml"):
        config = load_config(str(files / name))
    pools = resolve(config, load_plugins()).pools
    detectors = {tier: pool.failure_detector.spec.name for tier, pool in pools.items()}
    assert (detectors["global"], detectors["regional"]) == ("phi", "swim")


@pytest.fixture
def installed(files, monkeypatch):
    """The plugins with the page's own among them, as an installed distribution would bring it."""
    made = files / "heartbeat-0.1.dist-info"
    made.mkdir(exist_ok=True)
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: heartbeat\nVersion: 0.1\n")
    group, entry = re.search(r'entry-points\."(\S+)"\]\n(.+)\n', (files / "pyproject.toml").read_text()).groups()
    (made / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(files)
    return load_plugins()


def test_its_plugin_is_found_and_finds_a_dead_node(installed):
    config, problems = read_config(data={}, env={})
    assert not problems
    parts = parts_of(resolve(config, installed, ("heartbeat",)))
    world = World(1)
    for node, parent in (("hub", None), ("a", "hub"), ("b", "hub")):
        settings = NodeSettings(
            id=node,
            federation="readme",
            tier="cluster" if parent else "local",
            region="here",
            address=address_of(node),
            started_ms=0,
            seed=0,
            parent=parent,
            parent_address=address_of(parent) if parent else None,
            coordinates=Coordinates(0.0, 0.0),
            version="1",
        )
        world.add(settings, parts)
    table = world.nodes["hub"].core.state.stacks["local:hub"].table
    assert world.run_until(lambda: len(table) == 3, 10) < 5
    world.run(30)
    assert {entry.member.status for entry in table} == {"alive"}, "nobody who lives is failed"
    world.crash("b")
    assert world.run_until(lambda: table.member("b").status == "failed", 30) < 8
    world.start("b")
    assert world.run_until(lambda: table.member("b").status == "alive", 30) < 8


def test_its_plugin_conforms(installed, mpreg_conformance):
    mpreg_conformance(installed.find("failure_detector", "heartbeat").spec)
