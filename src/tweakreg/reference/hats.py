"""A reference catalog from a HATS catalog: parquet files by HEALPix pixel, on a disk or at a URL.

The layout is that of the IVOA note "HATS: A Standard for the Hierarchical Adaptive Tiling Scheme" (2025).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
from astropy.table import Table

from tweakreg.errors import CatalogError, ServiceError, first_line
from tweakreg.files import expanded
from tweakreg.plane import separation
from tweakreg.process import within
from tweakreg.reference.cone import Cone
from tweakreg.reference.table import KNOWN_COLUMNS
from tweakreg.tables import plain_column

#: Catalogs that have a name of their own.
NAMED = {"GAIADR3_S3": "s3://stpubdata/gaia/gaia_dr3/public/hats/gaia/"}

_HEALPIX_ORDER = 29
#: Side of a pixel of order 0, degrees.
_PIXEL = 58.6
#: No point of a pixel is farther from its centre, in sides.
_REACH = 1.25
_ROWS_PER_FOLDER = 10_000
#: What is read has limits: stars in a cone and their size in bytes, partitions that it touches, files of text in bytes.
_MOST_ROWS = 5_000_000
_LARGEST = 1 << 30
_MOST_PARTITIONS = 1000
_LARGEST_TEXT = 16 << 20
#: All of a cone may take as long as so many answers, each at its limit.
_ANSWERS = 10
_SCHEMES = "s3://, gs://, http:// or https://"


def read_cone(place: str, cone: Cone, timeout: float) -> Table:
    """Read the stars in a cone: only the partitions that it touches, and only columns that are used.

    Parameters
    ----------
    place : str
        A name in `NAMED`, a URL (s3, gs, http, https) or a folder.
    cone : Cone
        What is wanted.
    timeout : float
        For each answer of a server, seconds; all of them together may take ten times as long.

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
        return within(_ANSWERS * timeout, lambda: _read(_Place(*_open(url, timeout), place, timeout), cone))
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
    from datetime import timedelta

    from pyarrow import fs

    scheme, _, path = url.partition("://")
    if scheme == "s3":
        patient = fs.AwsStandardS3RetryStrategy(max_attempts=2)
        options = {"connect_timeout": timeout, "request_timeout": timeout, "retry_strategy": patient}
        return fs.S3FileSystem(anonymous=True, **options), path.rstrip("/")
    if scheme in ("gs", "gcs"):
        limit = timedelta(seconds=timeout)
        return fs.GcsFileSystem(anonymous=True, retry_time_limit=limit), path.rstrip("/")
    if scheme in ("http", "https"):
        try:
            import aiohttp
            import fsspec
        except ImportError as error:
            raise ServiceError(f"{url}: reading over HTTP needs fsspec: pip install 'tweakreg[http]'") from error
        client = {"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=timeout)}}
        return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem("http", **client))), url.rstrip("/")
    if scheme == "file":
        return fs.LocalFileSystem(), path.rstrip("/")
    if path:
        raise ServiceError(f"{url}: a HATS catalog is read from a folder, or a URL that begins with {_SCHEMES}")
    return fs.LocalFileSystem(), str(expanded(url).resolve())


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a catalog is.

    Attributes
    ----------
    filesystem : pyarrow.fs.FileSystem
        Of the disk or server.
    root : str
        Of the catalog in it.
    name : str
        As the user gave it.
    timeout : float
        For each answer, seconds.
    """

    filesystem: Any
    root: str
    name: str
    timeout: float

    def text(self, name: str, largest: int) -> bytes:
        """A small file, complete and in time.

        Raises
        ------
        FileNotFoundError
            There is none.
        CatalogError
            It is larger than it may be.
        """

        def read() -> bytes:
            with self.filesystem.open_input_stream(f"{self.root}/{name}", compression=None) as stream:
                return bytes(stream.read(largest + 1))

        content = within(self.timeout, read)
        if len(content) > largest:
            raise CatalogError(self.name, f"its {name} is larger than {largest >> 20} MB: it is no HATS catalog")
        return content

    def files(self, partitions: list[tuple[int, int]], suffix: str) -> list[str]:
        """Paths of the files of partitions; one may be a folder of several."""
        top = f"{self.root}/dataset"
        paths = [
            f"{top}/Norder={order}/Dir={pixel // _ROWS_PER_FOLDER * _ROWS_PER_FOLDER}/Npix={pixel}{suffix}"
            for order, pixel in partitions
        ]
        if suffix == "/":
            listed = (self.filesystem.get_file_info(_selector(path)) for path in paths)
            paths = [info.path for infos in listed for info in infos if info.is_file]
        return paths


def _read(place: _Place, cone: Cone) -> Table:
    properties = _properties(place, ("collection.properties",))
    if "hats_primary_table_url" in properties:
        place = replace(place, root=f"{place.root}/{properties['hats_primary_table_url']}")
    properties = _properties(place, ("hats.properties", "properties"))
    if not properties:
        raise CatalogError(place.name, "has no hats.properties: it is no HATS catalog")
    ra, dec = properties.get("hats_col_ra", "ra"), properties.get("hats_col_dec", "dec")
    partitions = _touched(_partitions(place), cone)
    if len(partitions) > _MOST_PARTITIONS:
        problem = f"{len(partitions)} of its partitions are {cone}: align fewer images at a time"
        raise CatalogError(place.name, problem)
    if not partitions:
        return Table({"ra": np.empty(0), "dec": np.empty(0)})
    found = _rows(place, properties, place.files(partitions, properties.get("hats_npix_suffix", ".parquet")), cone)
    table = Table({name: plain_column(found[name]) for name in found.column_names})
    table.rename_columns([ra, dec], ["ra", "dec"])
    return table[separation(cone.ra, cone.dec, table["ra"], table["dec"]) <= 3600.0 * cone.radius]


def _rows(place: _Place, properties: dict[str, str], paths: list[str], cone: Cone) -> Any:
    """The rows of files that lie about in the cone, in columns that are used; no more than fit."""
    import pyarrow as pa
    from pyarrow import dataset

    data = dataset.dataset(paths, filesystem=place.filesystem, format="parquet")
    sky = (properties.get("hats_col_ra", "ra"), properties.get("hats_col_dec", "dec"))
    columns = [name for name in data.schema.names if name.lower() in KNOWN_COLUMNS or name in sky]
    index = properties.get("hats_col_healpix", f"_healpix_{_HEALPIX_ORDER}")
    fine = properties.get("hats_col_healpix_order", str(_HEALPIX_ORDER)) == str(_HEALPIX_ORDER)
    rows = _ranges(index, cone) if fine and index in data.schema.names else None
    parts, n_rows, size = [], 0, 0
    # Not `to_table`, which has no limit: a small file may hold any number of rows.
    for part in data.to_batches(columns=columns, filter=rows, batch_readahead=2, fragment_readahead=2):
        parts.append(part)
        n_rows, size = n_rows + len(part), size + part.nbytes
        if n_rows > _MOST_ROWS or size > _LARGEST:
            problem = f"has more than {_MOST_ROWS} stars or {_LARGEST >> 20} MB {cone}: align fewer images at a time"
            raise CatalogError(place.name, problem)
    return pa.Table.from_batches(parts, schema=pa.schema([data.schema.field(name) for name in columns]))


def _selector(path: str) -> Any:
    from pyarrow import fs

    return fs.FileSelector(path.rstrip("/"), recursive=True)


def _properties(place: _Place, names: tuple[str, ...]) -> dict[str, str]:
    """Keys and values of the first of the files that exists."""
    for name in names:
        try:
            lines = place.text(name, _LARGEST_TEXT).decode("utf-8").splitlines()
        except FileNotFoundError:
            continue
        pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
        return {key.strip(): value.strip() for key, _, value in pairs}
    return {}


def _partitions(place: _Place) -> Any:
    """Orders and pixels (P, 2) of all partitions."""
    import pyarrow as pa
    from pyarrow import csv

    try:
        table = csv.read_csv(pa.BufferReader(place.text("partition_info.csv", _LARGEST_TEXT)))
        orders, pixels = (table[name].to_numpy() for name in ("Norder", "Npix"))
    except (FileNotFoundError, KeyError, pa.ArrowInvalid) as error:
        raise CatalogError(place.name, "has no partition_info.csv with columns Norder and Npix") from error
    whole = all(np.issubdtype(column.dtype, np.integer) for column in (orders, pixels))
    if not whole or (orders < 0).any() or (orders > _HEALPIX_ORDER).any():
        problem = f"orders in its partition_info.csv must be whole numbers from 0 to {_HEALPIX_ORDER}"
        raise CatalogError(place.name, problem)
    if (pixels < 0).any() or (pixels >= 12 * 4 ** orders.astype(np.int64)).any():
        raise CatalogError(place.name, "its partition_info.csv has pixels that are not on the sky")
    return np.unique(np.column_stack([orders, pixels]).astype(np.int64), axis=0)


def _pixels(order: int, cone: Cone) -> Any:
    """HEALPix pixels of an order that a cone touches, and some around it: the search alone misses some at its edge."""
    from astropy import units as u
    from astropy_healpix import HEALPix

    healpix = HEALPix(nside=2 ** int(order), order="nested")
    radius = min(cone.radius + _PIXEL / 2 ** int(order), 180.0)
    return healpix.cone_search_lonlat(cone.ra * u.deg, cone.dec * u.deg, radius * u.deg)


def _touched(partitions: Any, cone: Cone) -> list[tuple[int, int]]:
    """The partitions that may hold a part of a cone, by the distance of their centres: their number alone matters."""
    from astropy_healpix import HEALPix

    found = []
    for order in np.unique(partitions[:, 0]):
        pixels = partitions[partitions[:, 0] == order, 1]
        ra, dec = HEALPix(nside=2 ** int(order), order="nested").healpix_to_lonlat(pixels)
        apart = separation(cone.ra, cone.dec, ra.to_value("deg"), dec.to_value("deg")) / 3600.0
        near = apart <= cone.radius + _REACH * _PIXEL / 2 ** int(order)
        found += [(int(order), int(pixel)) for pixel in pixels[near]]
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
