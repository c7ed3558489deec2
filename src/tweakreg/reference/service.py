"""A reference catalog from a catalog service, through stcal's client."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np

from tweakreg.errors import ServiceError
from tweakreg.types import ReferenceCatalog

#: Names that mean a service and not a file.
SERVICES = ("GAIAREFCAT", "GAIADR3", "GAIADR2", "GAIADR1")


def is_service(name: str) -> bool:
    """Whether a value of abs_refcat names a service."""
    return name.strip().upper() in SERVICES


def query_service(name: str, ra: float, dec: float, radius: float, epoch: float) -> ReferenceCatalog:
    """Ask a service for the stars around a position.

    Parameters
    ----------
    name : str
        One of `SERVICES`, in any case.
    ra, dec : float
        Centre, ICRS degrees.
    radius : float
        Degrees.
    epoch : float
        Decimal year to which the service moves the positions.

    Returns
    -------
    ReferenceCatalog
        Stars with proper motion only: the service cannot move the others.

    Raises
    ------
    ServiceError
        Whatever went wrong on the way.
    """
    from stcal.tweakreg import astrometric_utils

    catalog = name.strip().upper()
    try:
        # The client parses whatever it is sent: it gets to see good answers only.
        with mock.patch.object(astrometric_utils, "requests", _Requests()):
            table = astrometric_utils.get_catalog(ra, dec, epoch=epoch, search_radius=radius, catalog=catalog)
        if len(table.colnames) == 0:
            return ReferenceCatalog(ra=np.empty(0), dec=np.empty(0), name=catalog)
        positions = np.array([table["ra"], table["dec"]], dtype=float).reshape(2, -1)
    except Exception as error:  # refused connections, timeouts, pages of HTML: all are one outcome
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ServiceError(f"{catalog} did not answer with a catalog: {reason}") from error
    where = f"within {radius:.4f} degrees of ({ra:.6f}, {dec:.6f}), moved to epoch {epoch:.4f}"
    return ReferenceCatalog(ra=positions[0], dec=positions[1], name=catalog, provenance=f"service {catalog}, {where}")


class _Requests:
    """The part of `requests` that stcal's client uses; an answer other than 200 is an error."""

    def __init__(self) -> None:
        import requests

        self._requests = requests
        self.exceptions = requests.exceptions

    def get(self, *args: Any, **kwargs: Any) -> Any:
        response = self._requests.get(*args, **kwargs)
        if response.status_code != 200:
            raise ServiceError(f"HTTP status {response.status_code}")
        return response
