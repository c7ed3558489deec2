"""Tables of parameters, outcomes and packaged files: they come from the code, so they cannot differ from it."""

import tomllib

from numpy.ma import masked

from tweakreg.parameters import parameter_groups
from tweakreg.pars.generate import read_table
from tweakreg.records import Outcome


def _table(rows, header):
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [header, *rows]:
        lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def write_tables(here):
    """Write the tables into the folder of the documentation, whose when_to_change.toml has advice on parameters."""
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
