"""The copier template is what `mpreg plugins new` makes, with its names as variables."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from mpreg_core.cli.plugins_new import TEMPLATES, project

CONTRIB = Path(__file__).resolve().parents[2] / "contrib"
spec = spec_from_file_location("plugin_template", CONTRIB / "plugin_template.py")
writer = module_from_spec(spec)
spec.loader.exec_module(writer)


def there():
    folder = CONTRIB / "plugin-template"
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_it_is_up_to_date():
    assert there() == writer.template(), "run: python contrib/plugin_template.py"


@pytest.mark.parametrize("family", TEMPLATES)
def test_filled_in_it_is_the_project_of_the_verb(family):
    values = {"name": "my_thing", "package": "mpreg_my_thing", "dist": "mpreg-my-thing", "kind": "MyThing"}
    made = {
        filled(path, values).removeprefix(f"{family}/").removesuffix(".jinja"): filled(text, values)
        for path, text in there().items()
        if path.startswith(f"{family}/")
    }
    assert made == project("my_thing", family)


def filled(text, values):
    for name, value in values.items():
        text = text.replace(f"{{{{ {name} }}}}", value)
    return text
