"""The generated reference pages are what the code says now."""

from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from mpreg_core.contracts import events

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reference"
SHIPPED = sorted(path.name for path in (ROOT / "plugins").iterdir() if (path / "pyproject.toml").exists())


def writer():
    spec = spec_from_file_location("reference", ROOT / "contrib" / "reference.py")
    made = module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def pages():
    return writer().pages()


@pytest.mark.parametrize("name", ["contracts.md", "hooks.md", "effects.md", "events.md"])
def test_a_page_of_the_core_is_up_to_date(pages, name):
    assert (FOLDER / name).read_text() == pages[name], "run: python contrib/reference.py"


def test_the_options_are_up_to_date(pages):
    if sorted({point.dist.name for point in entry_points(group="mpreg.v1")}) != SHIPPED:
        pytest.skip("needs all of mpreg's own plugins, and no others")
    assert (FOLDER / "options.md").read_text() == pages["options.md"], "run: python contrib/reference.py"


def test_every_event_is_on_the_page(pages):
    kinds = [name for name, kind in vars(events).items() if isinstance(kind, type) and issubclass(kind, events.Event)]
    assert [name for name in kinds if name != "Event" and f"### `{name}`" not in pages["events.md"]] == []
