"""From a table of stars to a reference catalog: what its columns mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import Table

from tweakreg.errors import CatalogError, logger
from tweakreg.plane import Bools, Floats
from tweakreg.records import ReferenceCatalog, Selection
from tweakreg.tables import (
    DEC_NAMES,
    RA_NAMES,
    chosen_column,
    find_column,
    first_of_each,
    numbers,
    sky_positions,
)

log = logger(__name__)

#: Names of further columns, their unit, and what a column without unit is taken to be in.
_COLUMNS = {
    "ra_error": (("ra_error", "e_ra_icrs", "ra_err", "raerr", "e_ra", "sigma_ra"), u.mas),
    "dec_error": (("dec_error", "e_de_icrs", "dec_err", "decerr", "e_de", "e_dec", "sigma_dec"), u.mas),
    "parallax": (("parallax", "plx"), u.mas),
    "parallax_error": (("parallax_error", "e_plx", "parallax_err"), u.mas),
    "pmra": (("pmra", "pm_ra_cosdec", "pmra_cosdec", "pm_ra"), u.mas / u.yr),
    "pmdec": (("pmdec", "pm_dec", "pmde"), u.mas / u.yr),
    "pmra_error": (("pmra_error", "e_pmra", "pmra_err", "pmraerr"), u.mas / u.yr),
    "pmdec_error": (("pmdec_error", "e_pmde", "pmdec_err", "pmdecerr"), u.mas / u.yr),
}
_EPOCH = ("ref_epoch", "epoch", "ref_epoch_jyear")
_MAG = ("phot_g_mean_mag", "mag", "gmag", "magnitude")
_RUWE = ("ruwe",)
_DUPLICATED = ("duplicated_source", "dup")
#: In the order of the covariance.
_FIVE = ("ra", "dec", "parallax", "pmra", "pmdec")
_CORRELATIONS = tuple(f"{second}_{first}_corr" for i, first in enumerate(_FIVE) for second in _FIVE[:i])

#: Of these, those that need not be numbers.
TEXT_COLUMNS = frozenset((*_DUPLICATED, "source_id"))
#: Lower-case names of all columns that are read.
KNOWN_COLUMNS = frozenset(
    name.lower()
    for names in (
        RA_NAMES, DEC_NAMES, _EPOCH, _MAG, _RUWE, _DUPLICATED, _CORRELATIONS, ("weight", "source_id"),
        *(names for names, _ in _COLUMNS.values()),
    )
    for name in names
)  # fmt: skip


def catalog_of(table: Table, path: str | Path, selection: Selection, *, name: str, provenance: str) -> ReferenceCatalog:
    """Read positions, and motions, errors and magnitudes where there are any.

    Parameters
    ----------
    table : Table
        Of stars.
    path : str or Path
        Where it came from, for messages.
    selection : Selection
        Columns and cuts.
    name, provenance : str
        Of the catalog.

    Returns
    -------
    ReferenceCatalog
        Rows without position or weight are left out, and those that `selection` does not take.

    Raises
    ------
    CatalogError
        Names the column and the file.
    """
    ra, dec = _positions(table, path, selection)
    weight = _optional(table, path, ("weight",))
    good = _usable(path, ra, dec, weight)
    given = {key: _optional(table, path, names, unit=unit) for key, (names, unit) in _COLUMNS.items()}
    epochs = _epochs(table, path)
    motion = (
        None if given["pmra"] is None or given["pmdec"] is None else np.column_stack([given["pmra"], given["pmdec"]])
    )
    if motion is not None and epochs is None:
        log.warning("%s: has proper motions but no ref_epoch: its positions are taken as they are", path)
    catalog = ReferenceCatalog(
        ra=ra,
        dec=dec,
        weight=weight,
        name=name,
        provenance=provenance,
        epoch=epochs,
        motion=motion,
        parallax=given["parallax"],
        covariance=_covariance(table, path, given),
        mag=_optional(table, path, _MAG),
    )
    keep = _once(path, catalog, good & _by_quality(table, path, selection))
    keep = _by_flux(table, path, selection, catalog, keep)
    if not keep.any():
        raise CatalogError(
            path, f"none of its {len(ra)} rows passes the cuts: check rminflux, rmaxflux and abs_max_ruwe"
        )
    return catalog[keep]


def _positions(table: Table, path: str | Path, selection: Selection) -> tuple[Floats, Floats]:
    """Right ascension and declination, degrees."""
    chosen, parameters = (selection.x, selection.y), ("refxcol", "refycol")
    try:
        return sky_positions(table, path, chosen, parameters, selection.units == "hours")
    except CatalogError as error:
        if "needs columns RA" not in error.problem:
            raise
        pixels = find_column(table, path, ("x", "xcentroid", "x_centroid")) is not None
        more = "for pixels, set refxyunits = pixels and refimage" if pixels else "an image is set as refimage"
        raise CatalogError(path, f"{error.problem}; {more}") from None


def _usable(path: str | Path, ra: Floats, dec: Floats, weight: Floats | None) -> Bools:
    """Rows with a position and a weight, of a table whose values make sense."""
    good = np.isfinite(ra) & np.isfinite(dec)
    good &= True if weight is None else np.isfinite(weight)
    if not good.all():
        log.warning("%s: %d of %d rows lack a position or weight and are left out", path, (~good).sum(), len(good))
    if not good.any():
        raise CatalogError(path, "has no row with a position")
    if weight is not None and (weight[good] < 0.0).any():
        raise CatalogError(path, "some weights are negative")
    if (np.abs(dec[good]) > 90.0).any():
        raise CatalogError(
            path, "some declinations are beyond ±90 degrees: is the unit degrees, and are refxcol and refycol right?"
        )
    return good


def _once(path: str | Path, catalog: ReferenceCatalog, keep: Bools) -> Bools:
    """Without rows that repeat a star."""
    rows = np.flatnonzero(keep)
    repeated = rows[~first_of_each(catalog.ra[rows] % 360.0, catalog.dec[rows])]
    if len(repeated):
        log.warning("%s: %d of %d stars stand twice at the same position: counted once", path, len(repeated), len(rows))
    keep = keep.copy()
    keep[repeated] = False
    return keep


def _by_flux(table: Table, path: str | Path, selection: Selection, catalog: ReferenceCatalog, keep: Bools) -> Bools:
    """Of the rows to keep, those that the cuts on flux leave."""
    if not selection.by_flux:
        return keep
    if selection.flux:
        flux = _optional(table, path, (), selection.flux)
    else:
        flux, selection = catalog.mag, replace(selection, magnitudes=True)
    if flux is None:
        cuts = "rminflux, rmaxflux or refnbright"
        raise CatalogError(path, f"has no column of fluxes or magnitudes for {cuts}: set rfluxcol")
    return selection.chosen(np.where(keep, flux, np.nan))


def _optional(
    table: Table, path: str | Path, names: tuple[str, ...], chosen: str = "", unit: u.UnitBase | None = None
) -> Floats | None:
    """A column that need not be there, in a unit; one without unit is taken to be in that, as in Gaia's tables."""
    column = chosen_column(table, path, chosen, "rfluxcol") or find_column(table, path, names)
    return None if column is None else numbers(table, path, column, unit)


def _epochs(table: Table, path: str | Path) -> Floats | None:
    """Of each row: from a column, or from the table's metadata."""
    column = find_column(table, path, _EPOCH)
    values = None if column is None else numbers(table, path, column)
    known = np.zeros(0, dtype=bool) if values is None else (values > 1800.0) & (values < 2200.0)
    if values is not None and known.any():
        if not known.all():
            log.warning("%s: %d rows have no ref_epoch: the median of the others is taken", path, (~known).sum())
        return np.where(known, values, np.median(values[known]))
    if values is not None and column != "epoch" and np.isfinite(values).any():
        raise CatalogError(path, f"column '{column}' does not hold years")
    said = {str(key).lower(): value for key, value in table.meta.items()}.get("ref_epoch")
    try:
        return None if said is None else np.full(len(table), float(said))
    except (TypeError, ValueError) as error:
        raise CatalogError(path, f"ref_epoch = {said!r} in its metadata is no year") from error


def _covariance(table: Table, path: str | Path, given: dict[str, Floats | None]) -> Floats | None:
    """From errors and correlations; None without errors of the positions."""
    if given["ra_error"] is None or given["dec_error"] is None:
        return None
    errors = np.zeros((len(table), 5))
    for i, name in enumerate(_FIVE):
        error = given[f"{name}_error"]
        errors[:, i] = 0.0 if error is None else np.nan_to_num(error)
    covariance = np.zeros((len(table), 5, 5))
    covariance[:, range(5), range(5)] = errors**2
    for i, first in enumerate(_FIVE):
        for j, second in enumerate(_FIVE[:i]):
            correlation = _optional(table, path, (f"{second}_{first}_corr",))
            if correlation is not None:
                value = np.nan_to_num(correlation) * errors[:, i] * errors[:, j]
                covariance[:, i, j] = covariance[:, j, i] = value
    # A position without an error is no better than the worst.
    unknown = ~(errors[:, :2] > 0.0).all(axis=1)
    if unknown.any() and not unknown.all():
        worst = np.diagonal(covariance[~unknown], axis1=1, axis2=2)[:, :2].max()
        covariance[np.flatnonzero(unknown)[:, None], [0, 1], [0, 1]] = worst
    return None if unknown.all() else covariance


def _by_quality(table: Table, path: str | Path, selection: Selection) -> Bools:
    """Rows that pass the cuts on RUWE and duplicity; what is not known passes."""
    keep = np.ones(len(table), dtype=bool)
    ruwe = _optional(table, path, _RUWE)
    if selection.max_ruwe is not None:
        if ruwe is None:
            log.warning("%s: has no column 'ruwe': abs_max_ruwe has no effect", path)
        else:
            keep &= ~(ruwe > selection.max_ruwe)
    if selection.drop_duplicates:
        column = find_column(table, path, _DUPLICATED)
        if column is None:
            log.warning("%s: has no column 'duplicated_source': abs_drop_duplicates has no effect", path)
        else:
            keep &= ~np.isin(np.char.lower(np.asarray(table[column]).astype(str)), ("true", "1", "t"))
    return keep


def table_of(catalog: ReferenceCatalog) -> Table:
    """A catalog as `catalog_of` reads it, with Gaia's names: nothing of it is lost."""
    table = Table({"RA": catalog.ra * u.deg, "DEC": catalog.dec * u.deg})
    table.meta = {"name": catalog.name, "provenance": catalog.provenance}
    for name, value, unit in (
        ("weight", catalog.weight, None),
        ("ref_epoch", catalog.epoch, u.yr),
        ("pmra", None if catalog.motion is None else catalog.motion[:, 0], u.mas / u.yr),
        ("pmdec", None if catalog.motion is None else catalog.motion[:, 1], u.mas / u.yr),
        ("parallax", catalog.parallax, u.mas),
        ("phot_g_mean_mag", catalog.mag, u.mag),
    ):
        if value is not None:
            table[name] = value
            table[name].unit = unit
    if catalog.covariance is not None:
        errors = np.sqrt(np.diagonal(catalog.covariance, axis1=1, axis2=2))
        for i, first in enumerate(_FIVE):
            table[f"{first}_error"] = errors[:, i]
            table[f"{first}_error"].unit = u.mas if i < 3 else u.mas / u.yr
            for j, second in enumerate(_FIVE[:i]):
                scale = errors[:, i] * errors[:, j]
                table[f"{second}_{first}_corr"] = np.divide(
                    catalog.covariance[:, i, j], scale, out=np.zeros(len(table)), where=scale > 0.0
                )
    return table
