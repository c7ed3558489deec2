"""Correction files: ASDF, held against ``schemas/correction.schema.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tweakreg.corrections.record import Correction, Member
from tweakreg.errors import CorrectionError, first_line
from tweakreg.files import shown, staging, why_unreadable
from tweakreg.guards import check_tree, tree_text
from tweakreg.observatory.exposure import ExposureState, plain
from tweakreg.plane import Floats, TangentPlane
from tweakreg.records import Affine
from tweakreg.results.record import ImageRecord
from tweakreg.results.tree import to_tree, valid_record
from tweakreg.schema import said_of, violation

SCHEMA = "tweakreg/correction-1.0.0"

#: A matrix with a smaller determinant is no correction but a mistake.
_LEAST_DETERMINANT = 1e-6
#: No matrix or shift, arcsec, has a number as large as this.
_LARGEST = 1e9


def write_correction(correction: Correction, path: str | Path) -> None:
    """Write a correction as ASDF, under a temporary name first.

    Parameters
    ----------
    correction : Correction
        What was done.
    path : str or Path
        The new file.
    """
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
        "result": {} if correction.result is None else to_tree(correction.result),
    }
    with staging(path.parent) as temporary:
        asdf.AsdfFile(tree).write_to(temporary / path.name)


def read_correction(path: str | Path) -> Correction:
    """Read a correction.

    Parameters
    ----------
    path : str or Path
        A file from `write_correction`.

    Returns
    -------
    Correction
        With the WCS that its images had before.

    Raises
    ------
    CorrectionError
        The file is missing, or is no correction.
    """
    import asdf

    if unreadable := why_unreadable(Path(path)):
        raise CorrectionError(shown(path), unreadable)
    try:
        with Path(path).open("rb") as file:
            check_tree(tree_text(file))
        with asdf.open(path, memmap=False, lazy_load=False) as file:
            tree = {key: deepcopy(value) for key, value in file.tree.items() if key not in ("asdf_library", "history")}
    except Exception as error:  # asdf and yaml each raise their own
        raise CorrectionError(path, f"cannot be read as ASDF ({first_line(error)})") from error
    said = plain({**tree, "members": _without_wcs(tree.get("members"))})
    problem = violation(said, "correction")
    if problem is not None:
        raise CorrectionError(path, f"is no correction: {problem.json_path}: {said_of(problem)}")
    try:
        affines = [Affine(matrix=_floats(step["matrix"]), shift=_floats(step["shift"])) for step in said["steps"]]
    except OverflowError as error:
        raise CorrectionError(path, f"is no correction: {error}") from error
    if any(abs(np.linalg.det(affine.matrix)) < _LEAST_DETERMINANT for affine in affines):
        raise CorrectionError(path, "is no correction: a matrix cannot be inverted")
    if not all(_is_wcs(member["wcs"]) for member in tree["members"]):
        raise CorrectionError(path, "is no correction: the WCS of a member is neither a GWCS nor cards of a header")
    return Correction(
        group=said["group"],
        steps=tuple(
            (TangentPlane(**step["plane"]), affine) for step, affine in zip(said["steps"], affines, strict=True)
        ),
        members=tuple(
            Member(
                name=entry["name"],
                detector=entry["detector"],
                before=ExposureState(wcs=_wcs_of(original["wcs"]), status=entry["status"], result=entry["result"]),
                wcs_hash=entry["wcs_hash"],
                corrected_hash=entry["corrected_hash"],
            )
            for entry, original in zip(said["members"], tree["members"], strict=True)
        ),
        result=_result_of(said["result"], path),
        wcs_name=said["wcs_name"],
        author=said["author"],
        description=said["description"],
        history=tuple(said["history_entries"]),
    )


def _is_wcs(wcs: Any) -> bool:
    """Whether it is what one of the missions' images keeps as its WCS."""
    cards = plain(wcs)
    listed = isinstance(cards, list) and all(isinstance(card, list) and len(card) == 3 for card in cards)
    return hasattr(wcs, "available_frames") or (listed and bool(cards))


def _wcs_of(wcs: Any) -> Any:
    """As the image had it."""
    return wcs if hasattr(wcs, "available_frames") else plain(wcs)


def _floats(numbers: Any) -> Floats:
    """Numbers as an array; `OverflowError` for those that no correction has."""
    given = np.array(numbers, dtype=object)  # a whole number may be too large for any other type
    values = np.array([float(min(each, _LARGEST)) for each in given.ravel()]).reshape(given.shape)
    if not (np.abs(values) < _LARGEST).all():
        raise OverflowError(f"it has a number beyond {_LARGEST:.0e}, or one that is none")
    return values


def _result_of(tree: dict[str, Any], path: str | Path) -> ImageRecord | None:
    record = valid_record(tree)
    if tree and record is None:
        raise CorrectionError(path, "is no correction: its result does not follow the schema")
    return record


def _without_wcs(members: Any) -> Any:
    """Members as the schema can look at them."""
    if not isinstance(members, Sequence) or not all(isinstance(member, Mapping) for member in members):
        return None
    return [{**member, "wcs": type(member.get("wcs")).__name__} for member in members]
