"""What an operator gets wrong before a node runs: `mpreg run` ends at once, says what is wrong where, and what to do.

78 is a configuration or set of plugins that it refuses, 1 a place where it cannot run.
"""

import os
import signal
import socket

import pytest

pytestmark = pytest.mark.integration

PLUGIN = """
from msgspec import Struct
from mpreg_core import RouterSpec, hookimpl

class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    depth: int = 1

def create(context, options):
    raise AssertionError

@hookimpl
def mpreg_routers():
    return [RouterSpec(name="NAME", summary="routes", options=Options, create=create)]
"""


def written(folder, text):
    file = folder / "node.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.fixture
def install(tmp_path):
    """Lays a distribution with one plugin into a folder; gives the environment in which it is installed."""
    folder = tmp_path / "packages"

    def make(name, source, group="mpreg.v1"):
        info = folder / f"{name.replace('-', '_')}-1.4.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.4\n")
        (info / "entry_points.txt").write_text(f"[{group}]\nring = {name.replace('-', '_')}\n")
        (folder / f"{name.replace('-', '_')}.py").write_text(source)
        return {"PYTHONPATH": str(folder)}

    return make


# configuration


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("node: {id: a}\n\tnetwork: {}", "node.yaml:2: not valid YAML"),
        (b"node: \xff\xfe", "node.yaml:1: expected UTF-8 text"),
        ("x: " + "a" * (1 << 20), "node.yaml: "),
        ("node:\n  hub_teir: local", "node.yaml:2: node.hub_teir: unknown key, did you mean 'hub_tier'?"),
        ("gossip:\n  strategy: hybird", "unknown gossip strategy 'hybird', did you mean 'hybrid'? (installed: "),
        ("gossip:\n  fanuot: 3", "node.yaml:2: gossip.fanuot: unknown key, did you mean 'fanout'?"),
        ("consensus:\n  threshold: 7", "node.yaml:2: consensus.threshold: expected"),
    ],
    ids=["syntax", "bytes", "size", "key", "strategy", "option", "bound"],
)
def test_a_wrong_file_is_refused_with_its_line(tools, tmp_path, text, problem):
    file = written(tmp_path, text)
    code, out, err = tools.mpreg("run", "--config", file)
    assert (code, out) == (78, "")
    assert problem in err
    assert str(file) in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_a_file_that_cannot_be_read_is_refused(tools, tmp_path, name):
    code, _, err = tools.mpreg("run", "--config", tmp_path / name)
    assert code == 78
    assert f"{tmp_path / name}: cannot be read: " in err


def test_a_flag_that_is_not_known_is_refused_with_what_there_is(tools):
    code, _, err = tools.mpreg("run", "--config", tools.guide, "--plugins", "swmi")
    assert code == 78
    assert "--plugins swmi: unknown plugin or strategy 'swmi', did you mean 'swim'? (installed: " in err


# plugins


def test_a_plugin_that_fails_to_import_is_fatal_only_where_it_is_chosen(tools, install):
    env = install("mpreg-routing-ring", "raise RuntimeError('no ring today')")
    code, _, err = tools.mpreg("run", "--config", tools.guide, "--plugins", "routing=ring", env=env)
    assert code == 78
    assert "mpreg-routing-ring 1.4" in err
    assert "RuntimeError: no ring today" in err
    code, out, err = tools.mpreg("validate", tools.guide, env=env)
    assert (code, out) == (0, f"{tools.guide}: valid\n")
    assert "RuntimeError: no ring today" in err
    code, out, _ = tools.mpreg("plugins", "list", "--output", "json", env=env)
    assert code == 0
    assert "no ring today" in out


def test_two_plugins_with_one_strategy_are_refused_and_both_are_named(tools, install):
    env = install("mpreg-routing-ring", PLUGIN.replace("NAME", "hub"))
    code, _, err = tools.mpreg("run", "--config", tools.guide, env=env)
    assert code == 78
    assert "routing strategy 'hub' is provided by mpreg-routing-hub 0.1.0" in err
    assert "mpreg-routing-ring 1.4" in err
    assert "plugins.block" in err


def test_a_plugin_of_another_contract_is_never_imported_and_the_reason_is_told(tools, install, tmp_path):
    proof = tmp_path / "imported"
    env = install("mpreg-routing-ring", f"open({str(proof)!r}, 'w')", group="mpreg.v2")
    code, _, err = tools.mpreg("run", "--config", tools.guide, "--plugins", "routing=ring", env=env)
    assert code == 78
    assert "mpreg-routing-ring 1.4" in err
    assert "built for mpreg.v2, this core speaks mpreg.v1" in err
    assert not proof.exists()


# the place where it runs


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("network.gossip_port", socket.SOCK_DGRAM),
        ("network.membership_port", socket.SOCK_STREAM),
        ("network.consensus_port", socket.SOCK_STREAM),
        ("network.routing_port", socket.SOCK_DGRAM),
        ("network.listen_port", socket.SOCK_STREAM),
        ("monitoring.metrics_port", socket.SOCK_STREAM),
    ],
)
def test_a_port_in_use_is_named(tools, tmp_path, key, kind):
    port = key.rpartition(".")[2]
    ports = tools.free_ports()
    config = tools.guide_config("global-hub-001", "global", "us-east", network={"listen_host": "127.0.0.1"})
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", ports[port]))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        node = tools.node(tmp_path, config, ports=ports).start()
        assert node.ended(20) == 1
    assert f"127.0.0.1:{ports[port]}" in node.log()
    assert "address already in use" in node.log()
    assert f"set another {key}" in node.log()
    assert "Traceback" not in node.log()


def test_a_data_directory_that_is_a_file_is_refused(tools, tmp_path):
    (tmp_path / "data").write_text("")
    code, _, err = tools.mpreg("run", "--config", tools.guide, "--set", f"node.data_dir={tmp_path / 'data'}")
    assert code == 1
    assert f"{tmp_path / 'data' / 'global-hub-001'}: cannot use the data directory: " in err
    assert "set node.data_dir" in err


def test_a_data_directory_that_may_not_be_written_is_refused(tools, tmp_path, read_only):
    code, _, err = tools.mpreg("run", "--config", tools.guide, "--set", f"node.data_dir={read_only}")
    assert code == 1
    assert f"{read_only / 'global-hub-001'}: cannot use the data directory: " in err
    assert "make it writable or set node.data_dir" in err


def test_a_data_directory_in_use_by_another_node_is_refused(tools, tmp_path):
    config = tools.guide_config(
        "global-hub-001", "global", "us-east",
        node={"data_dir": str(tmp_path / "data")}, network={"listen_host": "127.0.0.1"},
    )  # fmt: skip
    first = tools.node(tmp_path, config, ports=tools.free_ports()).start()
    tools.until(lambda: first.answers("/readyz"), 20, "the first is ready")
    (tmp_path / "second").mkdir()
    second = tools.node(tmp_path / "second", config, ports=tools.free_ports()).start()
    assert second.ended(20) == 1
    assert "another running node uses this data directory" in second.log()
    assert first.get("/health")["status"] == "healthy"
    first.signal(signal.SIGTERM)
    assert first.ended(5) == 0


@pytest.fixture
def read_only(tmp_path, tools):
    """A folder that nobody may write to, not even root."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    if os.geteuid() == 0:
        tools.mount("ro,size=64k", folder)
    else:
        folder.chmod(0o500)
    return folder
