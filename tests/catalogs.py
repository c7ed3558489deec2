"""Reference catalogs that several test modules need."""

from __future__ import annotations

import numpy as np
from astropy import units as u
from astropy.table import Table

from helpers import run, statuses, wcs_of
from tweakreg.records import ReferenceCatalog, Selection
from tweakreg.simulate import score


def stars(ra="ra", dec="dec", **columns):
    return Table({ra: [10.0, 10.1, 10.2], dec: [20.0, 20.1, 20.2], **columns})


def taking(**changes):
    """The usual columns, and fluxes of which the largest are the brightest, but for changes."""
    return Selection.of_reference(**{"magnitudes": False} | changes)


def gaia_like(number, *, seed=0, fastest=5000.0, nearest=700.0):
    """Stars all over the sky, with correlated errors."""
    rng = np.random.default_rng(seed)
    dec = np.degrees(np.arcsin(rng.uniform(-0.999, 0.999, number)))
    root = rng.normal(size=(number, 5, 5)) * [0.05, 0.05, 0.06, 0.04, 0.04]
    return ReferenceCatalog(
        ra=rng.uniform(0.0, 360.0, number),
        dec=dec,
        epoch=np.full(number, 2016.0),
        motion=rng.uniform(-fastest, fastest, (number, 2)) / np.sqrt(2.0),
        parallax=rng.uniform(0.1 * nearest, nearest, number),
        covariance=root @ root.transpose(0, 2, 1),
        mag=rng.uniform(10.0, 20.0, number),
    )


def absolute_errors(scene, table, folder, catalog_models, *, noise=0.03, **parameters):
    table.write(folder / "gaia.ecsv", format="ascii.ecsv", overwrite=True)
    library = run(
        catalog_models(scene, folder, noise=noise),
        use_custom_catalogs=True,
        abs_refcat=str(folder / "gaia.ecsv"),
        **parameters,
    )
    assert set(statuses(library)) == {"COMPLETE"}
    return score(wcs_of(library), scene.truth, scene.config.size).absolute


def write_hats(table, folder, order, row_group=20_000):
    """A HATS catalog of one order, sorted by HEALPix index."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from astropy_healpix import HEALPix

    positions = (np.asarray(table["ra"]) * u.deg, np.asarray(table["dec"]) * u.deg)
    index = HEALPix(nside=2**29, order="nested").lonlat_to_healpix(*positions)
    table = table[np.argsort(index)]
    index = np.sort(index)
    pixels = index >> 2 * (29 - order)
    for pixel in np.unique(pixels):
        place = folder / "dataset" / f"Norder={order}" / f"Dir={pixel // 10000 * 10000}"
        place.mkdir(parents=True, exist_ok=True)
        chosen = pixels == pixel
        columns = {name: np.asarray(table[name])[chosen] for name in table.colnames}
        pq.write_table(
            pa.table({"_healpix_29": index[chosen], **columns}),
            place / f"Npix={pixel}.parquet",
            row_group_size=row_group,
        )
    lines = ["hats_col_ra=ra", "hats_col_dec=dec", "hats_col_healpix=_healpix_29", "hats_npix_suffix=.parquet"]
    (folder / "hats.properties").write_text("#HATS catalog\n" + "\n".join(lines) + "\n")
    rows = [f"{order},{pixel}" for pixel in np.unique(pixels)]
    (folder / "partition_info.csv").write_text("Norder,Npix\n" + "\n".join(rows) + "\n")
