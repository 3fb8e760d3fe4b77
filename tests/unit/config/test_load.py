"""Loading a configuration: layers, checks, and errors that say where and what."""

import base64
from pathlib import Path

import pytest

from mpreg_core.config.load import load_config, read_config
from mpreg_core.config.model import Peer
from mpreg_core.config.problems import ConfigProblems
from mpreg_core.contracts.members import Coordinates
from mpreg_core.contracts.transport import Endpoint

DATA = Path(__file__).parent / "data"
KEY = base64.b64encode(bytes(32)).decode()


def problems_of(text: str, tmp_path: Path, **env: str) -> list[str]:
    """The problems of a file's text, without the folder."""
    path = tmp_path / "f.yaml"
    path.write_text(text)
    with pytest.raises(ConfigProblems) as caught:
        load_config(path, env=env)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


# the guide's files


def test_the_guides_production_file_is_valid_as_printed() -> None:
    config = load_config(DATA / "production.yaml", env={})
    assert (config.node.id, config.node.region, config.node.hub_tier) == ("global-hub-001", "us-east", "global")
    assert config.node.coordinates == Coordinates(latitude=40.7128, longitude=-74.006)
    assert (config.network.listen_port, config.network.consensus_port, config.network.routing_port) == (
        8080,
        8083,
        8084,
    )
    assert config.gossip.strategy == "hybrid"
    assert config.gossip.options == {"interval": 1.0, "fanout": 3}
    assert config.membership.strategy is None
    assert config.membership.options == {"probe_interval": 2.0, "probe_timeout": 5.0, "suspicion_timeout": 30.0}
    assert config.consensus.options == {"threshold": 0.6, "proposal_timeout": 10.0}
    assert (config.monitoring.metrics_enabled, config.monitoring.health_check_interval) == (True, 30.0)
    assert config.warnings == ()


def test_the_guides_security_file_is_valid_as_printed() -> None:
    secret = "01234567890123456789012345678901"
    security = load_config(DATA / "security.yaml", env={"JWT_SECRET_KEY": secret}).security
    assert security.tls_enabled
    assert security.authentication is not None
    # A text although it looks like a number: the key's type decides.
    assert security.authentication.secret_key == secret
    assert security.authentication.token_expiry == 3600
    assert security.authorization is not None
    assert security.authorization.operator_roles == ("federation_operator",)


def test_the_guides_environment_overrides_the_file() -> None:
    env = {
        "MPREG_NODE_ID": "17",
        "MPREG_REGION": "eu",
        "MPREG_HUB_TIER": "local",
        "MPREG_PARENT_HUB": "regional-hub-us-east",
        "MPREG_CONFIG_PATH": str(DATA / "production.yaml"),
        "MPREG_LOG_LEVEL": "warning",
        "MPREG_METRICS_ENABLED": "false",
        "MPREG_MAX_REGIONAL_HUBS": "10",
        "MPREG_MAX_CHILD_HUBS": "20",
        "MPREG_MAX_CLUSTERS": "100",
    }
    config = load_config(env=env)
    assert (config.node.id, config.node.region, config.node.hub_tier) == ("17", "eu", "local")
    assert config.node.parent_hub == "regional-hub-us-east"
    assert config.logging.level == "WARNING"
    assert config.monitoring.metrics_enabled is False
    assert (config.hubs.max_regional_hubs, config.hubs.max_child_hubs, config.hubs.max_clusters) == (10, 20, 100)
    assert config.gossip.strategy == "hybrid"  # from the file that MPREG_CONFIG_PATH names


# layers


def test_flags_beat_set_beats_environment_beats_file_beats_defaults(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("node: {id: file, region: file, hub_tier: local, parent_hub: file}")
    config = load_config(
        path,
        env={"MPREG_NODE_ID": "env", "MPREG_REGION": "env", "MPREG_PARENT_HUB": "env"},
        sets=["node.id=set", "node.region=set"],
        overrides={"node.id": "flag", "node.region": None},
    )
    node = config.node
    assert (node.id, node.region, node.parent_hub, node.hub_tier) == ("flag", "set", "env", "local")
    assert config.federation.name == "mpreg"


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("node.id=5", "node.id", "5"),
        ("network.gossip_port=0", "network.gossip_port", 0),
        ("network.connection_timeout=5", "network.connection_timeout", 5.0),
        ("monitoring.metrics_enabled=off", "monitoring.metrics_enabled", False),
        ("security.tls_enabled=false", "security.tls_enabled", False),
        ("federation.seeds=a:1, b:2", "federation.seeds", ("a:1", "b:2")),
        ("federation.seeds=[a:1, b:2]", "federation.seeds", ("a:1", "b:2")),
        ("node.coordinates.latitude=2", "node.coordinates", Coordinates(latitude=2.0, longitude=1.0)),
        ("node.coordinates={latitude: 3, longitude: 4}", "node.coordinates", Coordinates(latitude=3, longitude=4)),
        ("node.tags.zone=a=b", "node.tags", {"zone": "a=b"}),
        ("federation.peers.h2=host", "federation.peers", {"h2": "host"}),
    ],
)
def test_a_set_value_takes_the_type_of_its_key(setting: str, path: str, value: object) -> None:
    data = {"node": {"coordinates": {"latitude": 1, "longitude": 1}}}
    config, problems = read_config(data=data, env={}, sets=[setting])
    assert problems == []
    section, key = path.split(".")
    assert getattr(getattr(config, section), key) == value
    assert data == {"node": {"coordinates": {"latitude": 1, "longitude": 1}}}


def test_a_systematic_variable_reaches_any_key() -> None:
    env = {
        "MPREG_NETWORK__GOSSIP_PORT": "7001",
        "MPREG_TIERS__LOCAL__GOSSIP__FANOUT": "4",
        "MPREG_HUBS__MAX_CLUSTERS": "",
    }
    config = load_config(env=env)
    assert config.network.gossip_port == 7001
    assert config.tiers["local"]["gossip"].options == {"fanout": "4"}
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("MPREG_NODEID", "did you mean 'MPREG_NODE_ID'?"),
        ("MPREG_NETWORK__GOSIP_PORT", "did you mean 'MPREG_NETWORK__GOSSIP_PORT'?"),
        ("MPREG_SOMETHING_ELSE_ALTOGETHER", "keys are MPREG_<SECTION>__<KEY>"),
    ],
)
def test_a_misspelt_variable_is_a_warning_that_does_not_show_its_value(name: str, guess: str) -> None:
    (warning,) = load_config(env={name: "hunter2"}).warnings
    assert str(warning).startswith(f"environment variable {name}: unknown, ignored")
    assert guess in str(warning)
    assert "hunter2" not in str(warning)


def test_a_node_without_id_takes_the_hosts_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "worker-7.example.org")
    assert load_config(env={}).node.id == "worker-7"


# ${NAME}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${REGION}", "eu"),
        ("a-${REGION}-${ZONE}", "a-eu-1"),
        ("${ABSENT:-us}", "us"),
        ("${EMPTY:-us}", "us"),
        ("${REGION:-us}", "eu"),
        ("${LOOP}", None),  # what comes in is not looked into: `${REGION}` is no region
    ],
)
def test_a_variable_is_replaced_in_texts(text: str, value: str | None, tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(f"node: {{region: '{text}', id: n}}")
    config, problems = read_config(path, env={"REGION": "eu", "ZONE": "1", "EMPTY": "", "LOOP": "${REGION}"})
    assert (config.node.region == value) is (value is not None)
    assert bool(problems) is (value is None)


def test_a_variable_takes_the_type_of_its_key(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("network: {gossip_port: '${PORT}', tcp_nodelay: '${DELAY:-no}'}\nnode: {id: '${PORT}'}")
    config = load_config(path, env={"PORT": "7000"})
    assert (config.network.gossip_port, config.network.tcp_nodelay, config.node.id) == (7000, False, "7000")


# errors


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "node: {hub_tier: globl}",
            "node.hub_tier: expected one of global, regional, local, cluster, got 'globl', did you",
        ),
        ("node: {regin: x}", "node.regin: unknown key, did you mean 'region'?"),
        ("nodes: {id: x}", "nodes: unknown key, did you mean 'node'?"),
        (
            "node: {zzz: x}",
            "node.zzz: unknown key "
            "(known: coordinates, data_dir, goes_home, hub_tier, id, parent_hub, region, stands_by_for, tags)",
        ),
        ("node: [1]", "node: expected a mapping, got a list"),
        ("node: {region: no}", "node.region: expected a text, got false: YAML reads yes, no, on and off as true"),
        ("node: {id: 5}", "node.id: expected a text, got 5"),
        ("node: {id: 'a b'}", "node.id: expected 1 to 63 letters, digits, '.', '_' or '-'"),
        ("node: {id: ''}", "node.id: expected 1 to 63 letters"),
        ("node: {id: a, parent_hub: a}", "node.parent_hub: expected another node's id, got this node's own"),
        ("node: {hub_tier: global, parent_hub: b}", "node.parent_hub: a global hub has no parent"),
        ("node: {hub_tier: local, stands_by_for: b}", "node.stands_by_for: only a global or regional hub"),
        (
            "node: {id: a, hub_tier: global, stands_by_for: a}",
            "node.stands_by_for: expected another hub's id, got this",
        ),
        (
            "node: {coordinates: {latitude: 91, longitude: 0}}",
            "node.coordinates.latitude: expected a number from -90 to 90",
        ),
        ("node: {coordinates: {latitude: 1}}", "node.coordinates: expected the key 'longitude', got none"),
        ("node: {tags: {a: 1}}", "node.tags.a: expected a text, got 1"),
        (f"node: {{tags: {{a: {'x' * 129}}}}}", "node.tags.a: expected at most 128 bytes"),
        ("network: {gossip_port: 65536}", "network.gossip_port: expected an integer from 0 to 65535, got 65536"),
        ("network: {gossip_port: 8080.5}", "network.gossip_port: expected an integer from 0 to 65535, got 8080.5"),
        ("network: {gossip_port: true}", "network.gossip_port: expected an integer from 0 to 65535, got true"),
        (
            "network: {gossip_port: 8080}",
            "network.gossip_port: expected a port of its own, got 8080, which network.listen",
        ),
        (
            "network: {routing_port: 9090}",
            "monitoring.metrics_port: expected a port of its own, got 9090, which network.rou",
        ),
        (
            "network: {connection_timeout: 12:30}",
            "network.connection_timeout: expected a number > 0 and <= 31536000, got",
        ),
        (
            "network: {connection_timeout: 0}",
            "network.connection_timeout: expected a number > 0 and <= 31536000, got 0",
        ),
        ("network: {listen_host: 'a b'}", "network.listen_host: expected a host name or address, got 'a b'"),
        ("network: {connection_timeout:}\nnode: {id:}", "node.id: expected a text, got nothing"),
        ("federation: {seeds: ['a:x']}", "federation.seeds[0]: expected a port from 1 to 65535 after the last colon"),
        ("federation: {seeds: ['a:1', 'a:b:c']}", "federation.seeds[1]: expected host:port or [IPv6 address]:port"),
        ("federation: {seeds: [1]}", "federation.seeds[0]: expected a text, got 1"),
        ("federation: {peers: {a: 'b:1'}}", "federation.peers.a: expected a host without a port"),
        (
            "federation: {peers: {a: {gossip_prt: 1}}}",
            "federation.peers.a.gossip_prt: unknown key, did you mean 'gossip_p",
        ),
        ("federation: {peers: {-a: b}}", "federation.peers.-a: expected 1 to 63 letters"),
        ("gossip: hybrid", "gossip: expected a mapping, got a text"),
        ("gossip: {strategy: 5}", "gossip.strategy: expected a text, got 5"),
        ("tiers: {locl: {}}", "tiers.locl: unknown key, did you mean 'local'?"),
        ("tiers: {local: {gosip: {}}}", "tiers.local.gosip: unknown key, did you mean 'gossip'?"),
        ("plugins: {require: ['a>=x']}", "plugins.require[0]: expected a distribution and versions"),
        ("logging: {format: xml}", "logging.format: expected one of console, json, got 'xml'"),
        (
            "monitoring: {tracing: {sample_ratio: 2}}",
            "monitoring.tracing.sample_ratio: expected a number from 0 to 1, got 2",
        ),
        (
            "security: {tls_enabled: true, cert_file: x, ca_file: y}",
            "security.key_file: expected a path, since tls_enabled is true",
        ),
        ("security: {gossip_keys: [hunter2]}", "security.gossip_keys[0]: expected base64 of 16, 24 or 32 bytes"),
        (
            "security: {authentication: {method: jwt}}",
            "security.authentication.secret_key: expected the key that signs",
        ),
        (
            "security: {authentication: {method: jwt, secret_key: hunter2}}",
            "security.authentication.secret_key: expected at least 32 bytes (`openssl rand -base64 32`), got 7",
        ),
        (
            "security: {authentication: {secret_key: 12}}",
            "security.authentication.secret_key: expected a text that is not",
        ),
        (
            "node: {region: '${ABSENT}'}",
            "node.region: environment variable ABSENT is not set; set it, or write ${ABSENT:-",
        ),
        ("node: {region: '${AB SENT}'}", "node.region: expected ${NAME} or ${NAME:-default}"),
        ("- a", "expected a mapping of sections"),
    ],
    ids=lambda text: text[:40],
)
def test_a_problem_is_told_once_with_file_line_and_path(text: str, problem: str, tmp_path: Path) -> None:
    (found,) = problems_of(text, tmp_path)
    line = found.split(":")[1]
    assert found.removeprefix(f"f.yaml:{line}: ").startswith(problem)
    assert "hunter2" not in found


def test_every_problem_of_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    text = (
        "node:\n  id: 5\n  hub_tier: globl\nnetwork:\n  gossip_port: x\n  gosip: 1\ntiers:\n  local:\n    x: {}\nz: 1\n"
    )
    assert [found.split(": ")[0:2] for found in problems_of(text, tmp_path)] == [
        ["f.yaml:2", "node.id"],
        ["f.yaml:3", "node.hub_tier"],
        ["f.yaml:5", "network.gossip_port"],
        ["f.yaml:6", "network.gosip"],
        ["f.yaml:9", "tiers.local.x"],
        ["f.yaml:10", "z"],
    ]


@pytest.mark.parametrize(
    ("env", "sets", "problem"),
    [
        ({"MPREG_HUB_TIER": "globl"}, [], "environment variable MPREG_HUB_TIER: node.hub_tier: expected one of global"),
        (
            {"MPREG_MAX_CLUSTERS": "0"},
            [],
            "environment variable MPREG_MAX_CLUSTERS: hubs.max_clusters: expected an int",
        ),
        ({}, ["network.gossip_port=inf"], "--set: network.gossip_port: expected an integer from 0 to 65535, got 'inf'"),
        ({}, ["network.connection_timeout=inf"], "--set: network.connection_timeout: expected a number > 0"),
        ({}, ["network.connection_timeout=nan"], "--set: network.connection_timeout: expected a "),
        ({}, ["hunter2"], "--set: expected section.key=value, got something that begins"),
        ({}, ["a..b=1"], "--set: expected section.key=value"),
        ({}, ["nodee.id=1"], "--set: nodee: unknown key, did you mean 'node'?"),
        ({}, ["node.id.x=1"], "--set: node.id: expected a text, got a mapping"),
        ({}, ["federation.seeds=[a"], "--set: not valid YAML"),
        ({"MPREG_NODE__ID__X": "1", "MPREG_NODE_ID": "n"}, [], "environment variable MPREG_NODE__ID__X: node.id"),
    ],
)
def test_a_problem_outside_the_file_names_its_source(env: dict[str, str], sets: list[str], problem: str) -> None:
    with pytest.raises(ConfigProblems) as caught:
        load_config(env={"MPREG_REGION": "eu", **env}, sets=sets)
    assert str(caught.value).startswith(problem)


# what a configuration answers


def test_a_hub_that_is_no_peer_is_a_host_with_the_default_ports() -> None:
    peers = {"a": "10.0.0.1", "b": {"host": "h", "gossip_port": 1}}
    config, problems = read_config(data={"federation": {"peers": peers}}, env={})
    assert problems == []
    assert config.peer("a") == Peer(host="10.0.0.1")
    assert config.peer("b") == Peer(host="h", gossip_port=1, membership_port=8082)
    assert config.peer("regional-hub-us-east") == Peer(host="regional-hub-us-east")


def test_seeds_are_membership_endpoints() -> None:
    seeds = ["a:1", "b", "[::1]:2", "::1", "[fe80::1]", "10.0.0.1:65535"]
    config, problems = read_config(data={"federation": {"seeds": seeds}}, env={})
    assert problems == []
    expected = [("a", 1), ("b", 8082), ("::1", 2), ("::1", 8082), ("fe80::1", 8082), ("10.0.0.1", 65535)]
    assert config.seeds() == tuple(Endpoint(*pair) for pair in expected)


def test_ports_of_zero_need_not_differ() -> None:
    ports = {f"{plane}_port": 0 for plane in ("listen", "gossip", "membership", "consensus", "routing")}
    assert read_config(data={"network": ports, "monitoring": {"metrics_port": 0}}, env={})[1] == []


def test_a_metrics_port_that_is_not_used_may_be_anothers() -> None:
    data = {"network": {"routing_port": 9090}, "monitoring": {"metrics_enabled": False}}
    assert read_config(data=data, env={})[1] == []


def test_a_requirement_that_cannot_be_read_is_not_handed_on() -> None:
    config, problems = read_config(data={"plugins": {"require": ["a>=1", "b>=x"]}}, env={})
    assert [problem.path for problem in problems] == ["plugins.require[1]"]
    assert config.plugins.require == ()


def test_good_keys_are_kept_beside_bad_ones() -> None:
    config, problems = read_config(data={"node": {"id": "n", "region": 5}, "security": {"gossip_keys": [KEY]}}, env={})
    assert [problem.path for problem in problems] == ["node.region"]
    assert (config.node.id, config.node.region, config.security.gossip_keys) == ("n", "default", (KEY,))
    assert [warning.path for warning in config.warnings] == ["security.gossip_keys"]
    assert "in the clear in spite of the keys" in config.warnings[0].message
