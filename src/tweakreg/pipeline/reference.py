"""The reference catalog of a run, wherever it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tweakreg.errors import CatalogError, InputError, ServiceError, logger
from tweakreg.files import check_writable, expanded, staging
from tweakreg.find.custom import read_catalog
from tweakreg.find.finders import find_sources
from tweakreg.observatory.library import ModelLibrary
from tweakreg.observatory.missions import only_one, opened
from tweakreg.plane import Floats
from tweakreg.progress import progress
from tweakreg.records import FindConfig, ReferenceCatalog, magnitudes
from tweakreg.reference.providers import Request, check_fetchable, fetch, reference_catalog
from tweakreg.reference.region import cones
from tweakreg.reference.service import Patience
from tweakreg.tables import write_parquet

log = logger(__name__)

#: What a bundle's name may end in, which says its format.
_ENDINGS = (".parquet", ".ecsv")


class Reference:
    """The stars that exposures are tied to: asked for once, whoever has them.

    Parameters
    ----------
    request : Request
        Which stars, and how to get at them.
    find : FindConfig
        How sources are found where the reference is an image.
    """

    def __init__(self, request: Request, find: FindConfig) -> None:
        self.request = request
        self._find = find
        self._catalog = request.given

    def early(self) -> None:
        """Read a file or an image now: a broken one must not cost the time of finding sources.

        Raises
        ------
        CatalogError
            It cannot be used.
        """
        if self._catalog is None and self.request.is_local:
            self._catalog = self._of_image() if self.request.image else reference_catalog(self.request, (), 0.0)

    def around(self, footprints: Sequence[tuple[Floats, Floats]], margin: float) -> ReferenceCatalog:
        """The stars around images; those of a file may be all over the sky.

        Parameters
        ----------
        footprints : sequence of (ra, dec)
            Vertices of each image, degrees.
        margin : float
            So far beyond the images stars are wanted, degrees.

        Raises
        ------
        ServiceError
            Nobody answers, in the words of each.
        """
        self.early()
        if self._catalog is not None:
            return self._catalog
        return reference_catalog(self.request, footprints, margin)

    def _of_image(self) -> ReferenceCatalog:
        """The sources of an image with the right coordinates, or those of a catalog of it."""
        path, selection = Path(self.request.image), self.request.selection
        with opened(path) as images:
            image = only_one(images, path)
            if self.request.names:
                table = expanded(self.request.names[0])
                found = read_catalog(table, table.name, selection, parameters=("refxcol", "refycol", "rfluxcol"))
                provenance = f"file {table.resolve()}, "
            else:
                found, provenance = find_sources(image.pixels(), self._find, path.name), "sources of "
            by_magnitude = selection.magnitudes and not selection.flux
            found = found[selection.chosen(magnitudes(found.flux) if by_magnitude else found.flux)]
            if not len(found):
                raise CatalogError(path, "no source of it is left: check snr_threshold, kernel_fwhm and the cuts")
            ra, dec = image.sky(found.x, found.y)
        log.info("%s: %d sources are the reference", found.name, len(found))
        return ReferenceCatalog(
            ra=ra,
            dec=dec,
            weight=found.weight,
            name=found.name,
            provenance=f"{provenance}{path.resolve()}",
            mag=magnitudes(found.flux),
        )


def write_bundle(inputs: list[Path], output: Path, catalog: str, margin: float, patience: Patience) -> int:
    """Fetch the stars around exposures into one file, to be used as ``abs_refcat`` where there is no network.

    Parameters
    ----------
    inputs : list of Path
        An association, or exposures.
    output : Path
        Its ending says the format: .parquet or .ecsv.
    catalog : str
        A name in `tweakreg.reference.providers.CATALOGS`, or the URL or folder of a HATS catalog.
    margin : float
        So far beyond the exposures stars are fetched, arcsec.
    patience : Patience
        How long to wait for a service.

    Returns
    -------
    int
        Number of stars.

    Raises
    ------
    ServiceError
        It does not answer.
    InputError
        An exposure cannot be read, or the ending is not known.
    """
    if output.suffix not in _ENDINGS:
        raise InputError(output, f"the ending must be one of {', '.join(_ENDINGS)}")
    if not (np.isfinite(margin) and margin >= 0.0 and patience.timeout > 0.0 and patience.retries >= 0):
        raise InputError("--margin, --timeout, --retries", "must be finite and not negative, and the time-out above 0")
    check_fetchable(catalog)
    check_writable(output.parent)
    library = ModelLibrary(inputs[0] if len(inputs) == 1 else inputs, on_disk=True)
    footprints = []
    with progress(len(library), "footprints") as count:
        for index in range(len(library)):
            with opened(library.member_path(index)) as images:
                footprints += [image.footprint() for image in images]
            count()
    table = fetch(catalog, cones(footprints, margin / 3600.0), patience, None)
    if len(table) == 0:
        raise ServiceError(f"{catalog} has no star within {margin:.0f} arcsec of the exposures")
    with staging(output.parent) as temporary:
        if output.suffix == ".parquet":
            write_parquet(table, temporary / output.name)
        else:
            table.write(temporary / output.name)
    return len(table)
