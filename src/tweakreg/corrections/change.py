"""Corrections as files that travel: to another filter, to a reprocessed exposure, and back out again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tweakreg.errors import CorrectionError, InputError, OutputError, first_line
from tweakreg.files import staging
from tweakreg.observatory import jwst
from tweakreg.observatory.jwst import ExposureState
from tweakreg.observatory.library import open_model
from tweakreg.observatory.output import bare_name, stem
from tweakreg.plane import TangentPlane
from tweakreg.records import Affine, SipConfig
from tweakreg.results.keywords import KEYWORDS, keywords
from tweakreg.schema import violation
from tweakreg.wcs.identity import wcs_hash

SCHEMA = "tweakreg/correction-1.0.0"

#: Of a matrix that is no correction but a mistake.
_LEAST_DETERMINANT = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An image that a correction was made for.

    Attributes
    ----------
    name, detector : str
    before : ExposureState
        WCS, status and result before the correction.
    wcs_hash, corrected_hash : str
        Of its WCS before and after, from `tweakreg.wcs.identity.wcs_hash`.
    """

    name: str
    detector: str
    before: ExposureState
    wcs_hash: str
    corrected_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What was done to the images of a group.

    Attributes
    ----------
    group : str
    steps : tuple of (TangentPlane, Affine)
        One after another; an alignment is one, a composition has several.
    members : tuple of Member
    result : mapping
        The result of the alignment, as in ``schemas/fit_result.schema.json``; that of the last step.
    wcs_name : str
    author, description : str
    history : tuple of str
    """

    group: str
    steps: tuple[tuple[TangentPlane, Affine], ...]
    members: tuple[Member, ...]
    result: Mapping[str, Any] = field(default_factory=dict)
    wcs_name: str = ""
    author: str = ""
    description: str = ""
    history: tuple[str, ...] = ()


def write_correction(correction: Correction, path: str | Path) -> None:
    """Write a correction as ASDF, under a temporary name first."""
    import asdf

    path = Path(path)
    tree = {
        "schema": SCHEMA,
        "software": {"name": "tweakreg", "version": version("tweakreg")},
        "group": correction.group,
        "wcs_name": correction.wcs_name,
        "author": correction.author,
        "description": correction.description,
        "history_entries": list(correction.history),
        "steps": [
            {
                "plane": {"ra": plane.ra, "dec": plane.dec},
                "matrix": affine.matrix.tolist(),
                "shift": affine.shift.tolist(),
            }
            for plane, affine in correction.steps
        ],
        "members": [
            {
                "name": member.name,
                "detector": member.detector,
                "wcs": member.before.wcs,
                "status": member.before.status,
                "result": member.before.result,
                "wcs_hash": member.wcs_hash,
                "corrected_hash": member.corrected_hash,
            }
            for member in correction.members
        ],
        "result": dict(correction.result),
    }
    with staging(path.parent) as temporary:
        asdf.AsdfFile(tree).write_to(temporary / path.name)


def read_correction(path: str | Path) -> Correction:
    """Read a correction.

    Raises
    ------
    CorrectionError
        The file is missing, or is no correction.
    """
    import asdf

    if not Path(path).is_file():
        raise CorrectionError(path, "there is no such file")
    try:
        with asdf.open(path, memmap=False, lazy_load=False) as file:
            tree = {key: deepcopy(value) for key, value in file.tree.items() if key not in ("asdf_library", "history")}
    except Exception as error:  # asdf and yaml each raise their own
        raise CorrectionError(path, f"cannot be read as ASDF ({first_line(error)})") from error
    plain = jwst.plain({**tree, "members": _without_wcs(tree.get("members"))})
    problem = violation(plain, "correction")
    if problem is not None:
        raise CorrectionError(path, f"is no correction: {problem.json_path}: {problem.message}")
    if any(abs(np.linalg.det(np.array(step["matrix"]))) < _LEAST_DETERMINANT for step in plain["steps"]):
        raise CorrectionError(path, "is no correction: a matrix cannot be inverted")
    if not all(hasattr(member["wcs"], "available_frames") for member in tree["members"]):
        raise CorrectionError(path, "is no correction: the WCS of a member is no GWCS")
    return Correction(
        group=plain["group"],
        steps=tuple(
            (TangentPlane(**step["plane"]), Affine(matrix=np.array(step["matrix"]), shift=np.array(step["shift"])))
            for step in plain["steps"]
        ),
        members=tuple(
            Member(
                name=entry["name"],
                detector=entry["detector"],
                before=ExposureState(wcs=original["wcs"], status=entry["status"], result=entry["result"]),
                wcs_hash=entry["wcs_hash"],
                corrected_hash=entry["corrected_hash"],
            )
            for entry, original in zip(plain["members"], tree["members"], strict=True)
        ),
        result=plain["result"],
        wcs_name=plain["wcs_name"],
        author=plain["author"],
        description=plain["description"],
        history=tuple(plain["history_entries"]),
    )


def _without_wcs(members: Any) -> Any:
    """Members as the schema can look at them."""
    if not isinstance(members, Sequence) or not all(isinstance(member, Mapping) for member in members):
        return None
    return [{**member, "wcs": type(member.get("wcs")).__name__} for member in members]


def apply_to(model: Any, correction: Correction, *, any_wcs: bool = False, sip: SipConfig | None = None) -> None:
    """Correct an exposure.

    Parameters
    ----------
    model : datamodel
        Changed in place.
    correction : Correction
    any_wcs : bool
        Also if its WCS is not one that the correction was made for: another filter of the visit, another
        detector, a reprocessed exposure.
    sip : SipConfig, optional

    Raises
    ------
    CorrectionError
        Its WCS is another one, and `any_wcs` is not set.
    """
    before = wcs_hash(model.meta.wcs)
    member = next((each for each in correction.members if each.wcs_hash == before), None)
    if member is None and not any_wcs:
        if any(each.corrected_hash == before for each in correction.members):
            raise CorrectionError(model.meta.filename, "has this correction already")
        raise CorrectionError(
            model.meta.filename,
            f"has another WCS than those that the correction of {correction.group} was made for; "
            "any_wcs (--any-wcs) applies it all the same",
        )
    for plane, affine in correction.steps:
        jwst.apply_correction(model, affine, plane, correction.wcs_name or None)
    result = dict(correction.result)
    if result:
        result["name"] = bare_name(model.meta.filename or result["name"])
    _finish(model, sip, result, "COMPLETE")


def undo(model: Any, correction: Correction, *, any_wcs: bool = False, sip: SipConfig | None = None) -> None:
    """Give an exposure the WCS back that it had before a correction.

    Parameters
    ----------
    model, correction, any_wcs, sip
        As for `apply_to`. The original WCS is stored with the correction and comes back exactly; for any other
        WCS the inverse is applied.

    Raises
    ------
    CorrectionError
        Its WCS is not one that the correction has made, and `any_wcs` is not set.
    """
    now = wcs_hash(model.meta.wcs)
    member = next((each for each in correction.members if each.corrected_hash == now), None)
    if member is not None:
        model.meta.wcs = deepcopy(member.before.wcs)
    elif any_wcs:
        for plane, affine in reversed(correction.steps):
            jwst.apply_correction(model, affine.inverse, plane, "")
    else:
        raise CorrectionError(
            model.meta.filename,
            f"has another WCS than those that the correction of {correction.group} has made; "
            "any_wcs (--any-wcs) applies the inverse all the same",
        )
    jwst.update_s_region(model)
    before = member.before if member is not None else None
    _finish(model, sip, before.result if before else {}, before.status if before else "")


def _finish(model: Any, sip: SipConfig | None, result: dict[str, Any], status: str) -> None:
    """Make everything that describes the WCS that of the WCS."""
    jwst.update_sip(model, sip or SipConfig())
    model.meta.instance.pop("tweakreg", None)
    cards = []
    if result:
        jwst.write_result(model, result)
        cards = keywords(result, str(model.meta.wcs.name or ""))
    jwst.write_keywords(model, cards, KEYWORDS)
    model.meta.cal_step.tweakreg = status or None


def compose(first: Correction, second: Correction, *, any_wcs: bool = False) -> Correction:
    """The correction that does what two do, one after the other.

    Raises
    ------
    CorrectionError
        The second was not made for what the first makes, and `any_wcs` is not set.
    """
    after = {member.wcs_hash: member for member in second.members}
    linked = [member for member in first.members if member.corrected_hash in after]
    if len(linked) < len(first.members) and not any_wcs:
        raise CorrectionError(
            second.group, f"was not made for what the correction of {first.group} makes; any_wcs (--any-wcs) joins them"
        )
    members = tuple(
        replace(member, corrected_hash=after[member.corrected_hash].corrected_hash)
        if member.corrected_hash in after
        else replace(member, corrected_hash="")
        for member in first.members
    )
    note = f"{datetime.now(UTC).isoformat(timespec='seconds')}: composed of {first.group} and {second.group}"
    return Correction(
        group=first.group,
        steps=first.steps + second.steps,
        members=members,
        result=second.result,
        wcs_name=second.wcs_name or first.wcs_name,
        author=second.author or first.author,
        description="; ".join(filter(None, (first.description, second.description))),
        history=(*first.history, *second.history, note),
    )


def describe(correction: Correction) -> str:
    """A correction in lines for people."""
    lines = [f"correction of group {correction.group}, WCS name {correction.wcs_name or '(unchanged)'}"]
    for label in ("author", "description"):
        if getattr(correction, label):
            lines.append(f"{label}: {getattr(correction, label)}")
    for plane, affine in correction.steps:
        east, north = affine.shift * 1000.0
        lines.append(
            f"around ({plane.ra:.6f}, {plane.dec:+.6f}): shift ({east:+.3f}, {north:+.3f}) mas, "
            f"rotation {affine.rotation:+.6f} degrees, scale {affine.scale:.8f}"
        )
    for member in correction.members:
        lines.append(f"made for {member.name} ({member.detector}), WCS {member.wcs_hash} -> {member.corrected_hash}")
    for name, stage in correction.result.get("stages", {}).items():
        rms = f", {stage['n_used']} sources, rms {stage['rms']:.2f} mas" if "rms" in stage else ""
        lines.append(f"{name}: {stage['outcome']}{rms}")
    return "\n".join([*lines, *correction.history])


def change_files(
    change: Any, correction: Correction, exposures: Sequence[Path], directory: Path, suffix: str, *, any_wcs: bool
) -> list[Path]:
    """Apply or undo a correction in files; all results are written, or none.

    Parameters
    ----------
    change : callable
        `apply_to` or `undo`.
    correction : Correction
    exposures : sequence of Path
        Not changed.
    directory : Path
    suffix : str
    any_wcs : bool

    Returns
    -------
    list of Path

    Raises
    ------
    OutputError
        A result would replace an input.
    """
    if "/" in suffix or not suffix:
        raise OutputError(f"--suffix {suffix!r} must be a word without a slash; set --output-dir for a folder")
    outputs = [directory / f"{stem(path)}_{suffix}.fits" for path in exposures]
    for path, output in zip(exposures, outputs, strict=True):
        if not path.is_file():
            raise InputError(path, "the file does not exist")
        if path.suffix == ".json":
            raise InputError(path, "is an association: name the exposures")
        if output.exists() and not any(output.resolve() == other.resolve() for other in exposures):
            raise OutputError(f"{output} exists already: set --output-dir or --suffix, or remove it")
        if any(output.resolve() == other.resolve() for other in exposures):
            raise OutputError(f"the result would replace the input {output}: set --output-dir or --suffix")
    if len(set(outputs)) < len(outputs):
        raise OutputError("two exposures would be written to one file: change them in runs of their own")
    with staging(directory) as temporary:
        for path, output in zip(exposures, outputs, strict=True):
            with open_model(path) as model:
                jwst.check_model(model, path)
                change(model, correction, any_wcs=any_wcs)
                model.meta.filename = output.name
                model.save(temporary / output.name)
    return outputs


def transfer_wcs_correction(to_image: Any, from_image: Any, matrix: Any = None, shift: Any = None) -> None:
    """Give an image the tangent-plane correction of another.

    Parameters
    ----------
    to_image : str or datamodel
        Changed in place; a file is replaced by its corrected version.
    from_image : str, datamodel or gwcs.WCS
        A corrected image.
    matrix : (2, 2) array_like, optional
    shift : (2,) array_like, optional
        arcsec. With these, another correction in the tangent plane of `from_image`; both or neither.

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
    from tweakreg.wcs.adjust import transferred
    from tweakreg.wcs.corrector import reference_angles

    if isinstance(from_image, (str, Path)):
        with open_model(from_image) as model:
            transfer_wcs_correction(to_image, model, matrix, shift)
        return
    if isinstance(to_image, (str, Path)):
        path = Path(to_image)
        with open_model(path) as model:
            transfer_wcs_correction(model, from_image, matrix, shift)
            with staging(path.parent) as temporary:
                model.save(temporary / path.name)
        return
    if hasattr(from_image, "meta"):
        from_wcs, angles = from_image.meta.wcs, jwst.telescope_angles(from_image)
    else:
        from_wcs, angles = from_image, reference_angles(from_image)
    ours = jwst.telescope_angles(to_image)
    matrix, shift = (None if value is None else np.asarray(value, dtype=float) for value in (matrix, shift))
    to_image.meta.wcs = transferred(to_image.meta.wcs, ours, from_wcs, angles, matrix, shift)
    jwst.update_s_region(to_image)
    jwst.update_sip(to_image, SipConfig())
