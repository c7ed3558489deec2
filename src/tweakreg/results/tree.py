"""Records as what ``schemas/fit_result.schema.json`` describes, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tweakreg.errors import InputError
from tweakreg.observatory.missions import result_trees
from tweakreg.plane import TangentPlane
from tweakreg.records import Outcome, Stage, Status, for_stage
from tweakreg.results.record import (
    FitRecord,
    ImageRecord,
    Origins,
    PatternRecord,
    ReferenceRecord,
    StageRecord,
    StatedError,
    Transformation,
)
from tweakreg.schema import violation

SCHEMA = "tweakreg/fit_result-1.0.0"

_FIT_NUMBERS = (
    "geometry", "rms", "mae", "rms_ra", "rms_dec", "n_matched", "n_used", "n_clipped", "match_radius",
    "false_probability",
)  # fmt: skip

#: The result of an image, as in ``schemas/fit_result.schema.json``.
Tree = dict[str, Any]


def to_tree(record: ImageRecord) -> Tree:
    """A record as it is kept in metadata.

    Parameters
    ----------
    record : ImageRecord
        Of one image.

    Returns
    -------
    dict
        As in ``schemas/fit_result.schema.json``; lengths in mas, angles in degrees.
    """
    tree: Tree = {
        "schema": SCHEMA,
        "software": {"name": "tweakreg", "version": record.software},
        "date": record.date,
        "name": record.name,
        "group": record.group,
        "epoch": record.epoch,
        "status": record.status.value,
        "dry_run": record.dry_run,
        "composed": record.composed,
        "plane": {"ra": record.plane.ra, "dec": record.plane.dec},
        "stages": {each.stage.value: _stage_tree(each) for each in record.stages},
        "parameters": {
            name: {"value": _plain(value), "origin": origin}
            for name, (value, origin) in record.origins.parameters.items()
        },
    }
    if record.reference is not None:
        reference = record.reference
        tree["reference"] = {
            "name": reference.name,
            "sources": reference.sources,
            "provenance": reference.provenance,
        }
    if record.pattern is not None:
        pattern = record.pattern
        tree["pattern"] = {"size": pattern.size, "term": pattern.term, "probability": pattern.probability}
    if record.correction is not None:
        tree["correction"] = _transformation_tree(record.correction)
    if record.stated_error is not None:
        error = record.stated_error
        tree["predicted_error"] = {
            "centre": list(error.centre),
            "corners": [list(corner) for corner in error.corners],
            "relative_to": error.relative_to,
        } | ({"shared": error.shared} if np.isfinite(error.shared) else {})
    return tree


def _stage_tree(stage: StageRecord) -> Tree:
    tree: Tree = {
        "outcome": stage.outcome.name,
        "sentence": for_stage(stage.outcome.sentence, stage.stage),
        "detail": stage.detail,
        "reference": stage.matched_with,
    }
    if stage.numbers:
        tree["numbers"] = dict(stage.numbers)
    if stage.fit is not None:
        tree |= _transformation_tree(stage.fit.transformation)
        tree |= {name: getattr(stage.fit, name) for name in _FIT_NUMBERS}
    return tree


def _transformation_tree(transformation: Transformation) -> Tree:
    return {
        "matrix": [list(row) for row in transformation.matrix],
        "shift": list(transformation.shift),
        "rotation": list(transformation.rotation),
        "scale": list(transformation.scale),
        "skew": transformation.skew,
        "covariance": [list(row) for row in transformation.covariance],
    }


def _plain(value: Any) -> Any:
    """None is not kept in metadata."""
    return "None" if value is None else list(value) if isinstance(value, tuple) else value


def from_tree(tree: Mapping[str, Any]) -> ImageRecord:
    """The record that a tree was made of.

    Parameters
    ----------
    tree : mapping
        As `read_result` gives it.

    Returns
    -------
    ImageRecord
        `to_tree` makes the same tree of it.
    """
    relative, absolute = (_stage_of(stage, tree["stages"][stage.value]) for stage in Stage)
    error, reference, correction = (tree.get(name) for name in ("predicted_error", "reference", "correction"))
    pattern = tree.get("pattern")
    return ImageRecord(
        name=tree["name"],
        group=tree["group"],
        epoch=tree.get("epoch", float("nan")),
        status=Status(tree["status"]),
        dry_run=tree["dry_run"],
        composed=tree["composed"],
        plane=TangentPlane(**tree["plane"]),
        relative=relative,
        absolute=absolute,
        correction=None if correction is None else _transformation_of(correction),
        stated_error=None
        if error is None
        else StatedError(
            centre=tuple(error["centre"]),
            corners=tuple(map(tuple, error["corners"])),
            relative_to=error["relative_to"],
            shared=error.get("shared", np.nan),
        ),
        pattern=None if pattern is None else PatternRecord(**pattern),
        reference=None if reference is None else ReferenceRecord(**reference),
        origins=Origins(
            parameters={name: (entry["value"], entry["origin"]) for name, entry in tree["parameters"].items()}
        ),
        date=tree["date"],
        software=tree["software"]["version"],
    )


def valid_record(tree: Mapping[str, Any]) -> ImageRecord | None:
    """The record of a tree that may be anything; None where it does not follow the schema."""
    return from_tree(tree) if tree and violation(dict(tree), "fit_result") is None else None


def _stage_of(stage: Stage, tree: Mapping[str, Any]) -> StageRecord:
    fit = None
    if "geometry" in tree:
        fit = FitRecord(transformation=_transformation_of(tree), **{name: tree[name] for name in _FIT_NUMBERS})
    return StageRecord(
        stage=stage,
        outcome=Outcome[tree["outcome"]],
        detail=tree["detail"],
        numbers=dict(tree.get("numbers", {})),
        matched_with=tree["reference"],
        fit=fit,
    )


def _transformation_of(tree: Mapping[str, Any]) -> Transformation:
    first, second = map(tuple, tree["matrix"])
    shift, rotation, scale = (tuple(tree[name]) for name in ("shift", "rotation", "scale"))
    covariance = tuple(map(tuple, tree["covariance"]))
    return Transformation(
        matrix=(first, second), shift=shift, rotation=rotation, scale=scale, skew=tree["skew"], covariance=covariance
    )


def read_result(exposure: Any, image: int = 0) -> Tree:
    """The result of an alignment that an exposure carries.

    Parameters
    ----------
    exposure : str, Path or datamodel
        Where it is sought.
    image : int
        Which of its images, where it holds several, counted from 0.

    Returns
    -------
    dict
        As in ``schemas/fit_result.schema.json``.

    Raises
    ------
    InputError
        It carries none, or one that does not follow the schema.
    """
    trees = result_trees(exposure)
    name = exposure if isinstance(exposure, str) else getattr(getattr(exposure, "meta", None), "filename", exposure)
    if not 0 <= image < len(trees):
        raise InputError(name, f"carries results of {len(trees)} images: image = {image} is not one of them")
    tree = trees[image]
    problem = violation(tree, "fit_result")
    if problem is not None:
        raise InputError(name, f"meta.tweakreg does not follow the schema: {problem.json_path}: {problem.message}")
    return tree
