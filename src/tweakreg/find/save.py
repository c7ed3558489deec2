"""Writing source catalogs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.table import Table

from tweakreg.records import SourceCatalog

_MEANINGS = {
    "x": "pixels; the centre of the first one is 0",
    "y": "as x",
    "flux": "in the unit of the image, as the finder sums it",
    "ra": "ICRS, by the WCS that the exposure has after the alignment",
    "dec": "as ra",
    "peak": "highest pixel above the background",
    "snr": "peak of the smoothed image over its noise: what snr_threshold is compared with",
    "rejected_by": "parameters whose limits the source does not keep",
}


def write_catalog(catalog: SourceCatalog, path: Path) -> None:
    """Write a catalog with columns id, x, y (0-indexed pixels), flux, and what else was measured.

    The format follows the ending of the file name: ``.fits``, or ECSV.
    """
    table = Table({"id": np.arange(1, len(catalog) + 1), "x": catalog.x, "y": catalog.y, "flux": catalog.flux})
    for name, values in catalog.measures.items():
        table[name] = values
    for name in table.colnames:
        table[name].description = _MEANINGS.get(name)
        table[name].unit = "deg" if name in ("ra", "dec") else None
    table.meta["name"] = catalog.name
    table.write(path, format="fits" if path.suffix == ".fits" else "ascii.ecsv", overwrite=True)
