"""Writing source catalogs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.table import Table

from tweakreg.records import SourceCatalog


def write_catalog(catalog: SourceCatalog, path: Path) -> None:
    """Write a catalog with columns id, x, y (0-indexed pixels) and flux.

    The format follows the ending of the file name: ``.fits``, or ECSV.
    """
    table = Table({"id": np.arange(1, len(catalog) + 1), "x": catalog.x, "y": catalog.y, "flux": catalog.flux})
    table.meta["name"] = catalog.name
    table.write(path, format="fits" if path.suffix == ".fits" else "ascii.ecsv", overwrite=True)
