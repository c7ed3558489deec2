"""The result of a run for one image: one tree, from which metadata, keywords and tables are taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from tweakreg.plane import MAS_PER_ARCSEC, Floats
from tweakreg.records import Affine, Alignment, Outcome, StageResult, Status
from tweakreg.results.keywords import Tree

SCHEMA = "tweakreg/fit_result-1.0.0"

#: Covariances are of (m11, m12, m21, m22, s1, s2), the shift in mas.
_TO_MAS = np.array([1.0, 1.0, 1.0, 1.0, MAS_PER_ARCSEC, MAS_PER_ARCSEC])


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Every parameter of a run and where its value came from.

    Attributes
    ----------
    parameters : mapping of name to (value, origin)
        The origin is 'default', 'reference file ...', 'parameter file ...', 'command line or keyword' or 'attribute'.
    """

    parameters: Mapping[str, tuple[Any, str]] = field(default_factory=dict)


def image_result(
    name: str,
    group: str,
    footprint: tuple[Floats, Floats],
    epoch: float,
    stages: tuple[StageResult, StageResult],
    status: Status,
    alignment: Alignment,
    origins: Origins,
    *,
    dry_run: bool = False,
    composed: bool = False,
) -> Tree:
    """All that is known of how an image was aligned.

    Parameters
    ----------
    name, group : str
    footprint : (ra, dec)
        Vertices along the edges of the image, degrees; every fourth part begins at a corner.
    epoch : float
        Decimal year of the exposure; NaN if unknown.
    stages : (StageResult, StageResult)
        Relative and absolute.
    status : Status
    alignment : Alignment
    origins : Origins
    dry_run : bool
        Whether the WCS was left as it is.
    composed : bool
        Whether the WCS had been corrected before.

    Returns
    -------
    dict
        As in ``schemas/fit_result.schema.json``; lengths in mas, angles in degrees.
    """
    tree: Tree = {
        "schema": SCHEMA,
        "software": {"name": "tweakreg", "version": version("tweakreg")},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": name,
        "group": group,
        "epoch": epoch,
        "status": status.value,
        "dry_run": dry_run,
        "composed": composed,
        "plane": {"ra": alignment.plane.ra, "dec": alignment.plane.dec},
        "stages": {stage.stage.value: _stage(stage) for stage in stages},
        "parameters": {
            key: {"value": _plain(value), "origin": origin} for key, (value, origin) in origins.parameters.items()
        },
    }
    reference = alignment.reference
    if reference is not None:
        tree["reference"] = {"name": reference.name, "sources": len(reference), "provenance": reference.provenance}
    correction = alignment.corrections.get(group)
    # The only exposure, or one that no other could be aligned to, has a place but nothing that says how good it is.
    if correction is not None and any(each.outcome in (Outcome.ALIGNED, Outcome.REFERENCE) for each in stages):
        covariance = alignment.covariances[group]
        tree["correction"] = _affine(correction) | {"covariance": _in_mas(covariance)}
        corners = alignment.plane.project(*footprint)[:: len(footprint[0]) // 4]
        tree["predicted_error"] = _predicted(alignment, group, corners) | {
            "relative_to": "catalog" if stages[1].outcome is Outcome.ALIGNED else "reference image"
        }
    return tree


def _stage(result: StageResult) -> Tree:
    tree: Tree = {
        "outcome": result.outcome.name,
        "sentence": result.outcome.sentence,
        "detail": result.detail,
        "reference": result.matched_with,
    }
    fit, match = result.fit, result.match
    if fit is None or match is None:
        return tree
    east, north = (fit.rms_axes * MAS_PER_ARCSEC).tolist()
    return (
        tree
        | {"geometry": fit.geometry}
        | _affine(fit.affine)
        | {
            "covariance": _in_mas(fit.covariance),
            "rms": fit.rms * MAS_PER_ARCSEC,
            "mae": fit.mae * MAS_PER_ARCSEC,
            "rms_ra": east,
            "rms_dec": north,
            "n_matched": len(match),
            "n_used": fit.n_used,
            "n_clipped": fit.n_clipped,
            "match_radius": match.radius * MAS_PER_ARCSEC,
            "false_probability": match.false_probability,
        }
    )


def _affine(affine: Affine) -> Tree:
    return {
        "matrix": affine.matrix.tolist(),
        "shift": (affine.shift * MAS_PER_ARCSEC).tolist(),
        "rotation": list(affine.rotations),
        "scale": list(affine.scales),
        "skew": affine.skew,
    }


def _in_mas(covariance: Floats) -> list[list[float]]:
    rows: list[list[float]] = (covariance * _TO_MAS[:, None] * _TO_MAS).tolist()
    return rows


def _predicted(alignment: Alignment, group: str, corners: Floats) -> Tree:
    """Standard errors to the east and north at the centre and the corners, mas."""
    places = np.vstack([corners.mean(axis=0), corners])
    variance = np.diagonal(alignment.covariance_at(group, places), axis1=1, axis2=2)
    errors = np.sqrt(np.maximum(variance, 0.0)) * MAS_PER_ARCSEC
    return {"centre": errors[0].tolist(), "corners": errors[1:].tolist()}


def _plain(value: Any) -> Any:
    """None is not kept in metadata."""
    return "None" if value is None else list(value) if isinstance(value, tuple) else value
