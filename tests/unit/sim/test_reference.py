"""The reference page: its example runs, and it names every public name."""

import re
from pathlib import Path

from mpreg_core import sim

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "sim.md").read_text()


def test_the_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "sim.md", "exec"), {})


def test_every_public_name_is_on_the_page():
    assert [name for name in sim.__all__ if f"`{name}" not in PAGE] == []
