"""Source catalogs that the user brings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tweakreg.errors import CatalogError
from tweakreg.plane import Floats
from tweakreg.records import Selection, SourceCatalog
from tweakreg.tablefiles import read_table
from tweakreg.tables import chosen_column, find_column, numbers

ToPixels = Callable[[Floats, Floats], tuple[Floats, Floats]]

_POSITION_COLUMNS = {axis: (axis, f"{axis}centroid", f"{axis}_centroid") for axis in "xy"}
_SKY_COLUMNS = {"x": ("ra",), "y": ("dec",)}


def read_catalog(
    path: str | Path, name: str = "", selection: Selection | None = None, to_pixels: ToPixels | None = None
) -> SourceCatalog:
    """Read a catalog of an image's sources.

    Parameters
    ----------
    path : str or Path
        Any format that `astropy.table.Table.read` recognises, with columns x and y,
        xcentroid and ycentroid, or x_centroid and y_centroid, in any case; optional
        columns are flux and weight.
    name : str
        Name of the catalog.
    selection : Selection, optional
        Which columns, in which units; its cuts are not made here.
    to_pixels : callable, optional
        Pixels of the image at sky positions, for a catalog of positions in degrees.

    Returns
    -------
    SourceCatalog
        The centre of the first pixel is (0, 0).

    Raises
    ------
    CatalogError
        The file is missing, is no table, lacks the columns, or has positions that are
        not numbers or weights that are negative.
    """
    table = read_table(path)
    selection = selection or Selection.of_sources()
    columns = {}
    for axis, names in (_POSITION_COLUMNS if selection.units == "pixels" else _SKY_COLUMNS).items():
        column = chosen_column(table, path, getattr(selection, axis), f"{axis}col") or find_column(table, path, names)
        if column is None:
            raise CatalogError(path, f"needs a column {' or '.join(names)}; it has {', '.join(table.colnames)}")
        columns[axis] = numbers(table, path, column)
    if not (np.isfinite(columns["x"]).all() and np.isfinite(columns["y"]).all()):
        raise CatalogError(path, "some positions are missing or not finite: remove these rows")
    if selection.units == "pixels":
        columns = {axis: values - selection.origin for axis, values in columns.items()}
    else:
        assert to_pixels is not None
        columns["x"], columns["y"] = to_pixels(columns["x"], columns["y"])
    flux_column = chosen_column(table, path, selection.flux, "fluxcol") or find_column(table, path, ("flux",))
    if flux_column is None and selection.by_flux:
        raise CatalogError(path, "has no column flux for minflux, maxflux or nbright: set fluxcol")
    flux = np.full(len(table), np.nan) if flux_column is None else numbers(table, path, flux_column)
    weight_column = find_column(table, path, ("weight",))
    weight = None if weight_column is None else numbers(table, path, weight_column)
    if weight is not None and not (np.isfinite(weight) & (weight >= 0.0)).all():
        raise CatalogError(path, "some weights are negative or not finite")
    return SourceCatalog(x=columns["x"], y=columns["y"], flux=flux, weight=weight, name=name)
