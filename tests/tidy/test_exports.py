"""What mpreg_core exports is said twice, for type checkers and for the loader: both agree, and all of it loads."""

import ast
from pathlib import Path

import pytest

import mpreg_core


def for_type_checkers():
    """Name -> module of the imports under `if TYPE_CHECKING`."""
    tree = ast.parse(Path(mpreg_core.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {node.names[0].asname: node.module for node in block.body if isinstance(node, ast.ImportFrom)}


def test_type_checkers_and_programs_see_the_same_names():
    lazy = {name: f"mpreg_core.{module}" for name, module in mpreg_core._HOME.items()}
    assert lazy == for_type_checkers()


@pytest.mark.parametrize("name", sorted(mpreg_core._HOME))
def test_every_exported_name_loads_and_is_listed(name):
    assert getattr(mpreg_core, name) is not None
    assert name in dir(mpreg_core)
