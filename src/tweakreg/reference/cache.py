"""Cones that were fetched before."""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Callable
from pathlib import Path

from astropy.table import Table

from tweakreg.errors import OutputError
from tweakreg.files import expanded, staging
from tweakreg.reference.cone import Cone
from tweakreg.tables import read_parquet, write_parquet

log = logging.getLogger(__name__)

_ENDING = ".parquet"


def cache_folder(value: str) -> Path | None:
    """Where cones are kept: the platform's cache folder for an empty value, nowhere for 'none', or a folder."""
    if value.strip().lower() == "none":
        return None
    if value.strip():
        return expanded(value)
    from platformdirs import user_cache_path

    return Path(user_cache_path("tweakreg")) / "refcat"


def cached(name: str, cone: Cone, folder: Path | None, fetch: Callable[[Cone], Table]) -> Table:
    """A cone from the cache, or else fetched and kept.

    Parameters
    ----------
    name : str
        Of the provider and its release.
    cone : Cone
        What is wanted.
    folder : Path or None
        None to fetch in any case.
    fetch : callable
        Given a cone; with a cache it is a little larger, so that its file name says all about it.

    Returns
    -------
    Table
        Of this cone, or of a larger one around it; its metadata say which.
    """
    if folder is None:
        return fetch(cone)
    cone = _rounded(cone)
    for path in sorted(folder.glob(f"{_key(name)}_*{_ENDING}")):
        known = _cone_of(path)
        if known is not None and known.contains(cone):
            try:
                table = read_parquet(path)
                log.info("%s %s: from the cache %s", name, cone, path)
                return table
            except Exception as error:  # a damaged file is replaced
                log.warning("%s cannot be read and is fetched again (%s)", path, error)
    table = fetch(cone)
    path = folder / f"{_key(name)}_{cone.ra:.6f}_{cone.dec:+.6f}_{cone.radius:.6f}{_ENDING}"
    try:
        with staging(folder) as temporary:
            write_parquet(table, temporary / path.name)
    except OutputError as error:
        log.warning("the stars that were fetched are not kept: %s", error)
    return table


def _rounded(cone: Cone) -> Cone:
    """A cone around another, with numbers that a file name can hold."""
    radius = math.ceil(cone.radius * 1e6 + 1.0) / 1e6
    return Cone(ra=round(cone.ra, 6), dec=round(cone.dec, 6), radius=min(radius, 180.0))


def _key(name: str) -> str:
    """The name as a part of a file name; URLs are told apart by a hash."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name)[:40].strip("-")
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def _cone_of(path: Path) -> Cone | None:
    try:
        ra, dec, radius = path.name.removesuffix(_ENDING).split("_")[-3:]
        return Cone(ra=float(ra), dec=float(dec), radius=float(radius))
    except ValueError:
        return None
