"""Source catalogs that the user brings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.table import Table

from tweakreg.errors import CatalogError, logger
from tweakreg.plane import Floats
from tweakreg.records import Selection, SourceCatalog
from tweakreg.tables import (
    PIXEL_NAMES,
    RA_NAMES,
    chosen_column,
    find_column,
    first_of_each,
    numbers,
    read_table,
    remedy,
    sky_positions,
)

log = logger(__name__)

ToPixels = Callable[[Floats, Floats], tuple[Floats, Floats]]

#: Of romancal's source catalogs: the data quality of a source's core, and its bit for pixels that are unusable.
_WARNING_COLUMN, _DO_NOT_USE = "warning_flags", 1


def read_catalog(
    path: str | Path,
    name: str = "",
    selection: Selection | None = None,
    to_pixels: ToPixels | None = None,
    parameters: tuple[str, str, str] = ("xcol", "ycol", "fluxcol"),
) -> SourceCatalog:
    """Read a catalog of an image's sources.

    Parameters
    ----------
    path : str or Path
        Any format that `astropy.table.Table.read` recognises, with columns x and y,
        x_psf and y_psf, xcentroid and ycentroid, or x_centroid and y_centroid, in any case;
        optional columns are flux (or psf_flux), weight and warning_flags.
    name : str
        Name of the catalog.
    selection : Selection, optional
        Which columns, in which units; its cuts are not made here.
    to_pixels : callable, optional
        Pixels of the image at sky positions, for a catalog of positions in degrees.
    parameters : tuple of str
        The parameters that choose the columns, for messages.

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
    table = _without_bad(read_table(path), path)
    selection = selection or Selection.of_sources()
    x, y = _positions(table, path, selection, parameters[:2])
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise CatalogError(path, "some positions are missing or not finite: remove these rows")
    if selection.units == "pixels":
        x, y = x - selection.origin, y - selection.origin
    else:
        assert to_pixels is not None
        x, y = to_pixels(x, y)
    flux_column = chosen_column(table, path, selection.flux, parameters[2]) or find_column(
        table, path, ("flux", "psf_flux")
    )
    if flux_column is None and selection.by_flux:
        raise CatalogError(path, f"has no column flux for the cuts on flux: set {parameters[2]}")
    flux = np.full(len(table), np.nan) if flux_column is None else numbers(table, path, flux_column)
    weight_column = find_column(table, path, ("weight",))
    weight = None if weight_column is None else numbers(table, path, weight_column)
    if weight is not None and not (np.isfinite(weight) & (weight >= 0.0)).all():
        raise CatalogError(path, "some weights are negative or not finite")
    catalog = SourceCatalog(x=x, y=y, flux=flux, weight=weight, name=name)
    once = first_of_each(x, y)
    if not once.all():
        log.warning("%s: %d of %d sources stand twice at the same position: counted once", path, (~once).sum(), len(x))
    return catalog[once]


def _without_bad(table: Table, path: str | Path) -> Table:
    """A table of romancal's without sources whose core is unusable, or where no point source could be fitted."""
    column = find_column(table, path, (_WARNING_COLUMN,))
    if column is None:
        return table
    good = (np.asarray(table[column], dtype=np.int64) & _DO_NOT_USE) == 0
    for name in filter(None, (find_column(table, path, (f"{axis}_psf",)) for axis in "xy")):
        good &= np.isfinite(numbers(table, path, name))
    if not good.all():
        log.info("%s: %d of %d sources are flagged or have no position: left out", path, (~good).sum(), len(good))
    return table[good]


def _positions(
    table: Table, path: str | Path, selection: Selection, parameters: tuple[str, str]
) -> tuple[Floats, Floats]:
    """Pixels as they stand, or degrees."""
    chosen = (selection.x, selection.y)
    if selection.units != "pixels":
        return sky_positions(table, path, chosen, parameters)
    columns = []
    for given, parameter, names in zip(chosen, parameters, PIXEL_NAMES, strict=True):
        column = chosen_column(table, path, given, parameter) or find_column(table, path, names)
        if column is None:
            origin = "and pixel_origin = 1 if it counts pixels from 1, as SExtractor, DAOPHOT and IRAF"
            sky = find_column(table, path, RA_NAMES)
            units = "xyunits = degrees" if parameters[0] == "xcol" else "refxyunits = degrees, without refimage"
            degrees = f"; for positions on the sky as in {sky}, set {units}" if sky else ""
            has = remedy(table, parameters, ("x", "y"))
            raise CatalogError(path, f"needs a column {' or '.join(names)}; it {has}, {origin}{degrees}")
        columns.append(numbers(table, path, column))
    return columns[0], columns[1]
