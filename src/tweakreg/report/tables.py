"""Tables of a run: fits, matches and the stars that were matched with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.table import MaskedColumn, QTable, Table
from scipy.spatial import KDTree

from tweakreg.plane import MAS_PER_ARCSEC, Floats, TangentPlane
from tweakreg.records import Affine, Alignment, SourceCatalog, StageResult, magnitudes
from tweakreg.results.record import ImageRecord, StageRecord

#: Columns of the table of fits, in their order: unit and meaning. Whole numbers stay whole.
_FITS = {
    "image": ("", "File name without folder and ending"),
    "group": ("", "Images of one group receive one correction"),
    "stage": ("", "relative or absolute"),
    "status": ("", "COMPLETE if everything that was asked for worked"),
    "outcome": ("", "How the stage ended"),
    "reason": ("", "The same in words, with the numbers behind it"),
    "reference": ("", "Group or catalog that it was matched with"),
    "geometry": ("", "What was fitted"),
    "n_matched": ("", "Matched pairs"),
    "n_used": ("", "Pairs that were used in the fit"),
    "n_clipped": ("", "Pairs that were not"),
    "rms": ("mas", "Root mean square of the lengths of the residuals"),
    "mae": ("mas", "Mean of the lengths of the residuals"),
    "rms_ra": ("mas", "Root mean square of the residuals to the east"),
    "rms_dec": ("mas", "Root mean square of the residuals to the north"),
    "match_radius": ("mas", "Pairs are no farther apart than this"),
    "false_probability": ("", "Probability that chance alone gives as many pairs"),
    "shift_ra": ("mas", "Shift to the east on the common plane"),
    "shift_dec": ("mas", "Shift to the north on the common plane"),
    "rotation_x": ("deg", "Rotation of the axis to the east, towards north"),
    "rotation_y": ("deg", "Rotation of the axis to the north, towards west"),
    "scale_x": ("", "Scale of the axis to the east"),
    "scale_y": ("", "Scale of the axis to the north"),
    "skew": ("deg", "Rotation of y minus that of x"),
    "error_shared": ("mas", "Typical size of what all exposures share and none sees, which is in no stated error"),
    "error_ra": ("mas", "Stated error to the east in the middle of the image, after both stages"),
    "error_dec": ("mas", "Stated error to the north in the middle of the image, after both stages"),
    "pattern": ("mas", "What the residuals of the image have beyond noise, root mean square per axis"),
}
_WHOLE = ("n_matched", "n_used", "n_clipped")

#: How many digits a person wants to see; files have them all.
FIT_DIGITS = (
    dict.fromkeys((name for name, (unit, _) in _FITS.items() if unit == "mas"), ".2f")
    | dict.fromkeys(("rotation_x", "rotation_y", "skew"), ".5f")
    | {"scale_x": ".7f", "scale_y": ".7f", "false_probability": ".1g"}
)


def summary_table(records: Sequence[ImageRecord]) -> Table:
    """A row per image and stage that was asked for.

    Parameters
    ----------
    records : sequence of ImageRecord
        Of all images.

    Returns
    -------
    Table
        With units and descriptions. Where there was no fit, numbers are NaN, whole numbers masked, and the outcome
        says why.
    """
    rows = [_fit_row(record, stage) for record in records for stage in record.asked]
    table = Table(masked=False)
    for name, (unit, meaning) in _FITS.items():
        values = [row[name] for row in rows]
        if name in _WHOLE:
            none = [value is None for value in values]
            column = MaskedColumn([value or 0 for value in values], mask=none, dtype=int) if any(none) else values
            table[name] = np.asarray(column, dtype=int) if column is values else column
        else:
            table[name] = np.array(values, dtype=float if isinstance(values[0], float) else str) if rows else []
        table[name].description = meaning
        if unit:
            table[name].unit = unit
    return table


def _fit_row(record: ImageRecord, stage: StageRecord) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_FITS, np.nan) | dict.fromkeys(_WHOLE)
    row |= {"image": record.name, "group": record.group, "stage": stage.stage.value, "status": record.status.value}
    row |= {"outcome": stage.outcome.name, "reason": stage.reason, "reference": stage.matched_with, "geometry": ""}
    if stage.fit is not None:
        fit, moved = stage.fit, stage.fit.transformation
        row |= {name: getattr(fit, name) for name in ("geometry", *_WHOLE, "rms", "mae", "rms_ra", "rms_dec")}
        row |= {"match_radius": fit.match_radius, "false_probability": fit.false_probability, "skew": moved.skew}
        row["shift_ra"], row["shift_dec"] = moved.shift
        row["rotation_x"], row["rotation_y"] = moved.rotation
        row["scale_x"], row["scale_y"] = moved.scale
    if record.stated_error is not None:
        row["error_ra"], row["error_dec"] = record.stated_error.centre
        row["error_shared"] = record.stated_error.shared
    if record.pattern is not None:
        row["pattern"] = record.pattern.size
    return row


#: Columns of the table of matches that are numbers, in their order: unit and meaning.
_MATCHES = {
    "x": ("pix", "Place of the source on the detector, first pixel 0"),
    "y": ("pix", "Place of the source on the detector, first pixel 0"),
    "plane_x": ("arcsec", "The source on the common plane before the fit, east"),
    "plane_y": ("arcsec", "The source on the common plane before the fit, north"),
    "ref_plane_x": ("arcsec", "Its partner on the common plane, east"),
    "ref_plane_y": ("arcsec", "Its partner on the common plane, north"),
    "ra": ("deg", "Right ascension of the source after the fit"),
    "dec": ("deg", "Declination of the source after the fit"),
    "ref_ra": ("deg", "Right ascension of its partner"),
    "ref_dec": ("deg", "Declination of its partner"),
    "residual_ra": ("mas", "Partner minus source after the fit, to the east"),
    "residual_dec": ("mas", "Partner minus source after the fit, to the north"),
    "mag": ("mag", "Instrumental magnitude of the source"),
}


#: How many digits a person wants to see; files have them all.
MATCH_DIGITS = (
    {name: {"pix": ".2f", "arcsec": ".4f", "deg": ".7f"}.get(unit, ".2f") for name, (unit, _) in _MATCHES.items()}
    | {"weight": ".4g"}
)  # fmt: skip


def match_table(
    catalog: SourceCatalog, xy: Floats, stages: Sequence[tuple[StageResult, Affine]], plane: TangentPlane
) -> Table:
    """The matches of one image in each stage.

    Parameters
    ----------
    catalog : SourceCatalog
        The image's sources.
    xy : (N, 2) float array
        The same on the plane before any correction, arcsec.
    stages : sequence of (StageResult, Affine)
        Each with the correction that had been made before it.
    plane : TangentPlane
        The common plane.

    Returns
    -------
    Table
        Positions of image and reference on plane and sky, residuals, instrumental magnitude, weights, and whether the
        pair was clipped. In the absolute stage a star stands at the mean of its detections.
    """
    parts = [_match_columns(catalog, xy, result, before, plane) for result, before in stages]
    names = ("stage", *_MATCHES, "weight", "clipped")
    empty = [np.empty(0, dtype={"stage": "U8", "clipped": bool}.get(name, float)) for name in names]
    columns = [
        np.concatenate([none, *(part[name] for part in parts if part)]) for name, none in zip(names, empty, strict=True)
    ]
    table = Table(columns, names=names)
    for name, (unit, meaning) in _MATCHES.items():
        table[name].unit, table[name].description = unit, meaning
    table["stage"].description = "relative or absolute"
    table["weight"].description = "In the fit"
    table["clipped"].description = "Whether it was not used in the fit"
    return table


def _match_columns(
    catalog: SourceCatalog, xy: Floats, result: StageResult, before: Affine, plane: TangentPlane
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
    positions = np.column_stack([catalog.x[source], catalog.y[source], image, reference])
    sky = np.column_stack([*plane.deproject(fitted), *plane.deproject(reference)])
    magnitude = magnitudes(catalog.flux)[source]
    columns: dict[str, Any] = dict(zip(_MATCHES, np.column_stack([positions, sky, residual, magnitude]).T, strict=True))
    columns["stage"] = np.full(len(ours), result.stage.value)
    columns["weight"] = np.ones(len(ours)) if match.weight is None else match.weight[ours]
    columns["clipped"] = ~fit.used[ours]
    return columns


def shown(table: Table, digits: Mapping[str, str]) -> QTable:
    """A table with quantities, of which only so many digits are shown.

    Parameters
    ----------
    table : Table
        With units.
    digits : mapping of str to str
        Format by column.
    """
    quantities = QTable(table)
    for name, form in digits.items():
        quantities[name].info.format = form
    return quantities


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
