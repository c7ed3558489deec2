"""The reference catalog of a run: where it comes from, and its stars at the epochs of the exposures."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from tweakreg.errors import CatalogError, InputError, ServiceError
from tweakreg.files import expanded, staging
from tweakreg.find.custom import read_catalog
from tweakreg.find.finders import find_sources
from tweakreg.observatory import jwst
from tweakreg.observatory.jwst import ExposureImage
from tweakreg.observatory.library import ModelLibrary, open_model
from tweakreg.parameters import Config
from tweakreg.plane import MAS_PER_ARCSEC, Floats, TangentPlane
from tweakreg.progress import progress
from tweakreg.records import ReferenceCatalog, Sources, magnitudes
from tweakreg.reference.epoch import at_epoch, motion_dispersion, observer_at
from tweakreg.reference.providers import CATALOGS, fetch, is_file, reference_catalog
from tweakreg.reference.region import cones, near_images
from tweakreg.reference.service import Patience
from tweakreg.tables import write_parquet
from tweakreg.wcs.footprint import sky, vertices

log = logging.getLogger(__name__)

#: Groups between whose epochs the stars move by less than this, mas, are tied to the catalog together.
_SAME_EPOCH = 0.1
#: Of a bundle.
_ENDINGS = (".parquet", ".ecsv")
#: Without proper motions, positions so many years old are worth a warning.
_LONG_AGO = 0.5
#: Stars so far beyond the images are wanted for what moved meanwhile, arcsec.
_SURROUNDINGS = 30.0


def known_reference(config: Config) -> ReferenceCatalog | None:
    """The reference catalog, if it is a file or an image: a broken one must not cost the time of finding sources."""
    if config.refimage:
        return _of_image(config)
    if config.request is None or not is_file(config.request.names[0]):
        return None
    return reference_catalog(config.request, (), 0.0, config.reference_selection)


def _of_image(config: Config) -> ReferenceCatalog:
    """The sources of an image with the right coordinates, or those of a catalog of it."""
    path, selection = Path(config.refimage), config.reference_selection
    with open_model(path) as model:
        jwst.check_model(model, path)
        if config.request is not None:
            table = expanded(config.request.names[0])
            found, provenance = read_catalog(table, table.name, selection), f"file {table.resolve()}, "
        else:
            found, provenance = find_sources(jwst.read_pixels(model), config.find, path.name), "sources of "
        by_magnitude = selection.magnitudes and not selection.flux
        found = found[selection.chosen(magnitudes(found.flux) if by_magnitude else found.flux)]
        if not len(found):
            raise CatalogError(path, "no source of it is left: check snr_threshold, kernel_fwhm and the cuts")
        ra, dec = sky(model.meta.wcs, found.x, found.y)
    log.info("%s: %d sources are the reference", found.name, len(found))
    return ReferenceCatalog(
        ra=ra,
        dec=dec,
        weight=found.weight,
        name=found.name,
        provenance=f"{provenance}{path.resolve()}",
        mag=magnitudes(found.flux),
    )


def wanted_reference(config: Config, exposures: list[ExposureImage]) -> tuple[ReferenceCatalog | None, str]:
    """The stars around the exposures from whoever answers first, and why there are none if nobody does."""
    if config.request is None or config.absolute is None:
        return None, ""
    try:
        footprints = [each.footprint for each in exposures]
        return reference_catalog(config.request, footprints, _margin(config), config.reference_selection), ""
    except ServiceError as error:
        return None, f"{error}. The relative solution is kept; `tweakreg refcat fetch` makes a catalog to take along"


def _margin(config: Config) -> float:
    """How far beyond the images stars are wanted, degrees."""
    stage = config.absolute
    assert stage is not None
    return (stage.searchrad + stage.tolerance + _SURROUNDINGS) / 3600.0


def at_epochs(
    catalog: ReferenceCatalog, exposures: list[ExposureImage], config: Config, plane: TangentPlane
) -> tuple[ReferenceCatalog, Sources, dict[str, Sources] | None]:
    """The catalog where the exposures saw it.

    Parameters
    ----------
    catalog : ReferenceCatalog
    exposures : list of ExposureImage
    config : Config
    plane : TangentPlane

    Returns
    -------
    catalog : ReferenceCatalog
        Around the exposures, at their mean epoch.
    sources : Sources
        The same on the plane.
    by_epoch : dict of group to Sources, or None
        At the epoch of each group, if its stars move; groups share an object if they are of one epoch.
    """
    footprints = [each.footprint for each in exposures]
    epochs = _group_epochs(exposures)
    if catalog.epoch is None or not epochs:
        if catalog.moves:
            log.warning("no exposure says when it was taken: the positions of %s are taken as they are", catalog.name)
        catalog = catalog[near_images(catalog.ra, catalog.dec, footprints, _margin(config))]
        return catalog, on_plane(catalog, plane), None
    middle = float(np.mean(list(epochs.values())))
    mean = at_epoch(catalog, middle, _observer(exposures, list(epochs), middle))
    near = near_images(mean.ra, mean.dec, footprints, _margin(config))
    mean, catalog = mean[near], catalog[near]
    log.info("%s: %d stars, moved to epoch %.3f", catalog.name, len(mean), middle)
    if not catalog.moves:
        years = 0.0 if catalog.epoch is None or not len(catalog) else abs(middle - float(np.median(catalog.epoch)))
        if years > _LONG_AGO:
            log.warning(
                "%s: its stars have no proper motions, and their positions are %.1f years from the exposures: "
                "what all of them moved meanwhile is in the result",
                catalog.name,
                years,
            )
        return mean, on_plane(mean, plane), None
    by_epoch: dict[str, Sources] = {}
    sets = _epoch_sets(epochs, motion_dispersion(catalog))
    for names in sets:
        epoch = float(np.mean([epochs[name] for name in names]))
        moved = at_epoch(catalog, epoch, _observer(exposures, names, epoch))
        by_epoch |= dict.fromkeys(names, on_plane(moved, plane))
    if len(sets) > 1:
        span = min(epochs.values()), max(epochs.values())
        log.info("exposures of %d epochs, %.3f to %.3f, are tied to it one after the other", len(sets), *span)
    others = {each.group for each in exposures} - by_epoch.keys()
    if others:
        log.warning("%s: no date says when it was taken: the mean of the others is used", ", ".join(sorted(others)))
    return mean, on_plane(mean, plane), by_epoch | dict.fromkeys(others, on_plane(mean, plane))


def on_plane(catalog: ReferenceCatalog, plane: TangentPlane) -> Sources:
    """The stars of a catalog that have a place on the plane."""
    variance = None if catalog.variance is None else catalog.variance / MAS_PER_ARCSEC**2
    xy = plane.project(catalog.ra, catalog.dec)
    sources = Sources(xy=xy, weight=catalog.weight, variance=variance, name=catalog.name)
    return sources[np.asarray(np.isfinite(xy).all(axis=1))]


def _group_epochs(exposures: list[ExposureImage]) -> dict[str, float]:
    """Mean epoch of each group that says when it was taken."""
    members: dict[str, list[float]] = {}
    for each in exposures:
        if np.isfinite(each.epoch):
            members.setdefault(each.group, []).append(each.epoch)
    return {group: float(np.mean(values)) for group, values in members.items()}


def _epoch_sets(epochs: dict[str, float], motion: float) -> list[list[str]]:
    """Groups of one epoch, in the order of time; `motion` is in mas per year."""
    sets: list[list[str]] = []
    start = -np.inf
    for name in sorted(epochs, key=lambda name: epochs[name]):
        if not sets or (epochs[name] - start) * motion > _SAME_EPOCH:
            sets.append([])
            start = epochs[name]
        sets[-1].append(name)
    return sets


def _observer(exposures: list[ExposureImage], names: list[str], epoch: float) -> Floats:
    """Where the telescope was, as the exposures say, or else L2; barycentric, au."""
    said = [each.observer for each in exposures if each.group in names and each.observer is not None]
    return np.mean(said, axis=0) if said else observer_at(epoch)


def write_bundle(
    inputs: list[Path], output: Path, catalog: str, margin: float, timeout: float = 30.0, retries: int = 2
) -> int:
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
    timeout : float
        For each answer of a service, seconds.
    retries : int

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
    if not (np.isfinite(margin) and margin >= 0.0 and timeout > 0.0 and retries >= 0):
        raise InputError("--margin, --timeout, --retries", "must be finite and not negative, and the time-out above 0")
    if is_file(catalog):
        raise InputError(catalog, f"is no catalog to fetch from: it must be a URL, a folder, or {', '.join(CATALOGS)}")
    library = ModelLibrary(inputs[0] if len(inputs) == 1 else inputs, on_disk=True)
    footprints = []
    with progress(len(library), "footprints") as count:
        for index in range(len(library)):
            with open_model(library.member_path(index)) as model:
                jwst.check_model(model, library.member_path(index))
                footprints.append(vertices(model.meta.wcs, jwst.bounds(model), n_per_side=4))
            count()
    patience = Patience(timeout=timeout, retries=retries)
    table = fetch(catalog, cones(footprints, margin / 3600.0), patience, None)
    if len(table) == 0:
        raise ServiceError(f"{catalog} has no star within {margin:.0f} arcsec of the exposures")
    with staging(output.parent) as temporary:
        if output.suffix == ".parquet":
            write_parquet(table, temporary / output.name)
        else:
            table.write(temporary / output.name)
    return len(table)
