"""Configuration of the documentation."""

from importlib.metadata import version as _version
from pathlib import Path

from numpy.ma import masked
from tweakreg.pars.generate import read_table

from tweakreg.parameters import parameter_groups
from tweakreg.types import Outcome

project = "tweakreg"
author = "the tweakreg developers"
copyright = "2026, the tweakreg developers"
release = version = _version("tweakreg")
extensions = ["numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax"]
exclude_patterns = ["_build", "*.inc.rst"]
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_title = "tweakreg"
autosummary_generate = True
numpydoc_show_class_members = False
nitpick_ignore_regex = [("py:.*", ".*")]
default_role = "code"


def _table(rows, header):
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [header, *rows]:
        lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def _write_generated():
    """The tables of parameters and outcomes come from the code, so they cannot differ from it."""
    here = Path(__file__).parent
    parts = []
    for group, parameters in parameter_groups():
        rows = [(f"``{p.name}``", p.kind, f"``{p.default}``", p.purpose) for p in parameters]
        parts.append(f"{group}\n{'-' * len(group)}\n\n" + _table(rows, ("Name", "Value", "Default", "Purpose")))
    (here / "parameters.inc.rst").write_text("\n".join(parts), encoding="utf-8")
    rows = [(f"``{outcome.name}``", outcome.sentence) for outcome in Outcome]
    (here / "outcomes.inc.rst").write_text(_table(rows, ("Outcome", "What it says")), encoding="utf-8")
    table = read_table()
    rows = [["" if cell is masked else str(cell) for cell in row] for row in table]
    sources = "\n".join(f"``{name}``\n    {text}" for name, text in table.meta["sources"].items())
    (here / "packaged.inc.rst").write_text(_table(rows, table.colnames) + "\n" + sources + "\n", encoding="utf-8")


_write_generated()
