"""`mpreg plugins new`: what it makes conforms, is found by its entry point, and does not overwrite anybody's work."""

import subprocess
import sys

import pytest

from mpreg_core.cli.plugins_new import TEMPLATES

CHECKS = ("purity", "effects", "wire", "options", "snapshot", "hostile input", "requests arrive", "items reach all")
MPREG = [sys.executable, "-m", "mpreg_core"]


def mpreg(*args, path=""):
    env = {"PYTHONPATH": str(path), "PATH": ""}
    return subprocess.run([*MPREG, *args], capture_output=True, text=True, check=False, env=env, timeout=120)


@pytest.mark.parametrize("family", TEMPLATES)
def test_the_project_of_each_family_conforms(tmp_path, family):
    folder = tmp_path / "mpreg-mine"
    done = mpreg("plugins", "new", str(folder), "--family", family)
    assert done.returncode == 0, done.stderr
    assert "mpreg plugins check mpreg-mine" in done.stdout
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    package = {f"mpreg_mine/{name}.py" for name in ("__init__", "options", "messages", "machine", "plugin")}
    assert found == package | {
        "mpreg_mine/py.typed", "pyproject.toml", "README.md", "tox.ini", "tests/test_conformance.py",
    }  # fmt: skip
    made = folder / "mpreg_mine-0.1.0.dist-info"  # as an installer would leave it
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: mpreg-mine\nVersion: 0.1.0\n")
    (made / "entry_points.txt").write_text("[mpreg.v1]\nmine = mpreg_mine.plugin\n")
    shown = mpreg("plugins", "show", "mine", "--output", "json", path=folder)
    assert shown.returncode == 0, shown.stderr
    code = (
        "from mpreg_core.testing import check_strategy as c; from mpreg_mine.plugin import SPEC as S; r = c(S, only={})"
    )
    command = [sys.executable, "-c", f"{code.format(CHECKS)}; print(r); raise SystemExit(not r.passed)"]
    env = {"PYTHONPATH": str(folder), "PATH": ""}
    checked = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=120)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("new", "--family", "gosip"), 2, "did you mean 'gossip'?, got 'gosip'"),
        (("new", "--family", "transport"), 2, "begin from a shipped one"),
        (("new", "--name", "My-Name"), 2, "expected lower-case letters, digits and _"),
        (("full",), 1, "is there already"),
    ],
)
def test_what_cannot_be_made_is_told_and_nothing_is_written(tmp_path, args, code, words):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    done = mpreg("plugins", "new", str(tmp_path / args[0]), *args[1:])
    assert done.returncode == code
    assert words in done.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["mine.txt"]
