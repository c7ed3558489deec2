"""A reference catalog from the catalog service of the Space Telescope Science Institute."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import numpy as np
from astropy.table import Table

from tweakreg.errors import ServiceError, first_line, logger, printable
from tweakreg.process import within
from tweakreg.reference.cone import Cone
from tweakreg.reference.table import KNOWN_COLUMNS, TEXT_COLUMNS
from tweakreg.spec import DEFAULTS
from tweakreg.tables import plain_column

log = logger(__name__)

#: Catalogs that the service has, and the epoch of their positions.
SERVICES = {"GAIAREFCAT": 2016.0, "GAIADR3": 2016.0, "GAIADR2": 2015.5, "GAIADR1": 2015.0}

DEFAULT_URL = "https://gsss.stsci.edu/webservices"
_URL_VARIABLE = "ASTROMETRIC_CATALOG_URL"
#: Stands for a number that is not known.
_NONE = -999.0
#: The pause before the second try, seconds; it doubles with each.
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
#: Status codes that ask to come back: time-out, and too many requests.
_LATER = (408, 429)
#: What the service says where it has no star.
_NO_STAR = b"No data records"
#: An answer may have so many bytes, packed or not, and so many stars: more than the fullest field of a mosaic has.
_LARGEST = 128 << 20
_MOST_ROWS = 2_000_000
_TOO_LARGE = "are more than an answer may have: align fewer images at a time, or take a HATS catalog such as GAIADR3_S3"
_LONGEST_HEADER = 1 << 16
#: Unpacked at once, bytes.
_PIECE = 1 << 20
#: Of so many addresses one may send on to the next.
_MOST_ADDRESSES = 5


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
            pause = min(_FIRST_PAUSE * 2.0 ** (attempt - 1), _LONGEST_PAUSE)
            log.info("%s: %s; asking again in %.1f s", name, problem, pause)
            time.sleep(pause)
        try:
            return cone.stars_of(_answer(url, query, patience.timeout))
        except _FinalError as error:
            raise ServiceError(f"{name} did not answer with a catalog: {error}") from error
        except Exception as error:  # requests, urllib3 and the reader of tables each raise their own
            problem = _in_short(error, url, patience.timeout)
    tries = f" ({patience.retries + 1} tries)" if patience.retries else ""
    raise ServiceError(f"{name} did not answer with a catalog: {problem}{tries}")


def _answer(url: str, query: dict[str, Any], timeout: float) -> Table:
    """One answer. The clocks of sockets run anew with each byte: of headers that drip none would ever run out."""
    deadline = time.monotonic() + timeout
    return _table(within(timeout, lambda: _body(url, query, deadline)))


def _in_short(error: Exception, url: str, timeout: float) -> str:
    """What went wrong, without what urllib3 tells of its inside."""
    import requests

    if isinstance(error, (requests.Timeout, TimeoutError)):
        return f"no answer within {timeout:.0f} s"
    if isinstance(error, requests.ConnectionError):
        return f"no connection to {urlsplit(url).netloc}"
    return first_line(error)[:200]


class _FinalError(ServiceError):
    """An answer that would be the same if it were asked for again."""


def _body(url: str, query: dict[str, Any], deadline: float) -> bytes:
    """What the service sends, complete, in time and not too large."""
    import requests

    place = ""

    def keep_place(response: Any, **kwargs: Any) -> None:
        # We follow ourselves: requests reads what comes with an address, whatever its size.
        nonlocal place
        place = response.headers.pop("Location", "")

    options = {"headers": {"Accept-Encoding": "gzip"}, "hooks": {"response": keep_place}, "stream": True}
    for _ in range(_MOST_ADDRESSES):
        patience = max(deadline - time.monotonic(), 0.1)
        with requests.get(url, params=query, timeout=patience, **options) as response:
            if not (place and 300 <= response.status_code < 400):
                return _checked_body(response, deadline)
            url, query = _next_address(response.url, place), {}
    raise _FinalError(f"it sends on to more than {_MOST_ADDRESSES} addresses")


def _next_address(url: str, place: str) -> str:
    """Where an answer sends on to; anybody on the way could change what comes over an address without encryption."""
    address = urljoin(url, place)
    if urlsplit(url).scheme == "https" and urlsplit(address).scheme != "https":
        shown = printable(address[:100])
        raise _FinalError(
            f"it sends on from https to {shown}, which anybody on the way could change: this is not followed"
        )
    return address


def _checked_body(response: Any, deadline: float) -> bytes:
    if response.status_code != 200:
        problem = f"HTTP status {response.status_code}"
        final = 400 <= response.status_code < 500 and response.status_code not in _LATER
        raise _FinalError(problem) if final else ServiceError(problem)
    told = response.headers.get("Content-Length", "")
    length = int(told) if told.isdecimal() and len(told) < 20 else None
    if length is not None and length > _LARGEST:
        raise _FinalError(f"{length >> 20} MB {_TOO_LARGE}")
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise _FinalError(f"the answer is packed as '{printable(encoding[:40])}', which was not asked for")
    body, rows = bytearray(), 0
    received = _received(response, length, deadline)
    for piece in _unpacked(received) if encoding == "gzip" else received:
        body += piece
        rows += piece.count(b"\n")
        if len(body) > _LARGEST or rows > _MOST_ROWS:
            raise _FinalError(f"{len(body) >> 20} MB with {rows} stars, and what follows, {_TOO_LARGE}")
    whole = length is not None or encoding == "gzip" or response.headers.get("Transfer-Encoding") == "chunked"
    if not whole and body and not body.endswith(b"\n"):
        raise ServiceError("the answer ended in the middle of a line")
    return bytes(body)


def _received(response: Any, length: int | None, deadline: float) -> Iterator[bytes]:
    """An answer in parts as they come, in time and to its end."""
    received = 0
    # What is there is taken at once: of a slow answer each byte comes in time, and the whole never.
    while part := response.raw.read1(1 << 16, decode_content=False):
        received += len(part)
        if time.monotonic() > deadline:
            raise TimeoutError("the answer was not complete in time")
        yield part
    if length is not None and received < length:
        raise ServiceError(f"the answer ended after {received} of {length} bytes")


def _unpacked(parts: Iterator[bytes]) -> Iterator[bytes]:
    """What was packed, piece by piece: a small part of an answer may be of any size unpacked."""
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
    for part in parts:
        left = part
        while left and not decoder.eof:
            yield decoder.decompress(left, _PIECE)
            left = decoder.unconsumed_tail
    if not decoder.eof:
        raise ServiceError("the answer ended in the middle of what is packed")


def _table(body: bytes) -> Table:
    text = body.lstrip(b"\xef\xbb\xbf \r\n")
    if text.startswith(_NO_STAR):
        return Table({"ra": np.empty(0), "dec": np.empty(0)})
    if not text:
        raise ServiceError("the answer is empty")
    if text.startswith(b"<"):
        raise ServiceError("the answer is a page and no table")
    while text.startswith(b"#"):
        text = text.partition(b"\n")[2]
    header = text[:_LONGEST_HEADER].partition(b"\n")[0].decode("utf-8", errors="replace")
    names = [name.strip() for name in next(csv.reader([header.rstrip("\r")]), [])]
    for axis in ("ra", "dec"):
        found = [name for name in names if name.lower() == axis]
        if len(found) != 1:
            has = ", ".join(names)[:80]
            raise _FinalError(f"the answer needs one column {axis}, and has {len(found)} of them: {printable(has)}")
        names[names.index(found[0])] = axis
    table = _stars(text, names)
    if not (np.isfinite(table["ra"]).all() and np.isfinite(table["dec"]).all()):
        raise ServiceError("the answer has rows that are no stars")
    return table


def _stars(text: bytes, names: list[str]) -> Table:
    """The columns that are known. Arrow's reader keeps texts as long as they are, and columns of numbers as numbers."""
    from pyarrow import csv as arrow

    known = [name for name in names if name.lower() in KNOWN_COLUMNS]
    found = arrow.read_csv(
        io.BytesIO(text),
        read_options=arrow.ReadOptions(column_names=names, skip_rows=1, use_threads=False),
        convert_options=arrow.ConvertOptions(include_columns=known, strings_can_be_null=True),
    )
    columns = {name: plain_column(found[name]) for name in known}
    return Table({name: each if name.lower() in TEXT_COLUMNS else _floats(each) for name, each in columns.items()})


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
