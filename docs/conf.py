"""Configuration of the documentation."""

import tomllib
from importlib.metadata import version as _version
from pathlib import Path

from numpy.ma import masked
from tweakreg.pars.generate import read_table

from tweakreg.parameters import parameter_groups
from tweakreg.records import Outcome

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


def _table(rows, header):
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [header, *rows]:
        lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def _write_generated():
    """The tables of parameters and outcomes come from the code, so they cannot differ from it."""
    here = Path(__file__).parent
    advice = tomllib.loads((here / "when_to_change.toml").read_text(encoding="utf-8"))
    parts = []
    for group, parameters in parameter_groups():
        rows = [(f"``{p.name}``", p.kind, f"``{p.default}``", p.purpose, advice[p.name]) for p in parameters]
        header = ("Name", "Value", "Default", "Purpose", "When to change it")
        parts.append(f"{group}\n{'-' * len(group)}\n\n" + _table(rows, header))
    (here / "parameters.inc.rst").write_text("\n".join(parts), encoding="utf-8")
    rows = [(f"``{outcome.name}``", outcome.sentence, outcome.remedy) for outcome in Outcome]
    header = ("Outcome", "What the log says", "Remedy")
    (here / "outcomes.inc.rst").write_text(_table(rows, header), encoding="utf-8")
    table = read_table()
    rows = [["" if cell is masked else str(cell) for cell in row] for row in table]
    sources = "\n".join(f"``{name}``\n    {text}" for name, text in table.meta["sources"].items())
    (here / "packaged.inc.rst").write_text(_table(rows, table.colnames) + "\n" + sources + "\n", encoding="utf-8")


_write_generated()
