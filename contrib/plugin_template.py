"""Writes the copier template of a plugin project from `mpreg plugins new`: `python contrib/plugin_template.py`.

The verb is the one source: what it makes under stand-in names becomes the template, with the names as variables.
"""

import shutil
from pathlib import Path

from mpreg_core.cli.plugins_new import TEMPLATES, project

ROOT = Path(__file__).resolve().parent
FOLDER = ROOT / "plugin-template"
NAME = "zz_name"
VARIABLES = {
    "mpreg_zz_name": "{{ package }}",
    "mpreg-zz-name": "{{ dist }}",
    "ZzName": "{{ kind }}",
    "zz_name": "{{ name }}",
}

COPIER = f"""# copier copy --trust gh:OWNER/mpreg/contrib/plugin-template DIR, or the path of this folder.
# Written by `python contrib/plugin_template.py`; do not edit.
_subdirectory: "{{{{ family }}}}"
_templates_suffix: .jinja
name:
  type: str
  help: The strategy's name, as configuration will say it (lower case, digits, _)
  validator: "{{% if not (name | regex_search('^[a-z][a-z0-9_]{{0,30}}$')) %}}lower case, digits, _{{% endif %}}"
family:
  type: str
  choices: [{", ".join(TEMPLATES)}]
package:
  type: str
  when: false
  default: "mpreg_{{{{ name }}}}"
dist:
  type: str
  when: false
  default: "mpreg-{{{{ name | replace('_', '-') }}}}"
kind:
  type: str
  when: false
  default: "{{{{ name | replace('_', ' ') | title | replace(' ', '') }}}}"
"""

README = """# The template of an mpreg plugin

    copier copy PATH-OF-THIS-FOLDER mpreg-mine

asks for a name and a family and makes the project that `mpreg plugins new` makes, and can bring it up to date later
(`copier update`, for a template in git). Written by `python contrib/plugin_template.py`; a test keeps it so.
"""


def template() -> dict[str, str]:
    """The files of the template, by their path in it."""
    files = {"copier.yml": COPIER, "README.md": README}
    for family in TEMPLATES:
        for path, text in project(NAME, family).items():
            files[f"{family}/{_named(path)}.jinja"] = _named(text)
    return files


def _named(text: str) -> str:
    assert "{{" not in text, text
    assert "{%" not in text, text
    for name, variable in VARIABLES.items():
        text = text.replace(name, variable)
    return text


if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    for path, text in template().items():
        where = FOLDER / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text)
