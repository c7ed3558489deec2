"""Corrections applied to exposures and files, and taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tweakreg.corrections.record import Correction
from tweakreg.errors import CorrectionError, InputError, OutputError
from tweakreg.files import is_file, shown, staging
from tweakreg.observatory.exposure import OpenImage
from tweakreg.observatory.missions import image_of, images_of, mission_of, opened, rewritten
from tweakreg.observatory.names import ending_of
from tweakreg.records import SipConfig, Status
from tweakreg.results.record import KEYWORDS, ImageRecord, fit_quality, keywords
from tweakreg.results.tree import to_tree, valid_record
from tweakreg.wcs.adjust import transferred
from tweakreg.wcs.corrector import reference_angles

Changing = Callable[..., None]


def apply_correction(
    model: Any, correction: Correction, *, any_wcs: bool = False, sip: SipConfig | None = None
) -> None:
    """Correct an exposure.

    Parameters
    ----------
    model : datamodel
        Changed in place.
    correction : Correction
        What is done to it.
    any_wcs : bool
        Also if its WCS is not one that the correction was made for: another filter of the visit, another
        detector, a reprocessed exposure.
    sip : SipConfig, optional
        Of the approximation that is written; by default that of the spec.

    Raises
    ------
    CorrectionError
        Its WCS is another one, and `any_wcs` is not set.
    """
    for image in images_of(model):
        apply_to_image(image, correction, any_wcs=any_wcs, sip=sip)


def apply_to_image(
    image: OpenImage, correction: Correction, *, any_wcs: bool = False, sip: SipConfig | None = None
) -> None:
    """As `apply_correction`, for an image that is open."""
    before = image.identity
    member = next((each for each in correction.members if each.wcs_hash == before), None)
    if member is None and not any_wcs:
        if any(each.corrected_hash == before for each in correction.members):
            raise CorrectionError(image.filename, "has this correction already")
        raise CorrectionError(
            image.filename,
            f"has another WCS than those that the correction of {correction.group} was made for; "
            "any_wcs (--any-wcs) applies it all the same",
        )
    for plane, affine in correction.steps:
        image.correct(affine, plane, correction.wcs_name or None)
    result = None if correction.result is None else replace(correction.result, name=image.name)
    _describe(image, sip, result, Status.COMPLETE)


def undo_correction(model: Any, correction: Correction, *, any_wcs: bool = False, sip: SipConfig | None = None) -> None:
    """Give an exposure the WCS back that it had before a correction.

    Parameters
    ----------
    model, correction, any_wcs, sip
        As for `apply_correction`. The original WCS is stored with the correction and comes back exactly; for any other
        WCS the inverse is applied.

    Raises
    ------
    CorrectionError
        Its WCS is not one that the correction has made, and `any_wcs` is not set.
    """
    for image in images_of(model):
        undo_in_image(image, correction, any_wcs=any_wcs, sip=sip)


def undo_in_image(
    image: OpenImage, correction: Correction, *, any_wcs: bool = False, sip: SipConfig | None = None
) -> None:
    """As `undo`, for an image that is open."""
    now = image.identity
    member = next((each for each in correction.members if each.corrected_hash == now), None)
    if member is not None:
        image.set_wcs(deepcopy(member.before.wcs))
        before = member.before
        _describe(image, sip, valid_record(before.result), Status(before.status) if before.status else None)
        image.write_result(before.result)
        return
    if not any_wcs:
        raise CorrectionError(
            image.filename,
            f"has another WCS than those that the correction of {correction.group} has made; "
            "any_wcs (--any-wcs) applies the inverse all the same",
        )
    for plane, affine in reversed(correction.steps):
        image.correct(affine.inverse, plane, "")
    _describe(image, sip, None, None)


def _describe(image: OpenImage, sip: SipConfig | None, result: ImageRecord | None, status: Status | None) -> None:
    """Make everything that describes the WCS that of the WCS."""
    image.update_sip(sip or SipConfig.of())
    image.write_result({} if result is None else to_tree(result))
    image.write_fit(None if result is None else fit_quality(result))
    image.write_keywords(keywords(result, image.wcs_name), KEYWORDS)
    image.write_status(status)


def change_files(
    change: Changing, correction: Correction, exposures: Sequence[Path], outputs: Sequence[Path], *, any_wcs: bool
) -> list[Path]:
    """Apply or undo a correction in files; all results are written, or none.

    Parameters
    ----------
    change : callable
        `apply_to_image` or `undo_in_image`.
    correction : Correction
        What is done or undone.
    exposures : sequence of Path
        Not changed.
    outputs : sequence of Path
        From `plan_outputs`.
    any_wcs : bool
        As for `apply_correction`.

    Returns
    -------
    list of Path
        What was written.
    """
    with staging(outputs[0].parent) as temporary:
        for path, output in zip(exposures, outputs, strict=True):
            with rewritten(path, temporary / output.name) as images:
                for image in images:
                    change(image, correction, any_wcs=any_wcs)
    return list(outputs)


def plan_outputs(exposures: Sequence[Path], directory: Path, suffix: str) -> list[Path]:
    """Where the changed exposures go.

    Parameters
    ----------
    exposures : sequence of Path
        Files that are to be changed.
    directory : Path
        For the results.
    suffix : str
        Of their names, without underscore.

    Raises
    ------
    InputError
        An exposure does not exist, or is none.
    OutputError
        A result would replace an input, or another file.
    """
    if "/" in suffix or not suffix:
        raise OutputError(f"--suffix {suffix!r} must be a word without a slash; set --output-dir for a folder")
    outputs = [directory / _output_name(path, suffix) for path in exposures]
    inputs = {path.resolve() for path in exposures}
    for path, output in zip(exposures, outputs, strict=True):
        if not is_file(path):
            raise InputError(shown(path), "the file does not exist")
        if path.suffix == ".json":
            raise InputError(path, "is an association: name the exposures")
        if output.resolve() in inputs:
            raise OutputError(f"the result would replace the input {output}: set --output-dir or --suffix")
        if output.exists():
            raise OutputError(f"{output} exists already: set --output-dir or --suffix, or remove it")
    if len(set(outputs)) < len(outputs):
        raise OutputError("two exposures would be written to one file: change them in runs of their own")
    return outputs


def _output_name(path: Path, suffix: str) -> str:
    """In the format that the file has, where there are several."""
    mission = mission_of(path)
    ending = ending_of(path)
    return mission.output_name(path, suffix, ending if ending in mission.ENDINGS else mission.ENDINGS[0])


def transfer_wcs_correction(to_image: Any, from_image: Any, matrix: Any = None, shift: Any = None) -> None:
    """Give an image the tangent-plane correction of another.

    Parameters
    ----------
    to_image : str or datamodel
        Changed in place; a file is replaced by its corrected version.
    from_image : str, datamodel or gwcs.WCS
        A corrected image.
    matrix : (2, 2) array_like, optional
        With `shift`, another correction in the tangent plane of `from_image`; both or neither.
    shift : (2,) array_like, optional
        arcsec.

    Raises
    ------
    ValueError
        Only one of matrix and shift is given.
    WCSError
        Neither is given and `from_image` was not corrected.

    Notes
    -----
    Signature and meaning are those of ``jwst.tweakreg.utils.transfer_wcs_correction``.
    """
    if isinstance(from_image, (str, Path)):
        with opened(from_image) as (source,):
            _transfer(to_image, source.wcs, source.angles, matrix, shift)
    elif hasattr(from_image, "meta"):
        source = image_of(from_image)
        _transfer(to_image, source.wcs, source.angles, matrix, shift)
    else:
        _transfer(to_image, from_image, reference_angles(from_image), matrix, shift)


def _transfer(to_image: Any, from_wcs: Any, angles: Any, matrix: Any, shift: Any) -> None:
    if isinstance(to_image, (str, Path)):
        path = Path(to_image)
        with staging(path.parent) as temporary, rewritten(path, temporary / path.name) as (image,):
            _transfer_to(image, from_wcs, angles, matrix, shift)
    else:
        _transfer_to(image_of(to_image), from_wcs, angles, matrix, shift)


def _transfer_to(image: OpenImage, from_wcs: Any, angles: Any, matrix: Any, shift: Any) -> None:
    matrix, shift = (None if value is None else np.asarray(value, dtype=float) for value in (matrix, shift))
    image.set_wcs(transferred(image.wcs, image.angles, from_wcs, angles, matrix, shift))
    image.update_sip(SipConfig.of())
