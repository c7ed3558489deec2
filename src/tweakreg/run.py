"""A run, piece by piece, without stpipe: measure, align, apply."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tweakreg.align import align
from tweakreg.errors import CatalogError, InputError, OutputError, ServiceError, WCSError
from tweakreg.files import staging
from tweakreg.find.artefacts import fixed_detections
from tweakreg.find.custom import read_catalog
from tweakreg.find.finders import find_sources, inside_bounds
from tweakreg.find.save import write_catalog
from tweakreg.observatory import jwst
from tweakreg.observatory.catalogs import custom_catalogs, own_catalog
from tweakreg.observatory.jwst import Exposure
from tweakreg.observatory.library import ModelLibrary
from tweakreg.observatory.output import bare_name
from tweakreg.parameters import Config
from tweakreg.plane import TangentPlane, separation
from tweakreg.reference.file import read_reference, write_reference
from tweakreg.reference.service import is_service, query_service
from tweakreg.report.lines import result_line, summary_line
from tweakreg.types import (
    Alignment,
    Outcome,
    ReferenceCatalog,
    SourceCatalog,
    Sources,
    Stage,
    StageResult,
    Status,
    status,
)

log = logging.getLogger(__name__)

#: A WCS that is tied to a reference catalog is called this and the value of abs_refcat, as the JWST step does.
_WCS_NAME = "FIT-LVL3-"

#: Beyond this distance from its origin, arcsec, the common plane is too distorted to match on.
_WIDEST_FIELD = 20.0 * 3600.0


def reference_file(config: Config) -> ReferenceCatalog | None:
    """The reference catalog, if it is a file: a broken one must not cost the time of finding sources."""
    if config.absolute is None or is_service(config.abs_refcat):
        return None
    return read_reference(os.path.expanduser(config.abs_refcat))  # noqa: PTH111 - as it was checked


def measure(library: ModelLibrary, config: Config, directory: Path) -> list[Exposure]:
    """Find or read the sources of every exposure.

    Parameters
    ----------
    library : ModelLibrary
        Not changed.
    config : Config
    directory : Path
        Where catalogs are written, if that is asked for.

    Returns
    -------
    list of Exposure
        In the order of the library.
    """
    if config.catfile and not config.use_custom_catalogs:
        log.warning("catfile = %s has no effect without use_custom_catalogs", config.catfile)
    listed = custom_catalogs(library, config.catfile) if config.use_custom_catalogs else {}
    exposures: list[Exposure] = []
    found: dict[str, SourceCatalog] = {}
    by_user: set[int] = set()
    with library, _progress(range(len(library)), "sources") as indices:
        for index in indices:
            model = library.borrow(index)
            path = library.member_path(index)
            jwst.check_model(model, path)
            name = bare_name(path)
            own = model.meta.tweakreg_catalog if config.use_custom_catalogs else None
            custom = listed[index] if index in listed else own_catalog(own, path)
            catalog_name = "" if index in listed else None
            if custom is not None:
                catalog, catalog_name = _custom_catalog(custom, name, model), str(custom)
                by_user.add(index)
            else:
                catalog = find_sources(jwst.read_pixels(model), config.find, name)
                if config.save_catalogs:
                    catalog_name = f"{name}_cat.{config.catalog_format}"
                    if catalog_name in found:
                        raise OutputError(f"two exposures are called {path.name}: their catalogs would have one name")
                    found[catalog_name] = catalog
            if config.use_custom_catalogs and custom is None:
                log.warning("%s: no custom catalog is named for it: sources are found", name)
            log.info("%s: %d sources %s", name, len(catalog), f"in {custom}" if custom else "found")
            exposure = jwst.read_exposure(model, catalog, name, str(library.members[index]["group_id"]))
            exposures.append(replace(exposure, catalog_name=catalog_name))
            # Nothing is changed yet, so that an exposure on disk is written once only.
            library.put_back(model, index, changed=False)
            del model
    if found:
        with staging(directory) as temporary:
            for filename, catalog in found.items():
                write_catalog(catalog, temporary / filename)
    return _without_artefacts(exposures, by_user)


def _without_artefacts(exposures: list[Exposure], by_user: set[int]) -> list[Exposure]:
    """Leave out detections that stay on the detector while the sky moves; a user's catalog is taken as it is."""
    ours = [index for index in range(len(exposures)) if index not in by_user]
    for index, fixed in zip(ours, fixed_detections([exposures[index].placed for index in ours]), strict=True):
        if fixed.any():
            name = exposures[index].name
            log.info("%s: %d detections stay on the detector while the sky moves: left out", name, fixed.sum())
            exposures[index] = exposures[index].without(fixed)
    return exposures


def _custom_catalog(path: Path, name: str, model: Any) -> SourceCatalog:
    """A custom catalog without the sources where the WCS is not valid."""
    catalog = read_catalog(path, name)
    inside = inside_bounds(catalog, jwst.bounds(model))
    if len(catalog) and not len(inside):
        raise CatalogError(path, f"none of its {len(catalog)} sources lies on {name}: is it of another image?")
    if len(inside) < len(catalog):
        log.warning("%s: %d of %d sources lie outside %s", path, len(catalog) - len(inside), len(catalog), name)
    return inside


def align_exposures(
    exposures: list[Exposure], reference: ReferenceCatalog | None, config: Config, directory: Path
) -> Alignment:
    """Align exposures to each other and, if asked for, to the reference catalog.

    Parameters
    ----------
    exposures : list of Exposure
    reference : ReferenceCatalog or None
        None if it comes from a service.
    config : Config
    directory : Path
        Where the reference catalog is written, if that is asked for.
    """
    usable = [exposure for exposure in exposures if not exposure.problem]
    plane = jwst.common_plane(usable or exposures)
    for exposure in usable:
        if separation(plane.ra, plane.dec, *exposure.footprint).max() > _WIDEST_FIELD:
            far = f"lies more than {_WIDEST_FIELD / 3600.0:.0f} degrees from the middle of all exposures"
            raise InputError(exposure.name, f"{far}: align distant fields in runs of their own")
    problem = ""
    if config.absolute is not None:
        log.info("expand_refcat is switched on, because abs_refcat is set")
        if reference is None and usable:
            reference, problem = _ask_service(config, usable, plane)
    known = None
    if reference is not None:
        known = Sources(xy=plane.project(reference.ra, reference.dec), weight=reference.weight, name=reference.name)
        known = _on_this_hemisphere(known)
        if config.save_abs_catalog:
            with staging(directory) as temporary:
                write_reference(reference, temporary / f"fit_{bare_name(reference.name).lower()}_ref.ecsv")
    return align(
        [jwst.to_image(exposure, plane) for exposure in usable],
        plane,
        config.relative,
        config.absolute,
        known,
        reference_problem=problem,
        enforce_user_order=config.enforce_user_order,
        expand_refcat=config.expand_refcat,
    )


def _ask_service(config: Config, exposures: list[Exposure], plane: TangentPlane) -> tuple[ReferenceCatalog | None, str]:
    ra, dec = (np.concatenate([exposure.footprint[axis] for exposure in exposures]) for axis in (0, 1))
    assert config.absolute is not None
    radius = (float(separation(plane.ra, plane.dec, ra, dec).max()) + config.absolute.searchrad) / 3600.0
    epoch = float(np.nanmean([exposure.epoch for exposure in exposures]))
    if not np.isfinite(epoch):
        return None, "no exposure says when it was taken"
    try:
        return query_service(config.abs_refcat, plane.ra, plane.dec, radius, epoch), ""
    except ServiceError as error:
        return None, str(error)


def _on_this_hemisphere(sources: Sources) -> Sources:
    """Without stars that have no place on the plane."""
    here = np.isfinite(sources.xy).all(axis=1)
    weight = None if sources.weight is None else sources.weight[here]
    return replace(sources, xy=sources.xy[here], weight=weight)


def results_of(exposure: Exposure, alignment: Alignment, config: Config) -> tuple[StageResult, StageResult]:
    """How the relative and the absolute stage ended for one image."""
    if exposure.problem:
        relative = StageResult(stage=Stage.RELATIVE, outcome=Outcome.UNSUPPORTED_WCS, detail=exposure.problem)
        outcome = Outcome.NOT_REQUESTED if config.absolute is None else Outcome.UNSUPPORTED_WCS
        return relative, replace(relative, stage=Stage.ABSOLUTE, outcome=outcome)
    return alignment.relative[exposure.group], alignment.absolute[exposure.group]


def apply(
    library: ModelLibrary,
    exposures: list[Exposure],
    alignment: Alignment,
    config: Config,
    filenames: list[str] | None = None,
) -> list[Status]:
    """Correct the exposures and say how it went, one line per image and stage.

    Parameters
    ----------
    library : ModelLibrary
        Its exposures are changed.
    exposures : list of Exposure
    alignment : Alignment
    config : Config
    filenames : list of str, optional
        Under which the exposures will be saved.

    Returns
    -------
    list of Status
        What was written to each ``meta.cal_step.tweakreg``.
    """
    statuses = []
    with library, _progress(list(enumerate(exposures)), "corrections") as items:
        for index, exposure in items:
            model = library.borrow(index)
            results = results_of(exposure, alignment, config)
            if not exposure.problem and exposure.group in alignment.corrections:
                results = _correct(model, exposure, results, alignment, config)
            statuses.append(status(*(result.outcome for result in results)))
            jwst.set_status(model, statuses[-1])
            if exposure.catalog_name is not None:
                model.meta.tweakreg_catalog = exposure.catalog_name or None
            if filenames is not None:
                model.meta.filename = filenames[index]
            library.put_back(model, index, changed=True)
            del model
            for result in results:
                if result.outcome is not Outcome.NOT_REQUESTED:
                    level = logging.INFO if result.outcome in (Outcome.ALIGNED, Outcome.REFERENCE) else logging.WARNING
                    log.log(level, result_line(exposure.name, result))
    log.info(summary_line(statuses))
    return statuses


def _correct(
    model: Any, exposure: Exposure, results: tuple[StageResult, StageResult], alignment: Alignment, config: Config
) -> tuple[StageResult, StageResult]:
    """Correct one exposure; a WCS that turns out not to allow it is an outcome of this image alone."""
    correction = alignment.corrections[exposure.group]
    wcs_name = None
    if results[1].outcome is Outcome.ALIGNED:
        wcs_name = _WCS_NAME + config.abs_refcat
    elif not correction.is_identity and str(model.meta.wcs.name).startswith(_WCS_NAME):
        wcs_name = ""  # an earlier alignment to a catalog does not hold any more
    try:
        jwst.apply_correction(model, correction, alignment.plane, wcs_name)
    except WCSError as error:
        return results_of(replace(exposure, problem=str(error)), alignment, config)
    if not config.sip.approximate:
        if not correction.is_identity:
            jwst.remove_sip(model)
    else:
        problem = jwst.update_sip(model, config.sip)
        if problem:
            log.warning("%s: SIP approximation: %s", exposure.name, problem)
    return results


@contextmanager
def _progress(items: Any, what: str) -> Iterator[Any]:
    """A progress bar on a terminal; elsewhere the log lines show the progress. An interruption says how far it came."""
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    loggers = [logging.getLogger(name) for name in ("tweakreg", "stpipe")]
    done = 0

    def counted(source: Any) -> Iterator[Any]:
        nonlocal done
        for item in source:
            yield item
            done += 1

    try:
        bar = tqdm(items, desc=what, unit="image", disable=None, leave=False)
        # Without a bar the handlers stay as they are: the redirection would add one where there is none.
        with bar, nullcontext() if bar.disable else logging_redirect_tqdm(loggers):
            yield counted(bar)
    except KeyboardInterrupt:
        log.warning(
            "interrupted in %s, after %d of %d images: no exposure is written, inputs are as they were",
            what,
            done,
            len(items),
        )
        raise
