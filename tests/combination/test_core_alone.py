"""Core without any plugin: it imports, says what is missing, and the simulator runs strategies of one's own.

Where everything is installed, `MPREG_PLUGINS=none` stands for an environment without plugins.
"""

import importlib.util
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

pytestmark = pytest.mark.without_plugins

SIMPLE_STRATEGIES = Path(__file__).parent.parent / "unit" / "node" / "conftest.py"
DEFAULTS = {
    "transport": "tcp", "gossip": "hybrid", "failure_detector": "swim", "consensus": "quorum", "routing": "hub",
}  # fmt: skip


@pytest.fixture
def bare(mpreg):
    """`mpreg` without plugins."""
    return partial(mpreg, MPREG_PLUGINS="none")


def test_every_module_of_core_imports_without_a_plugin():
    program = """
import pkgutil, sys, mpreg_core
for module in pkgutil.walk_packages(mpreg_core.__path__, "mpreg_core."):
    if not module.name.endswith(("__main__", ".pytest_plugin")):
        __import__(module.name)
for name in dir(mpreg_core):
    getattr(mpreg_core, name)
print([name for name in sys.modules if name.startswith("mpreg_") and not name.startswith("mpreg_core")])
"""
    done = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_help_is_there(bare):
    code, out, err = bare("--help")
    assert (code, err) == (0, "")
    assert "validate" in out


def test_the_list_of_plugins_is_empty(bare):
    code, out, err = bare("plugins", "list", "--output", "json")
    assert code == 0, err
    assert [plugin for plugin in json.loads(out) if plugin["status"] != "skipped"] == []
    code, out, err = bare("plugins", "list", "--output", "table")
    assert code == 0, err
    assert "loaded" not in out.replace("not loaded", "")


def test_validate_says_which_strategies_are_missing(bare, guide):
    code, out, err = bare("validate", guide)
    assert (code, out) == (1, f"{guide}: 5 problems\n")
    for family, name in DEFAULTS.items():
        assert f"unknown {family} strategy {name!r}" in err


def test_run_refuses_and_says_what_to_install(bare, guide):
    code, out, err = bare("run", "--config", guide)
    assert (code, out) == (78, "")
    assert "unknown transport strategy 'tcp'" in err
    assert "pip install mpreg" in err


def test_the_simulator_runs_strategies_of_ones_own():
    spec = importlib.util.spec_from_file_location("simple_strategies", SIMPLE_STRATEGIES)
    assert spec is not None
    assert spec.loader is not None
    simple = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = simple  # msgspec resolves the annotations of messages there
    spec.loader.exec_module(simple)

    def digest():
        world = simple.World(7, simple.Faults(loss=0.02))
        federation = simple.Federation(world)
        federation.grow()
        world.nodes["c-eu-2-1"].handlers["mpreg.echo"] = lambda invoke: ("", invoke.payload)
        seconds = world.run_until(federation.complete, 20)
        assert seconds < 20
        reply = federation.request("c-us-1-1", "mpreg.echo", node="c-eu-2-1").reply
        assert (reply.code, reply.payload, reply.where) == ("", b'"hi"', "c-eu-2-1")
        return world.digest()

    assert digest() == digest()
