"""Reading catalogs that people bring: columns in any case, errors that name the file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.table import Table

from tweakreg.errors import CatalogError
from tweakreg.plane import Floats


def read_table(path: str | Path) -> Table:
    """Read any format that `astropy.table.Table.read` recognises.

    Raises
    ------
    CatalogError
        The file is missing or no table.
    """
    if not Path(path).is_file():
        raise CatalogError(path, "the catalog does not exist")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Table.read(path)
        except Exception:  # astropy's readers raise anything
            return _read_text(path)


def _read_text(path: str | Path) -> Table:
    """Text without a telling file name: `Table.read` does not guess from the content."""
    try:
        return Table.read(path, format="ascii")
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise CatalogError(path, f"not a table that astropy can read ({first})") from error


def find_column(table: Table, path: str | Path, names: Sequence[str]) -> str | None:
    """The column with one of the names, in any case; the first of `names` wins.

    Raises
    ------
    CatalogError
        Several columns differ only in case.
    """
    for name in names:
        found = [column for column in table.colnames if column.lower() == name.lower()]
        if len(found) > 1:
            raise CatalogError(path, f"columns {', '.join(found)} differ only in case: keep one of them")
        if found:
            return str(found[0])
    return None


def numbers(table: Table, path: str | Path, column: str) -> Floats:
    """A column as float64, NaN where masked; units are taken off, angles converted to degrees.

    Raises
    ------
    CatalogError
        The column does not hold one number per row.
    """
    from astropy import units as u

    values = table[column]
    unit = getattr(values, "unit", None)
    plain = np.ma.asarray(getattr(values, "value", values))
    try:
        result = np.ma.filled(plain.astype(float), np.nan)
    except (TypeError, ValueError) as error:
        raise CatalogError(path, f"column '{column}' does not hold numbers") from error
    if result.ndim != 1:
        raise CatalogError(path, f"column '{column}' does not hold one number per row")
    if unit is not None and u.Unit(unit).physical_type == "angle":
        result = u.Quantity(result, unit).to_value(u.deg)
    return np.asarray(result)
