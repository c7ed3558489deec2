"""Tables of a run: fits, matches and the stars that were matched with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.table import Table
from scipy.spatial import KDTree

from tweakreg.plane import MAS_PER_ARCSEC, Floats, TangentPlane
from tweakreg.records import Affine, Alignment, Outcome, StageResult, magnitudes

_NUMBERS = (
    "n_matched", "n_used", "n_clipped", "rms", "mae", "rms_ra", "rms_dec", "match_radius", "false_probability",
)  # fmt: skip
_PAIRS = {"shift": ("shift_ra", "shift_dec"), "rotation": ("rotation_x", "rotation_y"), "scale": ("scale_x", "scale_y")}
_UNITS = {
    "rms": "mas", "mae": "mas", "rms_ra": "mas", "rms_dec": "mas", "match_radius": "mas", "shift_ra": "mas",
    "shift_dec": "mas", "rotation_x": "deg", "rotation_y": "deg", "skew": "deg", "error_ra": "mas", "error_dec": "mas",
}  # fmt: skip


def summary_table(trees: Sequence[Mapping[str, Any]]) -> Table:
    """A row per image and stage that was asked for.

    Parameters
    ----------
    trees : sequence of dict
        From `tweakreg.results.tree.image_result`.

    Returns
    -------
    Table
        Lengths in mas, angles in degrees; NaN where there was no fit, and the outcome says why.
        ``error_ra`` and ``error_dec`` are predicted for the image's centre after both stages.
    """
    rows = []
    for tree in trees:
        for name, stage in tree["stages"].items():
            if stage["outcome"] == Outcome.NOT_REQUESTED.name:
                continue
            row: dict[str, Any] = {"image": tree["name"], "group": tree["group"], "stage": name}
            row |= {"status": tree["status"], "outcome": stage["outcome"], "reason": _reason(stage)}
            row |= {"reference": stage["reference"], "geometry": stage.get("geometry", "")}
            row |= {key: float(stage.get(key, np.nan)) for key in _NUMBERS}
            for key, columns in _PAIRS.items():
                row |= dict(zip(columns, stage.get(key, (np.nan, np.nan)), strict=True))
            row["skew"] = stage.get("skew", np.nan)
            error = tree.get("predicted_error", {}).get("centre", (np.nan, np.nan))
            row |= dict(zip(("error_ra", "error_dec"), error, strict=True))
            rows.append(row)
    table = Table(rows=rows) if rows else Table(names=["image"], dtype=[str])
    for name, unit in _UNITS.items():
        if name in table.colnames:
            table[name].unit = unit
    return table


def _reason(stage: Mapping[str, Any]) -> str:
    return f"{stage['sentence']} ({stage['detail']})" if stage["detail"] else str(stage["sentence"])


def match_table(
    x: Floats, y: Floats, flux: Floats, xy: Floats, stages: Sequence[tuple[StageResult, Affine]], plane: TangentPlane
) -> Table:
    """The matches of one image in each stage.

    Parameters
    ----------
    x, y, flux : (N,) float arrays
        The image's sources, pixels and any unit of flux.
    xy : (N, 2) float array
        The same on the plane before any correction, arcsec.
    stages : sequence of (StageResult, Affine)
        Each with the correction that had been made before it.
    plane : TangentPlane

    Returns
    -------
    Table
        Positions of image and reference on plane (arcsec, before the stage's fit) and sky (after it, degrees),
        residuals reference minus image after the fit (mas), instrumental magnitude, weights, and whether the pair
        was clipped. In the absolute stage a star stands at the mean of its detections.
    """
    parts = [_match_columns(x, y, magnitudes(flux), xy, result, before, plane) for result, before in stages]
    names = ("stage", *_MATCH_UNITS, "weight", "clipped")
    empty = [np.empty(0, dtype={"stage": "U8", "clipped": bool}.get(name, float)) for name in names]
    columns = [
        np.concatenate([none, *(part[name] for part in parts if part)]) for name, none in zip(names, empty, strict=True)
    ]
    table = Table(columns, names=names)
    for name, unit in _MATCH_UNITS.items():
        table[name].unit = unit
    return table


_MATCH_UNITS = {
    "x": "pix", "y": "pix", "plane_x": "arcsec", "plane_y": "arcsec", "ref_plane_x": "arcsec",
    "ref_plane_y": "arcsec", "ra": "deg", "dec": "deg", "ref_ra": "deg", "ref_dec": "deg",
    "residual_ra": "mas", "residual_dec": "mas", "mag": "mag",
}  # fmt: skip


def _match_columns(
    x: Floats,
    y: Floats,
    magnitude: Floats,
    xy: Floats,
    result: StageResult,
    before: Affine,
    plane: TangentPlane,
) -> dict[str, Any]:
    """Those of one stage; none where it had no fit."""
    fit, match = result.fit, result.match
    if fit is None or match is None or len(xy) == 0:
        return {}
    distance, source = KDTree(before(xy)).query(match.image_xy)
    ours = np.flatnonzero(distance <= match.radius)
    source, image, reference = source[ours], match.image_xy[ours], match.reference_xy[ours]
    fitted = fit.affine(image)
    residual = (reference - fitted) * MAS_PER_ARCSEC
    positions = np.column_stack([x[source], y[source], image, reference])
    sky = np.column_stack([*plane.deproject(fitted), *plane.deproject(reference)])
    columns: dict[str, Any] = dict(
        zip(_MATCH_UNITS, np.column_stack([positions, sky, residual, magnitude[source]]).T, strict=True)
    )
    columns["stage"] = np.full(len(ours), result.stage.value)
    columns["weight"] = np.ones(len(ours)) if match.weight is None else match.weight[ours]
    columns["clipped"] = ~fit.used[ours]
    return columns


def reference_table(alignment: Alignment) -> Table:
    """The stars that exposures were matched with: those of the catalog, and those of the aligned exposures.

    The latter stand at the means of their detections, whose scatter gives the errors (mas); stars of a
    group that failed are not among them.
    """
    parts: list[tuple[Floats, Floats, Floats | None, Floats | None, str]] = []
    if alignment.reference is not None:
        catalog = alignment.reference
        parts.append((catalog.ra, catalog.dec, catalog.weight, catalog.variance, catalog.name))
    if alignment.stars is not None:
        stars = alignment.stars
        variance = None if stars.variance is None else stars.variance * MAS_PER_ARCSEC**2
        parts.append((*alignment.plane.deproject(stars.xy), stars.weight, variance, "exposures"))
    columns = [np.concatenate([np.empty(0), *(part[i] for part in parts)]) for i in (0, 1)]
    weight = [_filled(part[2], len(part[0]), 1.0) for part in parts]
    error = [np.sqrt(_filled(part[3], len(part[0]), np.nan)) for part in parts]
    origin = [np.full(len(part[0]), part[4]) for part in parts]
    table = Table(
        {
            "RA": columns[0],
            "DEC": columns[1],
            "weight": np.concatenate([np.empty(0), *weight]),
            "ra_error": np.concatenate([np.empty(0), *error]),
            "dec_error": np.concatenate([np.empty(0), *error]),
            "origin": np.concatenate([np.empty(0, dtype="U1"), *origin]),
        }
    )
    table["RA"].unit = table["DEC"].unit = "deg"
    table["ra_error"].unit = table["dec_error"].unit = "mas"
    return table


def _filled(values: Floats | None, number: int, otherwise: float) -> Floats:
    return np.full(number, otherwise) if values is None else values
