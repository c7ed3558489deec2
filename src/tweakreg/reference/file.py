"""A reference catalog from a file."""

from __future__ import annotations

from pathlib import Path

from tweakreg.errors import CatalogError, printable
from tweakreg.records import ReferenceCatalog, Selection
from tweakreg.reference.table import catalog_of
from tweakreg.tables import read_table


def read_reference(path: str | Path, selection: Selection | None = None) -> ReferenceCatalog:
    """Read a reference catalog.

    Parameters
    ----------
    path : str or Path
        ECSV, FITS, CSV, parquet, VOTable or what else `astropy.table.Table.read` recognises, with
        columns RA and DEC in any case and usual spelling, or ``sky_centroid``. Optional columns, with
        the names of Gaia or VizieR, are errors, proper motions, parallax, correlations, epoch, magnitude
        and weight.
    selection : Selection, optional
        Columns and cuts.

    Returns
    -------
    ReferenceCatalog

    Raises
    ------
    CatalogError
        The file is missing, is no table, or has no usable columns or rows.
    """
    selection = selection or Selection.of_reference()
    if selection.units == "pixels":
        raise CatalogError(path, "refxyunits = pixels needs refimage, whose pixels they are")
    table = read_table(path)
    said = printable(str(table.meta.get("provenance", "")))
    provenance = f"file {Path(path).resolve()}" + (f", {said}" if said else "")
    return catalog_of(table, path, selection, name=Path(path).name, provenance=provenance)
