"""Frames that are right in every way but for the federation they belong to, as when an address changes its owner."""

import socket
import struct

import pytest

from mpreg_core.assembly import parts_of
from mpreg_core.config.load import read_config
from mpreg_core.config.resolve import resolve
from mpreg_core.node.parts import NodeSettings
from mpreg_core.plugin.discovery import load_plugins
from mpreg_core.sim import World
from mpreg_core.sim.world import address_of

pytestmark = pytest.mark.integration

GLOBAL, US = "global-hub-001", "regional-hub-us-east"


@pytest.fixture
def foreign():
    """The gossip frames that a regional hub of the federation `other` sends to its global hub about a write."""
    config, problems = read_config(data={}, env={})
    assert not problems
    parts = parts_of(resolve(config, load_plugins()))
    world = World(1)
    for name, tier, parent in ((GLOBAL, "global", None), (US, "regional", GLOBAL)):
        place = {"parent": parent, "parent_address": address_of(parent)} if parent else {}
        place |= {"id": name, "tier": tier, "region": "us-east", "address": address_of(name)}
        settings = NodeSettings(federation="other", started_ms=0, seed=0, **place)
        world.add(settings, parts)
    assert world.run_until(lambda: all(node.core.state.life == "ready" for node in world.nodes.values()), 10) < 10
    caught = []
    transmit = world._transmit

    def overhear(node, action):
        if node.id == US and action.plane == "gossip":
            caught.append(action.frame)
        transmit(node, action)

    world._transmit = overhear
    world.command(US, lambda core: core.replication.put("colour", "stolen", "federation", None, None))
    there = world.nodes[GLOBAL].core.replication
    world.run_until(lambda: bool(there.list("colour", "federation")), 5)
    assert [entry.value for entry in there.list("colour", "federation")] == ["stolen"]
    assert caught
    return caught


def test_a_frame_of_another_federation_is_dropped_and_changes_nothing(tools, tmp_path, foreign):
    config = tools.guide_config(GLOBAL, "global", "us-east", network={"listen_host": "127.0.0.1"})
    node = tools.node(tmp_path, config, ports=tools.free_ports()).start()
    tools.until(lambda: node.answers("/readyz"), 20, "it is ready")
    with socket.create_connection(("127.0.0.1", node.ports["gossip_port"])) as connection:
        connection.sendall(b"".join(struct.pack(">I", len(frame)) + frame for frame in foreign))
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert node.ask("GET", "/api/state/colour?scope=federation")[0] == 404
    assert node.metric("mpreg_frames_dropped_total") >= len(foreign)
