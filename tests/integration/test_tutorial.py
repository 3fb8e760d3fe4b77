"""What the tutorial shows works as printed: the draft fails as told, the mended one conforms and finds a crash."""

import ast
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

from mpreg_core.plugin.discovery import load_plugins
from mpreg_core.sim import Fleet, Plan, Run, parse_faults
from mpreg_core.testing import check_strategy, installed_parts

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "detector.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def mended():
    """The draft with the methods replaced that the page replaces."""
    draft, methods = BLOCKS
    lines = draft.splitlines(keepends=True)
    (machine,) = [node for node in ast.parse(draft).body if getattr(node, "name", "") == "Heartbeat"]
    places = {node.name: (node.lineno - 1, node.end_lineno) for node in machine.body}
    for node in reversed(ast.parse(methods).body[0].body):
        source = methods.splitlines(keepends=True)[node.lineno - 1 : node.end_lineno]
        start, end = places[node.name]
        lines[start:end] = source
    return "".join(lines)


@pytest.fixture
def checked(tmp_path, monkeypatch):
    """The kit's report on a source, which lies in a file as the page has it."""

    def check(source):
        (tmp_path / "heartbeat.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "heartbeat", raising=False)
        return str(check_strategy(import_module("heartbeat").SPEC, name="heartbeat:SPEC"))

    return check


def told(results):
    """The lines that the page shows of the kit."""
    return re.findall(r"^failure_detector heartbeat: .*$", PAGE, re.MULTILINE)[results]


def test_the_draft_fails_as_the_page_says(checked):
    report = checked(BLOCKS[0])
    assert report.splitlines()[0] == told(0)
    failed = re.findall(r"^  failed   (.+?)  ", report, re.MULTILINE)
    assert failed
    assert [name for name in failed if f"- **{name}**" not in PAGE] == []


def test_the_mended_one_conforms_in_sixty_lines(checked):
    assert checked(mended()).splitlines()[0] == told(1)
    assert len([line for line in mended().splitlines() if line.strip() and not line.startswith("#")]) <= 60


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """As `pip install .` would leave it."""
    (tmp_path / "heartbeat.py").write_text(mended())
    made = tmp_path / "heartbeat-0.1.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: heartbeat\nVersion: 0.1\n")
    group, entry = re.search(r'entry-points\."(\S+)"\]\n(.+)\n', PAGE).groups()
    (made / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "heartbeat", raising=False)
    return load_plugins()


def test_installed_it_finds_a_crash_under_the_faults_of_the_page(installed):
    assert installed.find("failure_detector", "heartbeat").spec.name == "heartbeat"
    words = re.search(r"--plugins heartbeat --faults (\S+)", PAGE)[1]
    faults = parse_faults(words, Fleet.names_of(1, 2, 2, 1), 1, 60)
    outcome = Run(Plan(installed_parts("heartbeat"), (1, 2, 2, 1), 1, 60, faults)).play()
    assert outcome.held, outcome.violations
    assert outcome.detection_s[0] < 8
