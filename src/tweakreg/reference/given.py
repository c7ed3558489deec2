"""Tables in memory that were given as a reference catalog, under the names that stand for them as a parameter."""

from __future__ import annotations

from astropy.table import Table

_TABLES: dict[str, Table] = {}


def remembered(table: Table) -> str:
    """A name for a table, by which `table_named` finds it; the same one for the same table."""
    for name, each in _TABLES.items():
        if each is table:
            return name
    name = f"table {len(_TABLES) + 1} in memory"
    _TABLES[name] = table
    return name


def table_named(name: str) -> Table | None:
    """The table that has this name; None if there is none."""
    return _TABLES.get(name)
