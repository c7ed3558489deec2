"""A reference catalog from a HATS catalog: parquet files by HEALPix pixel, on a disk or at a URL.

The layout is that of the IVOA note "HATS: A Standard for the Hierarchical Adaptive Tiling Scheme" (2025).
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

import numpy as np
from astropy.table import Table

from tweakreg.errors import CatalogError, ServiceError, first_line
from tweakreg.files import expanded
from tweakreg.plane import separation
from tweakreg.reference.cone import Cone
from tweakreg.reference.table import KNOWN_COLUMNS
from tweakreg.tables import plain_column

#: Catalogs that have a name of their own.
NAMED = {"GAIADR3_S3": "s3://stpubdata/gaia/gaia_dr3/public/hats/gaia/"}

_HEALPIX_ORDER = 29
#: Side of a pixel of order 0, degrees.
_PIXEL = 58.6
_ROWS_PER_FOLDER = 10_000


def read_cone(place: str, cone: Cone, timeout: float) -> Table:
    """Read the stars in a cone: only the partitions that it touches, and only columns that are used.

    Parameters
    ----------
    place : str
        A name in `NAMED`, a URL (s3, http, https) or a folder.
    cone : Cone
        What is wanted.
    timeout : float
        For each answer of a server, seconds.

    Returns
    -------
    Table

    Raises
    ------
    CatalogError
        A folder that is no HATS catalog.
    ServiceError
        A server that does not answer with one.
    """
    url = NAMED.get(place.upper(), place)
    try:
        filesystem, root = _open(url, timeout)
        return _read(filesystem, root, place, cone)
    except CatalogError as error:
        if "://" in url:
            raise ServiceError(f"{place} did not answer with a catalog: {error.problem}") from error
        raise
    except Exception as error:  # arrow, fsspec and the clients below them each raise their own
        problem = first_line(error)
        if "://" in url:
            raise ServiceError(f"{place} did not answer with a catalog: {problem}") from error
        raise CatalogError(place, f"cannot be read as a HATS catalog ({problem})") from error


def _open(url: str, timeout: float) -> tuple[Any, str]:
    """The file system and the path in it."""
    from pyarrow import fs

    if url.startswith("s3://"):
        return fs.S3FileSystem(anonymous=True, connect_timeout=timeout, request_timeout=timeout), url[5:].rstrip("/")
    if url.startswith(("http://", "https://")):
        try:
            import aiohttp
            import fsspec
        except ImportError as error:
            raise ServiceError(f"{url}: reading over HTTP needs fsspec: pip install 'tweakreg[http]'") from error
        options = {"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=timeout)}}
        return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem("http", **options))), url.rstrip("/")
    if "://" in url:
        return fs.FileSystem.from_uri(url)  # type: ignore[no-any-return]
    return fs.LocalFileSystem(), str(expanded(url).resolve())


def _read(filesystem: Any, root: str, place: str, cone: Cone) -> Table:
    from pyarrow import dataset

    properties = _properties(filesystem, root, ("collection.properties",))
    if "hats_primary_table_url" in properties:
        root = f"{root}/{properties['hats_primary_table_url']}"
    properties = _properties(filesystem, root, ("hats.properties", "properties"))
    if not properties:
        raise CatalogError(place, "has no hats.properties: it is no HATS catalog")
    ra, dec = properties.get("hats_col_ra", "ra"), properties.get("hats_col_dec", "dec")
    index = properties.get("hats_col_healpix", f"_healpix_{_HEALPIX_ORDER}")
    suffix = properties.get("hats_npix_suffix", ".parquet")
    partitions = _touched(_partitions(filesystem, root, place), cone)
    if not partitions:
        return Table({"ra": np.empty(0), "dec": np.empty(0)})
    paths = [
        f"{root}/dataset/Norder={order}/Dir={pixel // _ROWS_PER_FOLDER * _ROWS_PER_FOLDER}/Npix={pixel}{suffix}"
        for order, pixel in partitions
    ]
    if suffix == "/":
        paths = [info.path for path in paths for info in filesystem.get_file_info(_selector(path)) if info.is_file]
    data = dataset.dataset(paths, filesystem=filesystem, format="parquet")
    columns = [name for name in data.schema.names if name.lower() in KNOWN_COLUMNS or name in (ra, dec)]
    fine = int(properties.get("hats_col_healpix_order", _HEALPIX_ORDER)) == _HEALPIX_ORDER
    rows = _ranges(index, cone) if fine and index in data.schema.names else None
    found = data.to_table(columns=columns, filter=rows)
    table = Table({name: plain_column(found[name]) for name in columns})
    table.rename_columns([ra, dec], ["ra", "dec"])
    return table[separation(cone.ra, cone.dec, table["ra"], table["dec"]) <= 3600.0 * cone.radius]


def _selector(path: str) -> Any:
    from pyarrow import fs

    return fs.FileSelector(path.rstrip("/"), recursive=True)


def _properties(filesystem: Any, root: str, names: tuple[str, ...]) -> dict[str, str]:
    """Keys and values of the first of the files that exists."""
    for name in names:
        try:
            with filesystem.open_input_stream(f"{root}/{name}") as stream:
                lines = stream.read().decode("utf-8").splitlines()
        except FileNotFoundError:
            continue
        pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
        return {key.strip(): value.strip() for key, _, value in pairs}
    return {}


def _partitions(filesystem: Any, root: str, place: str) -> Any:
    """Orders and pixels (P, 2) of all partitions."""
    from pyarrow import csv

    try:
        with filesystem.open_input_stream(f"{root}/partition_info.csv") as stream:
            table = csv.read_csv(stream)
        return np.column_stack([table["Norder"].to_numpy(), table["Npix"].to_numpy()]).astype(np.int64)
    except (FileNotFoundError, KeyError) as error:
        raise CatalogError(place, "has no partition_info.csv with columns Norder and Npix") from error


def _pixels(order: int, cone: Cone) -> Any:
    """HEALPix pixels of an order that a cone touches, and some around it: the search alone misses some at its edge."""
    from astropy import units as u
    from astropy_healpix import HEALPix

    healpix = HEALPix(nside=2 ** int(order), order="nested")
    radius = min(cone.radius + _PIXEL / 2 ** int(order), 180.0)
    return healpix.cone_search_lonlat(cone.ra * u.deg, cone.dec * u.deg, radius * u.deg)


def _touched(partitions: Any, cone: Cone) -> list[tuple[int, int]]:
    found = []
    for order in np.unique(partitions[:, 0]):
        pixels = partitions[partitions[:, 0] == order, 1]
        found += [(int(order), int(pixel)) for pixel in np.sort(pixels[np.isin(pixels, _pixels(order, cone))])]
    return found


def _ranges(index: str, cone: Cone) -> Any:
    """The rows whose HEALPix index lies in the cone: row groups without any are not read."""
    from pyarrow import dataset

    # Pixels about as large as the cone: few ranges, and not much beyond it.
    order = int(np.clip(np.floor(np.log2(_PIXEL / max(cone.radius, 1e-6))), 0, 20))
    shift = 2 * (_HEALPIX_ORDER - order)
    field = dataset.field(index)
    pixels = [int(pixel) for pixel in _pixels(order, cone)]
    return reduce(or_, [(field >= pixel << shift) & (field < (pixel + 1) << shift) for pixel in pixels])
