"""ARCHITECTURE.md and README.md tell the truth: all modules are listed, what is named exists, links lead somewhere."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]


def test_the_list_of_modules_is_what_is_there():
    spec = spec_from_file_location("architecture", ROOT / "contrib" / "architecture.py")
    writer = module_from_spec(spec)
    spec.loader.exec_module(writer)
    assert all(first for *_, first in writer.modules()), "every module begins with what it holds"
    assert (ROOT / "ARCHITECTURE.md").read_text() == writer.page(), "run: python contrib/architecture.py"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL).partition("<!-- modules -->")[0]
    named = set(re.findall(r"`([\w./-]+\.(?:py|md|toml|ini|txt)|[\w-]+/[\w./-]*)`", text))
    folders = (ROOT, ROOT / "mpreg_core")
    missing = [name for name in sorted(named) if not any((folder / name).exists() for folder in folders)]
    in_plugins = [name for name in missing if list(ROOT.glob(f"plugins/*/*/{name}"))]
    patterns = [name for name in missing if "FAMILY" in name]
    assert [name for name in missing if name not in in_plugins + patterns] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
        assert (ROOT / target).exists(), target
