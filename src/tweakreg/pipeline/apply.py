"""Correcting the exposures, and recording how it went."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tweakreg.errors import WCSError, logger
from tweakreg.observatory.exposure import ExposureImage, OpenImage
from tweakreg.observatory.library import ModelLibrary
from tweakreg.observatory.missions import images_of
from tweakreg.parameters import Config
from tweakreg.pipeline.result import Change, ImageResult
from tweakreg.progress import progress
from tweakreg.records import Alignment, Detail, Outcome, StageResult
from tweakreg.report.lines import run_lines
from tweakreg.results.record import KEYWORDS, Origins, fit_quality, image_record, keywords, not_alignable
from tweakreg.results.tree import to_tree

log = logger(__name__)

Results = tuple[StageResult, StageResult]


def results_of(exposure: ExposureImage, alignment: Alignment, *, absolute: bool) -> Results:
    """How the relative and the absolute stage ended for one image.

    Parameters
    ----------
    exposure : ExposureImage
        The image.
    alignment : Alignment
        Of all images that can be corrected.
    absolute : bool
        Whether the absolute stage was asked for.
    """
    if exposure.problem:
        return not_alignable(exposure, absolute=absolute)
    relative, tied = alignment.relative[exposure.key], alignment.absolute[exposure.key]
    return _with_note(relative, exposure), _with_note(tied, exposure)


def _with_note(result: StageResult, exposure: ExposureImage) -> StageResult:
    """Too few sources, and why there are."""
    if result.outcome is not Outcome.TOO_FEW_SOURCES or not exposure.note:
        return result
    return replace(result, detail=Detail(f"{result.detail.words}; {exposure.note}", result.detail.numbers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What is written of a run into its exposures.

    Attributes
    ----------
    filenames : sequence of str or None
        Under which the exposures will be saved; None if they will not be.
    origins : Origins
        Every parameter and where it came from.
    """

    filenames: Sequence[str] | None = None
    origins: Origins = field(default_factory=Origins)


def apply(
    library: ModelLibrary,
    exposures: Sequence[ExposureImage],
    alignment: Alignment,
    config: Config,
    recording: Recording | None = None,
) -> list[ImageResult]:
    """Correct the exposures and say how it went, one line per image and stage.

    Parameters
    ----------
    library : ModelLibrary
        Its exposures are changed; with ``dry_run`` they only get the result.
    exposures : sequence of ExposureImage
        What is known of them, in the order of the library.
    alignment : Alignment
        What is to be applied.
    config : Config
        Says what is changed.
    recording : Recording, optional
        What else is written into them.

    Returns
    -------
    list of ImageResult
        In the order of the library.
    """
    recording = recording or Recording()
    done = []
    with library, library.quick_collection(), progress(len(library), "corrections") as count:
        for index in range(len(library)):
            model = library.borrow(index)
            filename = None if recording.filenames is None else recording.filenames[index]
            mine = [exposure for exposure in exposures if exposure.member == index]
            for image, exposure in zip(images_of(model, library.member_path(index)), mine, strict=True):
                done.append(_apply(image, exposure, alignment, config, recording.origins, filename))
                del image
            library.put_back(model, index, changed=True)
            del model
            count()
    for good, line in run_lines([each.record for each in done]):
        log.log(logging.INFO if good else logging.WARNING, "%s", line)
    return done


def _apply(
    image: OpenImage,
    exposure: ExposureImage,
    alignment: Alignment,
    config: Config,
    origins: Origins,
    filename: str | None,
) -> ImageResult:
    """Correct one image, and write into it what became of it."""
    before, identity = image.state() if config.save_correction else None, image.identity
    results = results_of(exposure, alignment, absolute=config.absolute is not None)
    changed = False
    if not config.dry_run:
        results, changed = _change(image, exposure, results, alignment, config)
    record = image_record(exposure, results, alignment, origins, config)
    image.write_result(to_tree(record))
    if not config.dry_run:
        image.write_fit(fit_quality(record))
        image.write_keywords(keywords(record, image.wcs_name), KEYWORDS)
        image.write_status(record.status)
        image.write_names(exposure.catalog_name, filename)
    return ImageResult(
        record=record,
        exposure=exposure,
        relative=results[0],
        absolute=results[1],
        total=alignment.corrections.get(exposure.key),
        change=Change(before=before, before_identity=identity, after_identity=image.identity, wcs_name=image.wcs_name)
        if changed
        else None,
    )


def _change(
    image: OpenImage, exposure: ExposureImage, results: Results, alignment: Alignment, config: Config
) -> tuple[Results, bool]:
    """Restart and correct one image, as far as both are asked for; how the stages ended, and whether it was changed."""
    restarted = config.restart and exposure.corrected
    if restarted:
        image.set_wcs(image.uncorrected().wcs)
    correction = alignment.corrections.get(exposure.key)
    if exposure.problem or correction is None:
        if restarted:
            _update_sip(image, config)
        return results, restarted
    try:
        image.correct(correction, alignment.plane, _wcs_name(image, exposure, results, alignment, config))
    except WCSError as error:
        # A WCS that turns out not to allow it is an outcome of this image alone.
        problem = replace(exposure, problem=str(error), refused_as=Outcome.UNSUPPORTED_WCS)
        return results_of(problem, alignment, absolute=config.absolute is not None), restarted
    if config.sip.approximate or restarted or not correction.is_identity:
        _update_sip(image, config)
    return results, restarted or not correction.is_identity


def _wcs_name(
    image: OpenImage, exposure: ExposureImage, results: Results, alignment: Alignment, config: Config
) -> str | None:
    """The new name of a corrected WCS; None if it keeps its own."""
    if config.wcsname and any(result.outcome is Outcome.ALIGNED for result in results):
        if image.wcs_name == config.wcsname:
            log.info(
                "%s: its WCS was called %s before: the name is now that of the new one", image.name, config.wcsname
            )
        return config.wcsname
    if results[1].outcome is Outcome.ALIGNED and config.reference is not None:
        used = "" if alignment.reference is None else alignment.reference.name
        alone = not alignment.relative[exposure.key].outcome.succeeded
        return image.fitted_name(config.reference.name_of(used), alone=alone)
    return None if alignment.corrections[exposure.key].is_identity else image.fitted_name(None)


def _update_sip(image: OpenImage, config: Config) -> None:
    """Make the SIP approximation that of the WCS, or take it out."""
    problem = image.update_sip(config.sip)
    if problem:
        log.warning("%s: SIP approximation: %s", image.name, problem)
