"""Tables that people bring: columns in any case, errors that name the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from astropy.table import Table

from tweakreg.errors import CatalogError
from tweakreg.plane import Floats

#: Where astropy keeps units and metadata in a parquet file.
_YAML = b"table_meta_yaml"


def _known_unit(text: str, path: str | Path, column: str) -> Any:
    """A unit in capitals, as FITS tables of old have it."""
    from astropy import units as u

    try:
        return u.Unit(text.strip().lower().replace("degrees", "deg"))
    except ValueError as error:
        raise CatalogError(path, f"column '{column}' has the unit '{text}', which is not known") from error


def read_parquet(source: str | Path | IO[bytes], columns: Sequence[str] | None = None) -> Table:
    """Read a parquet file; units and metadata where astropy, or `write_parquet`, wrote them.

    Astropy's own reader needs pandas as well.

    Parameters
    ----------
    source : str, Path or file
        Where it is, or the open file.
    columns : sequence of str, optional
        Which are read; all if it is not given.
    """
    import pyarrow.parquet as pq
    from astropy.table import meta

    found = pq.read_table(source, columns=columns)
    table = Table({name: plain_column(found[name]) for name in found.column_names})
    text = (found.schema.metadata or {}).get(_YAML)
    if text is not None:
        header = meta.get_header_from_yaml(text.decode("utf-8").splitlines())
        table.meta = dict(header.get("meta", {}))
        for column in header["datatype"]:
            if column["name"] in table.colnames:
                table[column["name"]].unit = column.get("unit")
    return table


def plain_column(column: Any) -> Any:
    """A column of arrow as an array; nulls of integers and truth values as text, which keeps them apart from both."""
    if column.null_count and not str(column.type).startswith(("float", "double", "halffloat")):
        return np.array([str(value) for value in column.to_pylist()])
    return column.to_numpy()


def write_parquet(table: Table, path: str | Path) -> None:
    """Write a parquet file as astropy does, with units and metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from astropy.table import meta

    columns = pa.table(
        {name: np.ma.filled(np.ma.asarray(table[name]), _nothing(table[name])) for name in table.colnames}
    )
    text = "\n".join(meta.get_yaml_from_table(table)).encode("utf-8")
    pq.write_table(columns.replace_schema_metadata({_YAML: text}), path)


def _nothing(column: Any) -> Any:
    """What stands for a missing value."""
    return np.nan if np.issubdtype(column.dtype, np.floating) else None


def listed(names: Sequence[str]) -> str:
    """Names of columns for a message, which must not be as long as a table is wide."""
    some = ", ".join(name if len(name) <= 40 else f"{name[:37]}..." for name in names[:20])
    return some + (f" and {len(names) - 20} others" if len(names) > 20 else "")


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
            raise CatalogError(path, f"columns {listed(found)} differ only in case: keep one of them")
        if found:
            return str(found[0])
    return None


def chosen_column(table: Table, path: str | Path, chosen: str, parameter: str) -> str | None:
    """The column that a parameter names, in any case, or numbers, from 1; None if it is empty.

    Raises
    ------
    CatalogError
        There is no such column.
    """
    if not chosen:
        return None
    if chosen.isdecimal() and 1 <= int(chosen) <= len(table.colnames):
        return str(table.colnames[int(chosen) - 1])
    column = find_column(table, path, (chosen,))
    if column is None:
        raise CatalogError(path, f"has no column {parameter} = {chosen}; it has {listed(table.colnames)}")
    return column


def numbers(table: Table, path: str | Path, column: str, unit: Any = None) -> Floats:
    """A column as float64, NaN where masked, in a unit; without `unit` angles become degrees.

    Raises
    ------
    CatalogError
        The column does not hold one number per row, or its unit is of another kind.
    """
    from astropy import units as u

    values = table[column]
    own = getattr(values, "unit", None)
    plain = np.ma.asarray(getattr(values, "value", values))
    try:
        result = np.ma.filled(plain.astype(float), np.nan)
    except (TypeError, ValueError) as error:
        raise CatalogError(path, f"column '{column}' does not hold numbers") from error
    if result.ndim != 1:
        raise CatalogError(path, f"column '{column}' does not hold one number per row")
    if isinstance(own, u.UnrecognizedUnit):
        own = _known_unit(str(own), path, column) if unit is not None else None
    if own is None:
        return np.asarray(result)
    if unit is None and u.Unit(own).physical_type == "angle":
        unit = u.deg
    try:
        return np.asarray(result if unit is None else u.Quantity(result, own).to_value(unit))
    except u.UnitConversionError as error:
        raise CatalogError(path, f"column '{column}' is in {own}, which is no {unit}") from error
