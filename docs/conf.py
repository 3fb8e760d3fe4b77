"""Sphinx: Markdown by MyST, the theme Furo. `tox -e docs` builds with every warning an error."""

import logging
from importlib.metadata import version as version_of

project = "mpreg"
author = "The mpreg authors"
release = version = version_of("mpreg-core")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"mpreg {release}"

# Pages join their section by lying in its folder, and a section may still be empty. That warning has a
# subtype but no type (sphinx/directives/other.py), so `suppress_warnings` cannot name it.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(lambda record: "toctree glob" not in str(record.msg))

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
