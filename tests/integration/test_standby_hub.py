"""A regional hub is killed, and the one that stands by for it leads its region, in processes of their own."""

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]

GLOBAL, FIRST, SECOND, LOCAL, CLUSTER = "global-hub", "us-east-a", "us-east-b", "us-east-1", "us-east-c1"


@pytest.fixture
def nodes(tools, tmp_path):
    made, ports = {}, {name: tools.free_ports() for name in (GLOBAL, FIRST, SECOND, LOCAL, CLUSTER)}
    peers = {name: tools.peer_of(ports[name]) for name in ports}
    for name, tier, parent in (
        (GLOBAL, "global", None),
        (FIRST, "regional", GLOBAL),
        (SECOND, "regional", GLOBAL),
        (LOCAL, "local", FIRST),
        (CLUSTER, "cluster", LOCAL),
    ):
        sections = {"network": {"listen_host": "127.0.0.1"}, "federation": {"peers": peers}}
        if name == SECOND:
            sections["node"] = {"stands_by_for": FIRST}
        config = tools.guide_config(name, tier, "us-east", parent, **sections)
        made[name] = tools.node(tmp_path, config, ports=ports[name]).start()
    for node in made.values():
        tools.until(lambda node=node: node.answers("/readyz"), 30, f"{node.id} is ready")
    return made


def test_a_killed_regional_hub_is_stood_in_for_until_it_is_back(nodes, tools):
    local, second = nodes[LOCAL], nodes[SECOND]
    voters = lambda: second.get("/api/consensus/status")["pools"][0]["voters"]  # noqa: E731
    tools.until(lambda: voters() == [LOCAL, FIRST, SECOND], 10, lambda: f"all vote, not only {voters()}")
    code, out, _ = tools.mpreg("status", "--api", second.address("listen_port"), "--output", "table")
    assert code == 0
    assert f"stands by for {FIRST}" in " ".join(out.split())

    nodes[FIRST].kill()
    took_s = tools.until(lambda: local.parent() == SECOND, 10, "the local hub is attached to the second one")
    tools.until(lambda: second.parent() == GLOBAL, 5, "that one is attached above")
    assert "leads regional:us-east from now on: us-east-a is gone" in second.log()
    status, answer = nodes[CLUSTER].ask(
        "POST", "/api/requests", {"service": "mpreg.echo", "payload": 1, "target": GLOBAL}
    )
    assert (status, answer["path"]) == (200, [CLUSTER, LOCAL, SECOND, GLOBAL])
    print(f"the second hub led {took_s:.2f} s after the first was killed")

    nodes[FIRST].start()
    tools.until(lambda: local.parent() == FIRST, 30, "the local hub is home")
    tools.until(lambda: second.parent() == FIRST, 10, "the second one stands by again")
    assert second.get("/api/status")["node"]["stands_by_for"] == FIRST
