"""A reference catalog from the catalog service of the Space Telescope Science Institute."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from astropy.table import Table

from tweakreg.errors import ServiceError, first_line
from tweakreg.process import silenced
from tweakreg.reference.cone import Cone
from tweakreg.reference.table import KNOWN_COLUMNS, TEXT_COLUMNS
from tweakreg.spec import DEFAULTS
from tweakreg.tables import find_column

log = logging.getLogger(__name__)

#: Catalogs that the service has, and the epoch of their positions.
SERVICES = {"GAIAREFCAT": 2016.0, "GAIADR3": 2016.0, "GAIADR2": 2015.5, "GAIADR1": 2015.0}

DEFAULT_URL = "https://gsss.stsci.edu/webservices"
_URL_VARIABLE = "ASTROMETRIC_CATALOG_URL"
#: Stands for a number that is not known.
_NONE = -999.0
#: The pause before the second try, seconds; it doubles with each.
_FIRST_PAUSE = 0.5
#: Status codes that ask to come back: time-out, and too many requests.
_LATER = (408, 429)
#: What the service says where it has no star.
_NO_STAR = b"No data records"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for a service.

    Attributes
    ----------
    timeout : float
        For one answer, from asking to its last byte, seconds.
    retries : int
        How often to ask again.
    """

    timeout: float = DEFAULTS["service_timeout"]
    retries: int = DEFAULTS["service_retries"]


def service_url() -> str:
    """Address of the service, as the environment says at this moment."""
    return os.environ.get(_URL_VARIABLE, DEFAULT_URL).rstrip("/")


def query_service(name: str, cone: Cone, patience: Patience) -> Table:
    """Ask the service for all stars in a cone, at the catalog's own epoch.

    Parameters
    ----------
    name : str
        One of `SERVICES`.
    cone : Cone
        What is wanted.
    patience : Patience
        How long to wait, and how often to ask.

    Returns
    -------
    Table
        Stars with and without proper motion; columns ra and dec are in it under these names.

    Raises
    ------
    ServiceError
        Whatever went wrong on the way; an answer that is not the table is never read as one.
    """
    url = f"{service_url()}/vo/CatalogSearch.aspx"
    query = {"RA": cone.ra, "DEC": cone.dec, "SR": cone.radius, "FORMAT": "CSV", "CAT": name}
    problem = ""
    for attempt in range(patience.retries + 1):
        if attempt:
            pause = _FIRST_PAUSE * 2.0 ** (attempt - 1)
            log.info("%s: %s; asking again in %.1f s", name, problem, pause)
            time.sleep(pause)
        try:
            return _table(_body(url, query, patience.timeout))
        except _FinalError as error:
            raise ServiceError(f"{name} did not answer with a catalog: {error}") from error
        except Exception as error:  # requests, urllib3 and the reader of tables each raise their own
            problem = _in_short(error, url, patience.timeout)
    tries = f" ({patience.retries + 1} tries)" if patience.retries else ""
    raise ServiceError(f"{name} did not answer with a catalog: {problem}{tries}")


def _in_short(error: Exception, url: str, timeout: float) -> str:
    """What went wrong, without what urllib3 tells of its inside."""
    import requests

    if isinstance(error, requests.Timeout):
        return f"no answer within {timeout:.0f} s"
    if isinstance(error, requests.ConnectionError):
        return f"no connection to {urlsplit(url).netloc}"
    return first_line(error)


class _FinalError(ServiceError):
    """An answer that would be the same if it were asked for again."""


def _body(url: str, query: dict[str, Any], timeout: float) -> bytes:
    """What the service sends, complete and in time."""
    import requests

    deadline = time.monotonic() + timeout
    parts = []
    with requests.get(url, params=query, timeout=timeout, stream=True) as response:
        if response.status_code != 200:
            problem = f"HTTP status {response.status_code}"
            final = 400 <= response.status_code < 500 and response.status_code not in _LATER
            raise _FinalError(problem) if final else ServiceError(problem)
        # What is there is taken at once: of a slow answer each byte comes in time, and the whole never.
        while part := response.raw.read1(1 << 16, decode_content=True):
            parts.append(part)
            if time.monotonic() > deadline:
                raise ServiceError(f"the answer was not complete after {timeout:.0f} s")
        body = b"".join(parts)
        told = response.headers.get("Content-Length")
        whole = told is not None or response.headers.get("Transfer-Encoding") == "chunked"
    if told is not None and "Content-Encoding" not in response.headers and len(body) < int(told):
        raise ServiceError(f"the answer ended after {len(body)} of {told} bytes")
    if not whole and body and not body.endswith(b"\n"):
        raise ServiceError("the answer ended in the middle of a line")
    return body


def _table(body: bytes) -> Table:
    text = body.lstrip(b"\xef\xbb\xbf \r\n")
    if text.startswith(_NO_STAR):
        return Table({"ra": np.empty(0), "dec": np.empty(0)})
    if not text:
        raise ServiceError("the answer is empty")
    if text.startswith(b"<"):
        raise ServiceError("the answer is a page and no table")
    with silenced():
        table = Table.read(io.BytesIO(text), format="ascii.csv", comment="#", fill_values=[("", "nan")])
    for axis in ("ra", "dec"):
        column = find_column(table, "the answer", (axis,))
        if column is None:
            raise _FinalError(f"the answer has no columns ra and dec: {', '.join(table.colnames)[:80]}")
        table.rename_column(column, axis)
    table = table[[name for name in table.colnames if name.lower() in KNOWN_COLUMNS]]
    for name in table.colnames:
        if name.lower() not in TEXT_COLUMNS:
            table[name] = _floats(table[name])
    if not (np.isfinite(table["ra"]).all() and np.isfinite(table["dec"]).all()):
        raise ServiceError("the answer has rows that are no stars")
    return table


def _floats(column: Any) -> Any:
    """Numbers, NaN where there is none; -999 stands for none, too."""
    data = np.ma.asarray(column)
    if data.dtype.kind in "iuf":
        values = np.ma.filled(data.astype(float), np.nan)
    else:
        values = np.full(len(data), np.nan)
        for row in np.flatnonzero(~np.ma.getmaskarray(data)):
            with contextlib.suppress(TypeError, ValueError):
                values[row] = float(np.ma.getdata(data)[row])
    return np.where(values == _NONE, np.nan, values)
