"""Writes the list of modules at the end of ARCHITECTURE.md from the first line of each module's docstring."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "ARCHITECTURE.md"
MARK = "<!-- modules -->\n"


def modules() -> Iterator[tuple[str, str, str]]:
    """Folder, file and first line of every module of the core that holds code."""
    core = ROOT / "mpreg_core"
    for path in sorted(core.rglob("*.py"), key=lambda path: (path.parent != core, path.parent, path.name)):
        tree = ast.parse(path.read_text())
        if path.name != "__init__.py" or path.parent == core:
            first = (ast.get_docstring(tree) or "").partition("\n")[0]
            yield f"{path.parent.relative_to(ROOT).as_posix()}/", path.name, first


def listing() -> str:
    """The list: a table for each folder."""
    text, last = "", ""
    for folder, name, first in modules():
        if folder != last:
            text += f"\n### `{folder}`\n\n| file | holds |\n|---|---|\n"
            last = folder
        text += f"| `{name}` | {first.replace('|', chr(92) + '|')} |\n"
    return text


def page() -> str:
    """The whole page, its list renewed."""
    return PAGE.read_text().partition(MARK)[0] + MARK + listing()


if __name__ == "__main__":
    PAGE.write_text(page())
