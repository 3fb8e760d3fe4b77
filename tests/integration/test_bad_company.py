"""A node that does not fit the federation it was pointed at: refused with the reason, while everyone else goes on."""

import pytest

pytestmark = pytest.mark.integration

GLOBAL, US = "global-hub-001", "regional-hub-us-east"


@pytest.fixture(scope="module")
def hubs(module_tools, tmp_path_factory):
    """A global and a regional hub, together."""
    tools = module_tools
    places = tools.Place(GLOBAL, "global", "us-east"), tools.Place(US, "regional", "us-east", GLOBAL)
    federation = tools.Federation(places)
    folder = tmp_path_factory.mktemp("hubs")
    for node, tier, region, parent in federation.places.values():
        config = config_of(tools, node, tier, region, federation.nodes.get(parent))
        federation.nodes[node] = tools.node(folder, config, ports=tools.free_ports())
    federation.start_all()
    return federation


def config_of(tools, name, tier, region, above=None, federation="mpreg"):
    """`above` is a node, or the id and ports of one that does not run."""
    parent, ports = (None, {}) if above is None else above if isinstance(above, tuple) else (above.id, above.ports)
    peers = {parent: tools.peer_of(ports)} if ports else {}
    sections = {"network": {"listen_host": "127.0.0.1"}, "federation": {"name": federation, "peers": peers}}
    return tools.guide_config(name, tier, region, parent, **sections)


@pytest.fixture(scope="module")
def misfits(module_tools, hubs, tmp_path_factory):
    """The nodes that do not fit, all started together, and those that they are started against."""
    tools = module_tools

    def start(*place, ports=None, **more):
        folder = tmp_path_factory.mktemp(place[0])
        return tools.node(folder, config_of(tools, *place, **more), ports=ports or tools.free_ports()).start()

    twin = start("local-hub-twin", "local", "us-east", hubs[US])
    tools.until(lambda: twin.answers("/readyz"), 30, "the first of the twins is ready")
    absent = tools.free_ports()
    return {
        "start": start,
        "absent": absent,
        "first twin": twin,
        "second twin": start("local-hub-twin", "local", "us-east", hubs[US]),
        "foreigner": start("local-hub-x", "local", "us-east", hubs[US], federation="other"),
        "below the wrong tier": start("cluster-x", "cluster", "us-east", hubs[US]),
        "orphan": start("local-hub-y", "local", "us-east", ("regional-hub-x", absent)),
        "nameless": start("local-hub-z", "local", "us-east", ("no-such-hub.invalid", {})),
    }


def check_kept_out(tools, node, told):
    """It lives, is not ready, and says why: in its log and in its health."""
    tools.until(lambda: told in node.log(), 30, f"the log says: {told}")
    assert node.answers("/livez")
    assert node.ask("GET", "/readyz")[0] == 503
    status, health = node.ask("GET", "/health")
    assert status == 503, health
    assert told in str(health)
    assert "Traceback" not in node.log()


def check_unharmed(hubs):
    assert set(hubs[GLOBAL].members("global")) == {GLOBAL, US}
    for node in hubs.nodes.values():
        assert node.get("/health")["status"] == "healthy"


def test_a_node_of_another_federation_is_refused_by_name(hubs, misfits, tools):
    check_kept_out(tools, misfits["foreigner"], "expected federation 'mpreg', got 'other'")
    assert hubs[US].metric("mpreg_joins_refused_total") > 0
    check_unharmed(hubs)


def test_a_parent_of_the_wrong_tier_is_named_with_what_to_do(hubs, misfits, tools):
    node = misfits["below the wrong tier"]
    check_kept_out(tools, node, f"{US} is of tier regional and has no local pool for a node of tier cluster")
    assert "name a hub one tier above as parent" in node.log()
    check_unharmed(hubs)


def test_a_parent_whose_name_does_not_resolve_is_named(misfits, tools):
    check_kept_out(tools, misfits["nameless"], "no hub answers at no-such-hub.invalid:8082")


def test_a_second_node_with_an_id_in_use_is_refused_and_the_first_one_stays(hubs, misfits, tools):
    first = misfits["first twin"]
    check_kept_out(tools, misfits["second twin"], "local-hub-twin is alive at 127.0.0.1:")
    assert first.answers("/readyz")
    member = hubs[US].members("regional:us-east")["local-hub-twin"]
    assert (member["status"], member["incarnation"]) == ("alive", first.get("/api/status")["node"]["incarnation"])
    assert member["address"].rpartition(":")[2] == str(first.ports["membership_port"])


def test_a_parent_that_does_not_answer_is_named_and_joined_once_it_is_there(hubs, misfits, tools):
    node, absent = misfits["orphan"], misfits["absent"]
    check_kept_out(tools, node, f"no hub answers at 127.0.0.1:{absent['membership_port']}")
    hub = misfits["start"]("regional-hub-x", "regional", "eu-west", hubs[GLOBAL], ports=absent)
    tools.until(lambda: node.answers("/readyz"), 30, "it joins the hub that has come")
    assert node.parent() == hub.id
    assert node.get("/health")["status"] == "healthy"
