"""`mpreg plugins` and the commands that plugins bring, with distributions made for the test."""

import json
import sys
from importlib import invalidate_caches

import pytest
from msgspec import Struct

from mpreg_core.cli.lazy import speaks_of_commands
from mpreg_core.cli.option_docs import kind, schema

GOOD = """
import pathlib, typer
from mpreg_core import hookimpl
pathlib.Path(__file__).with_suffix(".imported").touch()
app = typer.Typer()

@app.command()
def hello(name: str, loud: bool = typer.Option(False, "--loud", "-w")):
    "Say hello."
    print(f"hello {name}" + "!" * loud)

@app.command()
def bye():
    "Say bye."

@hookimpl
def mpreg_commands():
    return app
"""
BROKEN = "raise RuntimeError('boom')  # has mpreg_commands\n"
WRONG = "from mpreg_core import hookimpl\n@hookimpl\ndef mpreg_commands():\n    return 5\n"
SILENT = "from mpreg_core import hookimpl\n@hookimpl\ndef mpreg_services():\n    return []\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """`install("good", GOOD)` puts a distribution `dist-good 1.0` with the plugin `good` on the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(name, text):
        package = tmp_path / f"{name}_plugin"
        package.mkdir()
        (package / "__init__.py").write_text("raise AssertionError('imported')\n" if text is None else "")
        (package / "plugin.py").write_text(text or "")
        about = tmp_path / f"dist_{name}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[mpreg.v1]\n{name} = {name}_plugin.plugin\n")
        invalidate_caches()
        return package / "plugin.imported"

    yield put
    for module in [module for module in sys.modules if module.split(".")[0].endswith("_plugin")]:
        del sys.modules[module]


def test_a_plugins_commands_are_under_its_name(cli, install):
    install("good", GOOD)
    assert cli("good", "hello", "you").stdout == "hello you\n"
    assert "Say bye." in cli("good", "--help").stdout


def test_a_plugins_own_options_are_left_alone(cli, install):
    install("good", GOOD)
    assert cli("good", "hello", "you", "-w").stdout == "hello you!\n"


def test_help_lists_a_plugins_commands_without_importing_it(cli, install):
    imported = install("good", GOOD)
    install("silent", SILENT)
    text = cli("--help").stdout
    assert "From plugins:\n  good  Commands of dist-good.\n" in text
    assert "silent" not in text
    assert not imported.exists()
    cli("good", "bye")
    assert imported.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BROKEN, "mpreg: plugin bad (dist-bad 1.0): RuntimeError: boom\n"),
        (WRONG, "mpreg: plugin bad (dist-bad 1.0): TypeError: mpreg_commands: expected a typer.Typer, got 5\n"),
    ],
)
def test_a_broken_plugins_commands_break_no_others(cli, install, text, said):
    install("bad", text)
    install("good", GOOD)
    assert "bad   Commands of dist-bad." in cli("--help").stdout
    result = cli("bad", "do")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", said)
    assert cli("good", "hello", "you").exit_code == 0
    assert cli("plugins", "list").exit_code == 0


def test_a_plugin_without_commands_is_wrong_usage(cli, install):
    install("silent", SILENT)
    result = cli("silent", "do")
    assert result.exit_code == 2
    assert "plugin silent (dist-silent 1.0) has no commands" in result.stderr


def test_a_blocked_plugins_commands_are_not_imported(cli, install, monkeypatch):
    imported = install("good", GOOD)
    monkeypatch.setenv("MPREG_PLUGINS_BLOCK", "good")
    result = cli("good", "bye")
    assert (result.exit_code, result.stderr) == (1, "mpreg: plugin good (dist-good 1.0) is not loaded: blocked\n")
    monkeypatch.setenv("MPREG_PLUGINS", "none")
    assert "good" not in cli("--help").stdout
    assert not imported.exists()


def test_a_verb_wins_over_a_plugin_of_its_name(cli, install):
    imported = install("status", GOOD)
    cli("status", "--help")
    help_lines = cli("--help").stdout.splitlines()
    assert len([line for line in help_lines if line.startswith("  status ")]) == 1
    assert not imported.exists()


@pytest.mark.parametrize("module", ["no.such.module", "sys", "mpreg_core.nothing"])
def test_a_module_without_text_speaks_of_nothing(module):
    assert not speaks_of_commands(module)


# --- list and show ---


def listed(result):
    return {row["name"]: row for row in json.loads(result.stdout)}


def test_the_list_tells_distribution_version_and_why_one_failed(cli, install):
    install("bad", BROKEN)
    rows = listed(cli("plugins", "list"))
    assert rows["bad"] == {
        "name": "bad", "distribution": "dist-bad", "version": "1.0", "status": "failed",
        "error": "plugin bad (dist-bad 1.0): RuntimeError: boom",
    }  # fmt: skip
    assert rows["swim"]["distribution"] == "mpreg-detector-swim"
    assert [strategy["name"] for strategy in rows["swim"]["strategies"]] == ["swim"]
    table = cli("plugins", "list", "--output", "table").stdout
    assert "dist-bad 1.0" in table
    assert "RuntimeError: boom" in table


def test_with_a_configuration_the_list_tells_what_is_selected_where(cli, tmp_path):
    file = tmp_path / "hub.yaml"
    file.write_text("node: {id: a, region: eu, hub_tier: local}\ntiers: {local: {membership: {strategy: phi}}}\n")
    rows = listed(cli("plugins", "list", "--config", str(file)))
    assert rows["phi"]["strategies"][0]["selected"] == ["local"]
    assert rows["swim"]["strategies"][0]["selected"] == ["regional"]
    assert "hybrid: local, regional" in cli("plugins", "list", "--config", str(file), "-o", "table").stdout
    forced = listed(cli("plugins", "list", "--config", str(file), "--plugins", "regional:phi"))
    assert forced["swim"]["strategies"][0]["selected"] == []


def test_a_configuration_that_selects_what_failed_is_1_and_still_listed(cli, install, tmp_path):
    install("bad", BROKEN)
    file = tmp_path / "hub.yaml"
    file.write_text("node: {id: a, region: eu, hub_tier: local}\nmembership: {strategy: bad}\n")
    result = cli("plugins", "list", "--config", str(file))
    assert result.exit_code == 1
    assert listed(result)["bad"]["status"] == "failed"
    assert "RuntimeError: boom" in result.stderr


def test_a_required_plugin_that_is_not_there_is_1_and_the_others_are_listed(cli, tmp_path):
    file = tmp_path / "hub.yaml"
    file.write_text("node: {id: a, region: eu, hub_tier: local}\nplugins: {require: [mpreg-nosuch]}\n")
    result = cli("plugins", "list", "--config", str(file))
    assert result.exit_code == 1
    assert "swim" in listed(result)
    assert "expected mpreg-nosuch to be installed" in result.stderr


def test_options_are_shown_as_a_table_and_as_json_schema(cli):
    schema = json.loads(cli("plugins", "show", "swim", "--output", "json").stdout)
    assert (schema["name"], schema["family"], schema["distribution"]) == (
        "swim", "failure_detector", "mpreg-detector-swim",
    )  # fmt: skip
    interval = schema["properties"]["probe_interval"]
    assert (interval["type"], interval["minimum"], interval["default"]) == ("number", 0.05, 1.0)
    assert interval["description"].startswith("between two probes of this node.")
    assert schema["additionalProperties"] is False
    table = cli("plugins", "show", "swim", "--output", "table").stdout
    assert "probe_interval     number >= 0.05, <= 60            1.0      between two probes of this node." in table


def test_a_bound_reads_alike_as_an_integer_and_as_a_float():
    bounded = [{"type": "number", "exclusiveMinimum": low, "maximum": high} for low, high in ((0, 60), (0.0, 60.0))]
    assert [kind(each, {}) for each in bounded] == ["number > 0, <= 60"] * 2
    assert kind({"type": "number", "minimum": 0.05}, {}) == "number >= 0.05"


def test_every_option_of_every_strategy_has_a_meaning(cli):
    for row in listed(cli("plugins", "list")).values():
        found = json.loads(cli("plugins", "show", row["name"]).stdout)
        for sheet in found if isinstance(found, list) else [found]:
            for name, option in sheet["properties"].items():
                assert option.get("description"), f"{sheet['name']}: {name}"


def test_a_plugins_name_shows_all_that_it_provides(cli):
    sheets = json.loads(cli("plugins", "show", "mpreg-gossip-epidemic").stdout)
    assert {"random", "proximity", "topology_aware", "hybrid"} == {sheet["name"] for sheet in sheets}


def test_what_is_not_there_is_1_with_what_is_near(cli, install):
    install("bad", BROKEN)
    unknown = cli("plugins", "show", "swmi")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "no strategy, service or plugin is called 'swmi', did you mean 'swim'?" in unknown.stderr
    failed = cli("plugins", "show", "bad")
    assert (failed.exit_code, failed.stderr) == (1, "mpreg: plugin bad (dist-bad 1.0): RuntimeError: boom\n")


def test_options_without_a_docstring_are_not_told_by_that_of_their_base():
    class Plain(Struct):
        size: int = 1

    assert schema(Plain)["description"] == ""
