"""Reference catalogs by name: files, services and HATS catalogs, in an order of preference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack

from tweakreg.errors import CatalogError, InputError, ServiceError, logger
from tweakreg.files import expanded, is_file, is_folder
from tweakreg.plane import Floats
from tweakreg.records import ReferenceCatalog, Selection
from tweakreg.reference.cache import cached
from tweakreg.reference.cone import Cone
from tweakreg.reference.file import read_reference
from tweakreg.reference.hats import NAMED, read_cone
from tweakreg.reference.region import cones, near_images
from tweakreg.reference.service import DEFAULT_URL, SERVICES, Patience, query_service, service_url
from tweakreg.reference.table import catalog_of

log = logger(__name__)

#: Names that mean a catalog and not a file.
CATALOGS = (*SERVICES, *NAMED)
#: The same under the name that the JWST step gives its list.
SINGLE_GROUP_REFCAT = list(CATALOGS)

Footprints = Sequence[tuple[Floats, Floats]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Which stars are wanted, and how to get at them.

    Attributes
    ----------
    names : tuple of str
        Files, names in `CATALOGS`, URLs or folders of HATS catalogs; the first that answers is used. With `image` at
        most one file, with pixels of it.
    image : str
        An image whose sources are wanted; empty for none.
    given : ReferenceCatalog or None
        The stars themselves, where a caller in Python has them.
    selection : Selection
        Columns and cuts.
    patience : Patience
        How long to wait for a service.
    cache : Path or None
        Where cones are kept that come from a server.
    """

    names: tuple[str, ...] = ()
    image: str = ""
    given: ReferenceCatalog | None = None
    selection: Selection = field(default_factory=Selection.of_reference)
    patience: Patience = field(default_factory=Patience)
    cache: Path | None = None

    @property
    def said(self) -> str:
        """What the user calls it."""
        return self.given.name if self.given is not None else (*self.names, self.image)[0]

    def name_of(self, used: str) -> str:
        """What the user calls the catalog that was used, by the name that its records have."""
        return self.said if used == label_of(self.said) else used

    @property
    def is_local(self) -> bool:
        """Whether it can be read before it is known which stars are wanted."""
        return self.given is not None or bool(self.image) or _is_file(self.names[0])


def available(name: str) -> bool:
    """Whether a name is not that of a file which does not exist; what is elsewhere is asked when it is wanted."""
    return not _is_file(name) or is_file(name)


def check_fetchable(name: str) -> None:
    """Refuse the name of a file, from which nothing is to be fetched.

    Raises
    ------
    InputError
        It is one.
    """
    if _is_file(name):
        known = f"it must be a URL, a folder, or {', '.join(CATALOGS)}"
        raise InputError(name, f"is no catalog to fetch from: {known}")


def _is_file(name: str) -> bool:
    """Whether a name means a file, which can be read before it is known which stars are wanted."""
    return name.upper() not in CATALOGS and "://" not in name and not is_folder(name)


def label_of(name: str) -> str:
    """Name of the catalog that a file, URL or name means, as its records have it."""
    return name.upper() if name.upper() in CATALOGS else Path(name.rstrip("/")).name


def reference_catalog(request: Request, footprints: Footprints, margin: float) -> ReferenceCatalog:
    """The stars around images, from the first catalog that answers.

    Parameters
    ----------
    request : Request
        By name.
    footprints : sequence of (ra, dec)
        Vertices of each image, degrees.
    margin : float
        So far beyond the images stars are wanted, degrees.

    Returns
    -------
    ReferenceCatalog
        Its name and provenance say what was used.

    Raises
    ------
    ServiceError
        None answered; the message has the reason of each.
    CatalogError
        A file or folder cannot be read.
    """
    problems = []
    for name in request.names:
        try:
            if _is_file(name):
                return read_reference(expanded(name), request.selection)
            return _around(name, request, footprints, margin)
        except ServiceError as error:
            problems.append(str(error))
            if name != request.names[-1]:
                log.warning("%s: the next reference catalog is tried", error)
    raise ServiceError("; ".join(problems))


def _around(name: str, request: Request, footprints: Footprints, margin: float) -> ReferenceCatalog:
    table = fetch(name, cones(footprints, margin), request.patience, request.cache)
    label = label_of(name)
    ra, dec = (np.asarray(table[axis], dtype=float) for axis in ("ra", "dec"))
    table = table[near_images(ra, dec, footprints, margin)]
    provenance = str(table.meta.get("provenance", name))
    if len(table) == 0:
        return ReferenceCatalog(ra=np.empty(0), dec=np.empty(0), name=label, provenance=provenance)
    try:
        return catalog_of(table, name, request.selection, name=label, provenance=provenance)
    except CatalogError as error:
        raise ServiceError(str(error)) from error


def fetch(name: str, where: Sequence[Cone], patience: Patience, cache: Path | None) -> Table:
    """The table of a catalog in some cones, each star once.

    Parameters
    ----------
    name : str
        In `CATALOGS`, a URL or a folder.
    where : sequence of Cone
        Parts of the sky.
    patience : Patience
        How long to wait for a service.
    cache : Path or None
        Where answers are kept; None for nowhere.

    Returns
    -------
    Table
        With all columns that this package knows; its metadata say where it is from.

    Raises
    ------
    ServiceError
        It does not answer.
    """
    parts = [_fetched(name, cone, patience, cache) for cone in where]
    parts = [part for part in parts if len(part)] or parts[:1]
    table = parts[0] if len(parts) == 1 else vstack(parts, metadata_conflicts="silent")
    if len(parts) > 1:
        _, first = np.unique(np.column_stack([table["ra"], table["dec"]]), axis=0, return_index=True)
        table = table[np.sort(first)]
        table.meta["provenance"] = "; ".join(str(part.meta.get("provenance", "")) for part in parts)
    return table


def _fetched(name: str, cone: Cone, patience: Patience, cache: Path | None) -> Table:
    known = name.upper() if name.upper() in CATALOGS else name
    served = known in SERVICES

    def ask(cone: Cone) -> Table:
        table = query_service(known, cone, patience) if served else read_cone(known, cone, patience.timeout)
        table.meta["provenance"] = f"{known} {cone}, fetched {datetime.now(UTC):%Y-%m-%d}"
        if served:
            table.meta["ref_epoch"] = SERVICES[known]  # for a table without such a column
        log.info("%s %s: %d stars", known, cone, len(table))
        return table

    online = known in CATALOGS or "://" in known
    # Another address may have other stars under the same name.
    key = f"{known} {service_url()}" if served and service_url() != DEFAULT_URL else known
    return cached(key, cone, cache if online else None, ask)
