"""Source catalogs that the user brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tweakreg.errors import CatalogError
from tweakreg.tables import find_column, numbers, read_table
from tweakreg.types import SourceCatalog

_POSITION_COLUMNS = {axis: (axis, f"{axis}centroid", f"{axis}_centroid") for axis in "xy"}


def read_catalog(path: str | Path, name: str = "") -> SourceCatalog:
    """Read a catalog of pixel positions, 0-indexed.

    Parameters
    ----------
    path : str or Path
        Any format that `astropy.table.Table.read` recognises, with columns x and y,
        xcentroid and ycentroid, or x_centroid and y_centroid, in any case; optional
        columns are flux and weight.
    name : str
        Name of the catalog.

    Returns
    -------
    SourceCatalog

    Raises
    ------
    CatalogError
        The file is missing, is no table, lacks the columns, or has positions that are
        not numbers or weights that are negative.
    """
    table = read_table(path)
    columns = {}
    for axis, names in _POSITION_COLUMNS.items():
        column = find_column(table, path, names)
        if column is None:
            raise CatalogError(path, f"needs a column {' or '.join(names)}; it has {', '.join(table.colnames)}")
        columns[axis] = numbers(table, path, column)
    if not (np.isfinite(columns["x"]).all() and np.isfinite(columns["y"]).all()):
        raise CatalogError(path, "some positions are missing or not finite: remove these rows")
    flux_column = find_column(table, path, ("flux",))
    flux = np.full(len(table), np.nan) if flux_column is None else numbers(table, path, flux_column)
    weight_column = find_column(table, path, ("weight",))
    weight = None if weight_column is None else numbers(table, path, weight_column)
    if weight is not None and not (np.isfinite(weight) & (weight >= 0.0)).all():
        raise CatalogError(path, "some weights are negative or not finite")
    return SourceCatalog(x=columns["x"], y=columns["y"], flux=flux, weight=weight, name=name)
