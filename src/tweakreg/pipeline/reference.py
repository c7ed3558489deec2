"""The reference catalog of a run, wherever it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tweakreg.errors import CatalogError, InputError, ServiceError, logger
from tweakreg.files import check_writable, expanded, staging
from tweakreg.find.custom import read_catalog
from tweakreg.find.finders import find_sources
from tweakreg.observatory.exposure import OpenImage
from tweakreg.observatory.library import ModelLibrary
from tweakreg.observatory.missions import only_one, opened
from tweakreg.plane import Floats
from tweakreg.progress import progress
from tweakreg.records import FindConfig, ReferenceCatalog, SourceCatalog, magnitudes
from tweakreg.reference.providers import Request, check_fetchable, fetch, reference_catalog
from tweakreg.reference.region import cones
from tweakreg.reference.service import Patience
from tweakreg.tables import write_parquet

log = logger(__name__)

#: What a bundle's name may end in, which says its format.
_ENDINGS = (".parquet", ".ecsv")


#: Right ascension, declination, flux and weight of sources.
_Placed = tuple[Floats, Floats, Floats, Floats | None]


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
        path = Path(self.request.image)
        with opened(path) as images:
            if self.request.names:
                parts, provenance = [self._listed(only_one(images, path))], f"file {self._table.resolve()}, "
            else:
                parts, provenance = [self._found(image) for image in images], "sources of "
        ra, dec, flux = (np.concatenate([part[column] for part in parts]) for column in range(3))
        if not len(ra):
            raise CatalogError(path, "no source of it is left: check snr_threshold, kernel_fwhm and the cuts")
        weight = parts[0][3] if self.request.names else None
        name = self._table.name if self.request.names else path.name
        log.info("%s: %d sources are the reference", name, len(ra))
        return ReferenceCatalog(
            ra=ra,
            dec=dec,
            weight=weight,
            name=name,
            provenance=f"{provenance}{path.resolve()}",
            mag=magnitudes(flux),
        )

    @property
    def _table(self) -> Path:
        """The catalog of the image."""
        return expanded(self.request.names[0])

    def _listed(self, image: OpenImage) -> _Placed:
        """The sources in a catalog of an image."""
        columns = ("refxcol", "refycol", "rfluxcol")
        return self._placed(image, read_catalog(self._table, image.name, self.request.selection, parameters=columns))

    def _found(self, image: OpenImage) -> _Placed:
        """The sources that are found in an image."""
        return self._placed(image, find_sources(image.pixels(), self._find, image.name))

    def _placed(self, image: OpenImage, found: SourceCatalog) -> _Placed:
        """The sources that the cuts leave, on the sky."""
        selection = self.request.selection
        by_magnitude = selection.magnitudes and not selection.flux
        found = found[selection.chosen(magnitudes(found.flux) if by_magnitude else found.flux)]
        ra, dec = image.sky(found.x, found.y)
        return ra, dec, found.flux, found.weight


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
