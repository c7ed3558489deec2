"""Configuration of the documentation."""

import sys
from importlib.metadata import version as _version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from generated import write_tables

project = "tweakreg"
author = "the tweakreg developers"
copyright = "2026, the tweakreg developers"
release = version = _version("tweakreg")
extensions = [
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.towncrier.ext",
]
exclude_patterns = ["_build", "*.inc.rst", "changes/*", "tutorials/*"]
sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "auto_tutorials",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "write_computation_times": False,
    "show_signature": False,
}
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_title = "tweakreg"
autosummary_generate = True
numpydoc_show_class_members = False
nitpick_ignore_regex = [("py:.*", ".*")]
default_role = "code"
towncrier_draft_autoversion_mode = "sphinx-release"
towncrier_draft_include_empty = True
towncrier_draft_working_directory = Path(__file__).parent.parent

write_tables(Path(__file__).parent)
