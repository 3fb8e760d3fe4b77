"""What several files say about the distributions agrees."""

import re
import tomllib
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

import mpreg_core

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))


def project(folder: str) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def name_of(requirement: str) -> str:
    return re.split(r"[^a-z0-9-]", requirement.removeprefix("-e ./plugins/"), maxsplit=1)[0]


def test_the_version_in_the_code_is_the_distributions() -> None:
    assert project(".")["version"] == mpreg_core.__version__


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_is_named_as_its_folder_and_has_one_entry_point(plugin: str) -> None:
    module = plugin.replace("-", "_")
    assert project(f"plugins/{plugin}")["name"] == plugin
    (entry,) = project(f"plugins/{plugin}")["entry-points"]["mpreg.v1"].values()
    assert entry == f"{module}.plugin"
    assert (ROOT / "plugins" / plugin / module / "py.typed").exists()


def test_every_plugin_is_in_the_extra_all_and_in_the_tox_environments_with_everything() -> None:
    tox = ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    installed = tox["everything"]["deps"].split("\n")
    assert [name_of(line) for line in project(".")["optional-dependencies"]["all"]] == PLUGINS
    assert [name_of(line) for line in installed if "plugins" in line] == PLUGINS


def test_constraints_are_names_and_versions_alone() -> None:
    lines = (ROOT / "contrib" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[a-z0-9.]+", line)] == []
