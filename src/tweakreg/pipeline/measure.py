"""The sources of every exposure, found or read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tweakreg.errors import CatalogError, OutputError, logger
from tweakreg.find.artefacts import fixed_detections
from tweakreg.find.custom import read_catalog
from tweakreg.find.finders import find_sources, inside_bounds
from tweakreg.find.trails import trails
from tweakreg.observatory.catalogs import custom_catalogs, own_catalog
from tweakreg.observatory.exposure import ExposureImage, OpenImage
from tweakreg.observatory.library import ModelLibrary
from tweakreg.observatory.missions import images_of, opened
from tweakreg.observatory.names import bare_name
from tweakreg.parameters import Config, find_for
from tweakreg.plane import Bools
from tweakreg.progress import progress
from tweakreg.records import Outcome, Selection, SourceCatalog
from tweakreg.report.picture import make_picture
from tweakreg.workers import share_out

log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The exposures of a run and where their sources came from.

    Attributes
    ----------
    exposures : list of ExposureImage
        In the order of the library, with the sources that are used.
    found : dict of str to SourceCatalog
        All sources that were found, by the name of the exposure.
    """

    exposures: list[ExposureImage]
    found: dict[str, SourceCatalog]


def measure(library: ModelLibrary, config: Config, origins: Mapping[str, tuple[Any, str]] | None = None) -> Measured:
    """Find or read the sources of every exposure.

    Parameters
    ----------
    library : ModelLibrary
        Not changed.
    config : Config
        Says how.
    origins : mapping of str to (value, origin), optional
        Every parameter and where it came from: what the user did not say is chosen for each image. By default `config`
        holds for all.

    Raises
    ------
    InputError
        An exposure is none that can be aligned, or a catalog cannot be used.
    """
    if config.catfile and not config.use_custom_catalogs:
        log.warning("catfile = %s has no effect without use_custom_catalogs", config.catfile)
    listed = custom_catalogs(library, config.catfile) if config.use_custom_catalogs else {}
    tasks = [
        _Task(
            index=index,
            path=library.member_path(index),
            group=str(member["group_id"]),
            grouped=library.is_grouped(index),
            config=config,
            origins=origins or {},
            listed=index in listed,
            custom=listed.get(index),
        )
        for index, member in enumerate(library.members)
    ]
    _check_names(tasks, config)
    workers = config.workers if library.of_files else 1
    measured: list[_Image] = []
    with library, library.quick_collection(), progress(len(tasks), "sources") as count:

        def here(task: _Task) -> list[_Image]:
            model = library.borrow(task.index)
            result = [_measure(image, task) for image in images_of(model, task.path)]
            # Nothing is changed, so that an exposure on disk is written once only.
            library.put_back(model, task.index, changed=False)
            return result

        for images in share_out(tasks, here, _measure_file, workers):
            for each in images:
                _log_sources(each, config)
            measured += images
            count()
    by_user = {index for index, each in enumerate(measured) if each.custom is not None}
    exposures = _without_artefacts([each.exposure for each in measured], by_user, config.relative.minobj)
    return Measured(
        exposures=_brightest_of_groups(exposures, config.source_selection),
        found={each.exposure.name: each.catalog for each in measured if each.custom is None},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """An exposure whose sources are wanted.

    Attributes
    ----------
    index : int
        In the library.
    path : Path
        Its file, or what would be its name.
    group : str
        To which it belongs as an exposure.
    grouped : bool
        Whether the association says so, which no parameter changes.
    config : Config
        All parameters.
    origins : mapping of str to (value, origin)
        Where they came from; empty where `config` holds for all images.
    listed : bool
        Whether catfile or the association say where its catalog is, or that it has none.
    custom : Path or None
        The catalog that they name.
    """

    index: int
    path: Path
    group: str
    grouped: bool
    config: Config
    origins: Mapping[str, tuple[Any, str]]
    listed: bool
    custom: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    """An exposure, its catalog, the file of that if it is the user's, and how many of its sources lie outside."""

    exposure: ExposureImage
    catalog: SourceCatalog
    custom: Path | None
    n_outside: int = 0


def _measure_file(task: _Task) -> list[_Image]:
    """As `_measure`, of all images of a file, in a process that does not have the library."""
    with opened(task.path) as images:
        return [_measure(image, task) for image in images]


def _measure(image: OpenImage, task: _Task) -> _Image:
    """Find or read the sources of one image."""
    measured = _sources(image, task)
    return replace(measured, exposure=replace(measured.exposure, member=task.index))


def _sources(image: OpenImage, task: _Task) -> _Image:
    """What is measured of one image, whichever member it belongs to."""
    config = task.config
    custom = task.custom
    if config.use_custom_catalogs and not task.listed:
        custom = own_catalog(image.catalog_name, task.path)
    if config.restart:
        image = image.uncorrected()
    if image.unfit is not None:
        refused = ExposureImage.refused(image, task.group + image.subgroup, *image.unfit)
        return _Image(exposure=refused, catalog=refused.catalog, custom=custom)
    pixels, n_outside, limits = None, 0, config.source_selection
    find = config.find if custom is not None else find_for(config, task.origins, image.selection)
    if custom is None or config.draws:
        errors = custom is None and find.starfinder == "segmentation"
        pixels = image.pixels(errors=errors, dqbits=config.dqbits)
    if custom is not None:
        catalog, n_outside = _read_custom(custom, image, config)
    else:
        assert pixels is not None
        catalog, limits = find_sources(pixels, find, image.name), replace(limits, magnitudes=False)
    catalog = catalog[limits.without_brightest().chosen(catalog.flux)]
    if config.save_catalogs:
        catalog = _with_sky(catalog, image)
    group = task.group if task.grouped else _part(task, image, config.group_by)
    exposure = replace(image.measured(catalog, group, _new_catalog_name(custom, image, task)), note=catalog.note)
    if config.absolute is not None and config.abs_group_by != "exposure":
        exposure = replace(exposure, tied_as=_part(task, image, config.abs_group_by))
    if custom is None and pixels is not None and not exposure.problem:
        why = image.follows_target or trails(pixels, catalog)
        exposure = replace(exposure, problem=why, refused_as=Outcome.MOVING_TARGET) if why else exposure
    if config.draws and pixels is not None:
        exposure = replace(exposure, picture=make_picture(pixels))
    return _Image(exposure=exposure, catalog=catalog, custom=custom, n_outside=n_outside)


def _with_sky(catalog: SourceCatalog, image: OpenImage) -> SourceCatalog:
    """The same sources, and those that were rejected, with ra and dec."""
    ra, dec = image.sky(catalog.x, catalog.y)
    rejected = None if catalog.rejected is None else _with_sky(catalog.rejected, image)
    return replace(catalog, measures={"ra": ra, "dec": dec, **catalog.measures}, rejected=rejected)


def _part(task: _Task, image: OpenImage, by: str) -> str:
    """The exposure of an image, or what is aligned of it on its own."""
    group = task.group + image.subgroup
    if by == "detector":
        return f"{group}_{image.detector.lower()}"
    return f"{group}_{image.name}_{task.index}" if by == "image" else group


def _read_custom(path: Path, image: OpenImage, config: Config) -> tuple[SourceCatalog, int]:
    """The sources in a user's catalog that lie on the image, and how many do not."""
    everything = read_catalog(path, image.name, config.source_selection, image.to_pixels)
    catalog = inside_bounds(everything, image.bounds)
    if len(everything) and not len(catalog):
        raise CatalogError(path, f"none of its {len(everything)} sources lies on {image.name}: is it of another image?")
    return catalog, len(everything) - len(catalog)


def _new_catalog_name(custom: Path | None, image: OpenImage, task: _Task) -> str | None:
    """What the exposure will say of its catalog: empty to clear it, None to leave it."""
    if custom is not None:
        return str(custom)
    if task.config.save_catalogs:
        return catalog_file(image.name, task.config)
    return "" if task.listed else None


def catalog_file(name: str, config: Config) -> str:
    """Name of the file with the sources that were found in an exposure."""
    return f"{name}_cat.{config.catalog_format}"


def _log_sources(measured: _Image, config: Config) -> None:
    if measured.exposure.problem and not len(measured.catalog):
        return
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


def _check_names(tasks: list[_Task], config: Config) -> None:
    """Refuse two exposures of one name where each would get files of its own."""
    wanted = [name for name in ("save_catalogs", "save_matches", "save_plots") if getattr(config, name)]
    for name, number in Counter(bare_name(task.path) for task in tasks).items():
        if number > 1 and wanted:
            raise OutputError(f"{number} exposures have one name, {name}: {wanted[0]} would write one file for them")


def _without_artefacts(exposures: Sequence[ExposureImage], by_user: set[int], needed: int) -> list[ExposureImage]:
    """Leave out detections that stay on the detector while the sky moves; a user's catalog is taken as it is.

    Where they are most, and fewer than `needed` are left, nothing tells them from stars of a sky that did not move.
    """
    kept = list(exposures)
    ours = [index for index in range(len(kept)) if index not in by_user]
    for index, fixed in zip(ours, fixed_detections([kept[index].placed for index in ours]), strict=True):
        if fixed.any():
            name = kept[index].name
            log.info("%s: %d detections stay on the detector while the sky moves: left out", name, fixed.sum())
            kept[index] = kept[index].without(fixed)
            left = len(fixed) - int(fixed.sum())
            if left < needed and fixed.sum() > left and not kept[index].problem:
                why = f"{fixed.sum()} of {len(fixed)} detections, {left} of {needed} sources are left"
                kept[index] = replace(kept[index], problem=why, refused_as=Outcome.NOT_DITHERED)
    return kept


def _brightest_of_groups(exposures: list[ExposureImage], selection: Selection) -> list[ExposureImage]:
    """Keep the brightest sources of each group, on whatever detector they are."""
    if selection.brightest is None:
        return exposures
    only = selection.only_brightest()
    kept: dict[int, Bools] = {}
    for group in {each.group for each in exposures}:
        members = [index for index, each in enumerate(exposures) if each.group == group]
        keep = only.chosen(np.concatenate([exposures[index].flux for index in members]))
        ends = np.cumsum([len(exposures[index].flux) for index in members])[:-1]
        kept |= dict(zip(members, np.split(keep, ends), strict=True))
    return [each.without(~kept[index]) for index, each in enumerate(exposures)]
