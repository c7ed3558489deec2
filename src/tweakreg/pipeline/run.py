"""A run, piece by piece, without stpipe: measure, align, apply."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tweakreg.alignment import align
from tweakreg.errors import CatalogError, InputError, OutputError, WCSError
from tweakreg.files import staging
from tweakreg.find.artefacts import fixed_detections
from tweakreg.find.custom import read_catalog
from tweakreg.find.finders import find_sources, inside_bounds
from tweakreg.find.save import write_catalog
from tweakreg.observatory import jwst
from tweakreg.observatory.catalogs import custom_catalogs, own_catalog
from tweakreg.observatory.jwst import ExposureImage, ExposureState
from tweakreg.observatory.library import ModelLibrary, open_model
from tweakreg.observatory.output import bare_name
from tweakreg.parameters import Config
from tweakreg.pipeline.reference import at_epochs, wanted_reference
from tweakreg.plane import Bools, separation
from tweakreg.progress import progress
from tweakreg.records import (
    Alignment,
    Outcome,
    ReferenceCatalog,
    Selection,
    SourceCatalog,
    Stage,
    StageResult,
    Status,
    status,
)
from tweakreg.reference.providers import label_of
from tweakreg.report.lines import result_line
from tweakreg.report.picture import make_picture
from tweakreg.results.keywords import KEYWORDS, Tree, keywords
from tweakreg.results.tree import Origins, image_result
from tweakreg.wcs.corrector import is_corrected
from tweakreg.workers import share_out

log = logging.getLogger(__name__)

#: A WCS that is tied to a reference catalog is called this and the value of abs_refcat, as the JWST step does.
_WCS_NAME = "FIT-LVL3-"

#: Beyond this distance from its origin, arcsec, the common plane is too distorted to match on.
_WIDEST_FIELD = 20.0 * 3600.0


def measure(library: ModelLibrary, config: Config, directory: Path) -> list[ExposureImage]:
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
    list of ExposureImage
        In the order of the library.
    """
    if config.catfile and not config.use_custom_catalogs:
        log.warning("catfile = %s has no effect without use_custom_catalogs", config.catfile)
    listed = custom_catalogs(library, config.catfile) if config.use_custom_catalogs else {}
    tasks = [
        _Task(
            index=index,
            path=library.member_path(index),
            group=str(member["group_id"]),
            config=config,
            listed=index in listed,
            custom=listed.get(index),
        )
        for index, member in enumerate(library.members)
    ]
    _check_names(tasks, config)
    workers = config.workers if library.of_files else 1
    measured: list[_Measured] = []
    with library, library.quick_collection(), progress(len(tasks), "sources") as count:

        def here(task: _Task) -> _Measured:
            model = library.borrow(task.index)
            result = _measure(model, task)
            # Nothing is changed yet, so that an exposure on disk is written once only.
            library.put_back(model, task.index, changed=False)
            return result

        for each in share_out(tasks, here, _measure_file, workers):
            _log_sources(each, config)
            measured.append(each)
            count()
    if config.save_catalogs:
        _save_catalogs([each for each in measured if each.custom is None], directory)
    by_user = {index for index, each in enumerate(measured) if each.custom is not None}
    exposures = _without_artefacts([each.exposure for each in measured], by_user)
    return _brightest_of_groups(exposures, config.source_selection)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """An exposure whose sources are wanted.

    Attributes
    ----------
    index : int
    path : Path
    group : str
    config : Config
    listed : bool
        Whether catfile or the association say where its catalog is, or that it has none.
    custom : Path or None
        The catalog that they name.
    """

    index: int
    path: Path
    group: str
    config: Config
    listed: bool
    custom: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """An exposure, its catalog, the file of that if it is the user's, and how many of its sources lie outside."""

    exposure: ExposureImage
    catalog: SourceCatalog
    custom: Path | None
    n_outside: int


def _measure_file(task: _Task) -> _Measured:
    """As `_measure`, in a process that does not have the library."""
    with open_model(task.path) as model:
        return _measure(model, task)


def _measure(model: Any, task: _Task) -> _Measured:
    """Find or read the sources of one exposure."""
    jwst.check_model(model, task.path)
    config, name = task.config, bare_name(task.path)
    given = model.meta.wcs
    if config.restart:
        jwst.restart(model)
    custom = task.custom
    if config.use_custom_catalogs and not task.listed:
        custom = own_catalog(model.meta.tweakreg_catalog, task.path)
    catalog_name = "" if task.listed else None
    pixels = picture = None
    if custom is None or config.draws:
        pixels = jwst.read_pixels(model, errors=custom is None and config.find.starfinder == "segmentation")
        picture = make_picture(pixels) if config.draws else None
    if custom is not None:
        everything = read_catalog(custom, name, config.source_selection, model.meta.wcs)
        catalog = inside_bounds(everything, jwst.bounds(model))
        if len(everything) and not len(catalog):
            raise CatalogError(custom, f"none of its {len(everything)} sources lies on {name}: is it of another image?")
        n_outside, catalog_name = len(everything) - len(catalog), str(custom)
    else:
        assert pixels is not None
        catalog, n_outside = find_sources(pixels, config.find, name), 0
        if config.save_catalogs:
            catalog_name = catalog_file(name, config)
    limits = replace(config.source_selection, brightest=None)
    if custom is None:
        limits = replace(limits, magnitudes=False)
    catalog = catalog[limits.chosen(catalog.flux)]
    exposure = jwst.read_exposure(model, catalog, name, task.group, catalog_name)
    exposure = replace(exposure, corrected=is_corrected(given), picture=picture)
    # In memory it is the model that a dry run must leave as it is.
    model.meta.wcs = given
    return _Measured(exposure=exposure, catalog=catalog, custom=custom, n_outside=n_outside)


def catalog_file(name: str, config: Config) -> str:
    """Name of the file with the sources that were found in an exposure."""
    return f"{name}_cat.{config.catalog_format}"


def _log_sources(measured: _Measured, config: Config) -> None:
    name, custom, number = measured.exposure.name, measured.custom, len(measured.catalog)
    if config.use_custom_catalogs and custom is None:
        log.warning("%s: no custom catalog is named for it: sources are found", name)
    if measured.n_outside:
        total = number + measured.n_outside
        log.warning("%s: %d of %d sources lie outside %s", custom, measured.n_outside, total, name)
    if measured.exposure.corrected:
        how = "starts from its original pointing" if config.restart else "is corrected once more"
        log.info("%s: its WCS was corrected before, and %s", name, how)
    log.info("%s: %d sources %s", name, number, f"in {custom}" if custom else "found")


def _save_catalogs(found: list[_Measured], directory: Path) -> None:
    if found:
        with staging(directory) as temporary:
            for each in found:
                write_catalog(each.catalog, temporary / str(each.exposure.catalog_name))


def _check_names(tasks: list[_Task], config: Config) -> None:
    """Refuse two exposures of one name where each would get files of its own."""
    wanted = [name for name in ("save_catalogs", "save_matches", "save_plots") if getattr(config, name)]
    for name, number in Counter(bare_name(task.path) for task in tasks).items():
        if number > 1 and wanted:
            raise OutputError(f"{number} exposures have one name, {name}: {wanted[0]} would write one file for them")


def _without_artefacts(exposures: list[ExposureImage], by_user: set[int]) -> list[ExposureImage]:
    """Leave out detections that stay on the detector while the sky moves; a user's catalog is taken as it is."""
    ours = [index for index in range(len(exposures)) if index not in by_user]
    for index, fixed in zip(ours, fixed_detections([exposures[index].placed for index in ours]), strict=True):
        if fixed.any():
            name = exposures[index].name
            log.info("%s: %d detections stay on the detector while the sky moves: left out", name, fixed.sum())
            exposures[index] = exposures[index].without(fixed)
    return exposures


def _brightest_of_groups(exposures: list[ExposureImage], selection: Selection) -> list[ExposureImage]:
    """Keep the brightest sources of each group, on whatever detector they are."""
    if selection.brightest is None:
        return exposures
    only = Selection(magnitudes=selection.magnitudes, brightest=selection.brightest)
    kept: dict[int, Bools] = {}
    for group in {each.group for each in exposures}:
        members = [index for index, each in enumerate(exposures) if each.group == group]
        keep = only.chosen(np.concatenate([exposures[index].flux for index in members]))
        ends = np.cumsum([len(exposures[index].flux) for index in members])[:-1]
        kept |= dict(zip(members, np.split(keep, ends), strict=True))
    return [each.without(~kept[index]) for index, each in enumerate(exposures)]


def align_exposures(exposures: list[ExposureImage], reference: ReferenceCatalog | None, config: Config) -> Alignment:
    """Align exposures to each other and, if asked for, to the reference catalog.

    Parameters
    ----------
    exposures : list of ExposureImage
    reference : ReferenceCatalog or None
        From `tweakreg.pipeline.reference.known_reference`; None if it is to be fetched.
    config : Config
    """
    usable = [exposure for exposure in exposures if not exposure.problem]
    plane = jwst.common_plane(usable or exposures)
    for exposure in usable:
        if separation(plane.ra, plane.dec, *exposure.footprint).max() > _WIDEST_FIELD:
            far = f"lies more than {_WIDEST_FIELD / 3600.0:.0f} degrees from the middle of all exposures"
            raise InputError(exposure.name, f"{far}: align distant fields in runs of their own")
    problem, known, by_epoch = "", None, None
    if config.absolute is not None:
        log.info("expand_refcat is switched on, because there is a reference catalog")
        if reference is None and usable:
            reference, problem = wanted_reference(config, usable)
    if reference is not None:
        reference, known, by_epoch = at_epochs(reference, usable or exposures, config, plane)
    images = [jwst.to_image(exposure, plane) for exposure in usable]
    with progress(len({image.group for image in images}), "alignment", "group") as count:
        alignment = align(
            images,
            plane,
            config.relative,
            config.absolute,
            known,
            by_epoch=by_epoch,
            reference_problem=problem,
            enforce_user_order=config.enforce_user_order,
            expand_refcat=config.expand_refcat,
            on_placed=count,
        )
    return replace(alignment, reference=reference)


def results_of(exposure: ExposureImage, alignment: Alignment, config: Config) -> tuple[StageResult, StageResult]:
    """How the relative and the absolute stage ended for one image."""
    if exposure.problem:
        relative = StageResult(stage=Stage.RELATIVE, outcome=Outcome.UNSUPPORTED_WCS, detail=exposure.problem)
        outcome = Outcome.NOT_REQUESTED if config.absolute is None else Outcome.UNSUPPORTED_WCS
        return relative, replace(relative, stage=Stage.ABSOLUTE, outcome=outcome)
    return alignment.relative[exposure.group], alignment.absolute[exposure.group]


def apply(
    library: ModelLibrary,
    exposures: list[ExposureImage],
    alignment: Alignment,
    config: Config,
    filenames: list[str] | None = None,
    origins: Origins | None = None,
) -> list[Applied]:
    """Correct the exposures and say how it went, one line per image and stage.

    Parameters
    ----------
    library : ModelLibrary
        Its exposures are changed; with ``dry_run`` they only get the result.
    exposures : list of ExposureImage
    alignment : Alignment
    config : Config
    filenames : list of str, optional
        Under which the exposures will be saved.
    origins : Origins, optional
        Where the parameters came from.

    Returns
    -------
    list of Applied
    """
    done = []
    with library, library.quick_collection(), progress(len(exposures), "corrections") as count:
        for index, exposure in enumerate(exposures):
            model = library.borrow(index)
            before = jwst.state(model)
            results = results_of(exposure, alignment, config)
            if not config.dry_run:
                results = _change(model, exposure, results, alignment, config)
            tree = image_result(
                exposure.name,
                exposure.group,
                exposure.footprint,
                exposure.epoch,
                results,
                _status(results, config),
                alignment,
                origins or Origins(),
                dry_run=config.dry_run,
                composed=exposure.corrected and not config.restart,
            )
            _record(model, exposure, tree, config, None if filenames is None else filenames[index])
            done.append(Applied(exposure=exposure, results=results, tree=tree, before=before, corrected=model.meta.wcs))
            library.put_back(model, index, changed=True)
            del model
            for result in results:
                if result.outcome is not Outcome.NOT_REQUESTED:
                    level = logging.INFO if result.outcome in (Outcome.ALIGNED, Outcome.REFERENCE) else logging.WARNING
                    log.log(level, result_line(exposure.name, result))
            count()
    return done


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was done to one exposure.

    Attributes
    ----------
    exposure : ExposureImage
    results : (StageResult, StageResult)
        Relative and absolute.
    tree : dict
        The same as it was written to ``meta.tweakreg``.
    before : ExposureState
    corrected : gwcs.WCS
    """

    exposure: ExposureImage
    results: tuple[StageResult, StageResult]
    tree: Tree
    before: ExposureState
    corrected: Any


def _status(results: tuple[StageResult, StageResult], config: Config) -> Status:
    found = status(*(result.outcome for result in results))
    return Status.SKIPPED if found is Status.FAILED and config.on_failure == "skip" else found


def _record(model: Any, exposure: ExposureImage, tree: Tree, config: Config, filename: str | None) -> None:
    """Write the result to an exposure; in a dry run that is all."""
    jwst.write_result(model, tree)
    if config.dry_run:
        return
    jwst.write_keywords(model, keywords(tree, str(model.meta.wcs.name or "")), KEYWORDS)
    jwst.set_status(model, Status(tree["status"]))
    if exposure.catalog_name is not None:
        model.meta.tweakreg_catalog = exposure.catalog_name or None
    if filename is not None:
        model.meta.filename = filename


def _change(
    model: Any, exposure: ExposureImage, results: tuple[StageResult, StageResult], alignment: Alignment, config: Config
) -> tuple[StageResult, StageResult]:
    """Restart and correct one exposure, as far as both are asked for."""
    restarted = config.restart and exposure.corrected
    if restarted:
        jwst.restart(model)
    if not exposure.problem and exposure.group in alignment.corrections:
        return _correct(model, exposure, results, alignment, config, restarted)
    if restarted:
        jwst.update_s_region(model)
        _update_sip(model, exposure.name, config)
    return results


def _update_sip(model: Any, name: str, config: Config) -> None:
    """Make the SIP approximation that of the WCS, or take it out."""
    if not config.sip.approximate:
        jwst.remove_sip(model)
        return
    problem = jwst.update_sip(model, config.sip)
    if problem:
        log.warning("%s: SIP approximation: %s", name, problem)


def _catalog_name(config: Config, alignment: Alignment) -> str:
    """What abs_refcat says, or, where another one was used, the name of that."""
    used = "" if alignment.reference is None else alignment.reference.name
    return config.abs_refcat if used == label_of(config.abs_refcat) else used


def _correct(
    model: Any,
    exposure: ExposureImage,
    results: tuple[StageResult, StageResult],
    alignment: Alignment,
    config: Config,
    restarted: bool,
) -> tuple[StageResult, StageResult]:
    """Correct one exposure; a WCS that turns out not to allow it is an outcome of this image alone."""
    correction = alignment.corrections[exposure.group]
    aligned = any(result.outcome is Outcome.ALIGNED for result in results)
    wcs_name = None
    if config.wcsname and aligned:
        wcs_name = config.wcsname
        if str(model.meta.wcs.name) == wcs_name:
            log.info("%s: its WCS was called %s before: the name is now that of the new one", exposure.name, wcs_name)
    elif results[1].outcome is Outcome.ALIGNED:
        wcs_name = _WCS_NAME + _catalog_name(config, alignment)
    elif not correction.is_identity and str(model.meta.wcs.name).startswith(_WCS_NAME):
        wcs_name = ""  # an earlier alignment to a catalog does not hold any more
    try:
        jwst.apply_correction(model, correction, alignment.plane, wcs_name)
    except WCSError as error:
        return results_of(replace(exposure, problem=str(error)), alignment, config)
    if config.sip.approximate or restarted or not correction.is_identity:
        _update_sip(model, exposure.name, config)
    return results
