"""Cones that were fetched before."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Callable
from pathlib import Path

from astropy.table import Table

from tweakreg.errors import OutputError, first_line, logger
from tweakreg.files import expanded, staging
from tweakreg.reference.cone import Cone
from tweakreg.tables import read_parquet, write_parquet

log = logger(__name__)

_ENDING = ".parquet"
#: Seconds for which an answer without stars is believed: a service that is being filled has none, either.
_EMPTY_AGE = 86400.0
#: Degrees. No answer of a service is of a wider cone: a file that says so would stand for all of the sky.
_WIDEST = 30.0


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
        Given a cone; with a cache it is a little larger, so that its file name says all about it. What it gives
        lies in that cone.

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
                table = known.stars_of(read_parquet(path))
                if len(table) or abs(time.time() - path.stat().st_mtime) < _EMPTY_AGE:
                    log.info("%s %s: from the cache %s", name, cone, path)
                    return table
                log.info(
                    "%s %s: there was no star on the last day that it was asked for; it is asked again", name, cone
                )
            except Exception as error:  # a damaged file is replaced
                log.warning("%s cannot be read and is fetched again (%s)", path, first_line(error))
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
        cone = Cone(ra=float(ra), dec=float(dec), radius=float(radius))
    except ValueError:
        return None
    return cone if cone.is_sound and cone.radius <= _WIDEST else None
