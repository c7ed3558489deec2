"""A reference catalog from a file."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from astropy.table import Table

from tweakreg.errors import CatalogError
from tweakreg.plane import Floats
from tweakreg.tables import find_column, numbers, read_table
from tweakreg.types import ReferenceCatalog

log = logging.getLogger(__name__)

_MOTION_COLUMNS = ("pmra", "pm_ra", "pm_ra_cosdec", "pmra_cosdec")


def read_reference(path: str | Path) -> ReferenceCatalog:
    """Read sky positions, ICRS degrees.

    Parameters
    ----------
    path : str or Path
        Any format that `astropy.table.Table.read` recognises, with columns RA and DEC
        in any case, or ``sky_centroid``; an optional column is weight. Rows without a
        position are left out.

    Returns
    -------
    ReferenceCatalog

    Raises
    ------
    CatalogError
        The file is missing, is no table, or has no usable columns or rows.
    """
    table = read_table(path)
    ra, dec = _positions(table, path)
    weight_column = find_column(table, path, ("weight",))
    weight = np.ones(len(ra)) if weight_column is None else numbers(table, path, weight_column)
    good = np.isfinite(ra) & np.isfinite(dec) & np.isfinite(weight)
    if not good.all():
        log.warning("%s: %d of %d rows lack a position or weight and are left out", path, (~good).sum(), len(good))
    if not good.any():
        raise CatalogError(path, "has no row with a position")
    if (weight[good] < 0.0).any():
        raise CatalogError(path, "some weights are negative")
    if (np.abs(dec[good]) > 90.0).any():
        raise CatalogError(path, "some declinations are beyond ±90 degrees: is the unit degrees?")
    if find_column(table, path, _MOTION_COLUMNS) is not None:
        log.warning("%s: proper motions are not used; positions must be at the epoch of the exposures", path)
    return ReferenceCatalog(
        ra=ra[good],
        dec=dec[good],
        weight=None if weight_column is None else weight[good],
        name=Path(path).name,
        provenance=f"file {Path(path).resolve()}",
    )


def _positions(table: Table, path: str | Path) -> tuple[Floats, Floats]:
    ra, dec = find_column(table, path, ("RA",)), find_column(table, path, ("DEC",))
    if ra is not None and dec is not None:
        return numbers(table, path, ra), numbers(table, path, dec)
    sky = find_column(table, path, ("sky_centroid",))
    if sky is None:
        raise CatalogError(path, f"needs columns RA and DEC, or sky_centroid; it has {', '.join(table.colnames)}")
    try:
        icrs = table[sky].icrs
    except AttributeError as error:
        raise CatalogError(path, f"column '{sky}' does not hold sky coordinates") from error
    return np.asarray(icrs.ra.deg, dtype=float), np.asarray(icrs.dec.deg, dtype=float)


def catalog_table(catalog: ReferenceCatalog) -> Table:
    """A reference catalog as `read_reference` takes it: RA and DEC in degrees, and weight if it has any."""
    table = Table({"RA": catalog.ra, "DEC": catalog.dec}, meta={"name": catalog.name})
    if catalog.weight is not None:
        table["weight"] = catalog.weight
    table["RA"].unit = table["DEC"].unit = "deg"
    return table
