"""A correction on the common plane becomes a ``v2v3corr`` frame in a GWCS."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from tweakreg.errors import WCSError
from tweakreg.plane import Floats, TangentPlane
from tweakreg.records import Affine
from tweakreg.wcs.footprint import Bounds, sky

#: Points per side on which a correction is carried from the common plane into the detector's.
_GRID = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class TelescopeAngles:
    """Where a detector's reference point lies in the telescope's frame.

    Attributes
    ----------
    v2_ref, v3_ref : float
        arcsec.
    roll_ref : float
        degrees.
    telescope : str
        'jwst' or 'roman': a correction bears its label, and its pipeline refuses that of another.
    """

    v2_ref: float
    v3_ref: float
    roll_ref: float
    telescope: str = "jwst"


def check_wcs(wcs: Any) -> None:
    """Refuse a WCS that cannot be corrected.

    Raises
    ------
    WCSError
        There is no WCS, or no V2-V3 frame in it.
    """
    if wcs is None or not hasattr(wcs, "available_frames"):
        raise WCSError("there is no GWCS: run assign_wcs first")
    frames = wcs.available_frames
    if "v2v3" not in frames:
        raise WCSError(f"its frames are {', '.join(map(str, frames))}: there is no 'v2v3'")


def correct(wcs: Any, angles: TelescopeAngles, correction: Affine, plane: TangentPlane, bounds: Bounds) -> Any:
    """Insert a correction into a WCS, or compose it with the one that is there.

    Parameters
    ----------
    wcs : gwcs.WCS
        Not changed.
    angles : TelescopeAngles
        Of the detector. A WCS that was corrected before brings its own.
    correction : Affine
        ``reference = matrix @ image + shift`` on `plane`.
    plane : TangentPlane
        The common plane.
    bounds : Bounds
        Pixels over which the correction must hold.

    Returns
    -------
    gwcs.WCS
        With frame ``v2v3corr``; bounding box, array and pixel shape and name as before.

    Raises
    ------
    WCSError
        As for `check_wcs`, or its frames are in an order that cannot be corrected.

    Notes
    -----
    The correction is affine on the common plane; in the detector's own tangent plane it
    is so only to first order. The affine there is fitted to the corrected positions of
    pixels all over the detector, so that nothing is extrapolated from the origin of the
    common plane, which may be far away.
    """
    check_wcs(wcs)
    used = _angles_of_correction(wcs) or angles
    corrector = make_corrector(wcs, used)
    local = _to_detector_plane(wcs, used, correction, plane, bounds)
    corrector.set_correction(matrix=local.matrix, shift=local.shift)
    return dressed_as(corrector.wcs, wcs)


def dressed_as(new: Any, old: Any) -> Any:
    """A WCS with the name, bounding box and shapes of another."""
    new.name = old.name
    new.bounding_box = deepcopy(old.bounding_box)
    new.array_shape, new.pixel_shape = old.array_shape, old.pixel_shape
    return new


def is_corrected(wcs: Any) -> bool:
    """Whether a WCS has a tangent-plane correction."""
    return "v2v3corr" in wcs.available_frames


def correction_of(wcs: Any) -> Any:
    """The transform of a corrected WCS that is its correction."""
    return wcs.pipeline[wcs.available_frames.index("v2v3corr") - 1].transform


def uncorrected(wcs: Any) -> Any:
    """The WCS before its tangent-plane correction, which is one step of its pipeline; shapes and bounds as before.

    Raises
    ------
    WCSError
        Its correction was not made by a tangent-plane correction.
    """
    from gwcs import WCS

    if not is_corrected(wcs):
        return wcs
    _angles_of_correction(wcs)
    frames = wcs.available_frames
    place = frames.index("v2v3corr")
    steps = [(step.frame, step.transform) for step in deepcopy(wcs.pipeline)]
    steps[place - 1] = (steps[place - 1][0], steps[place][1])
    del steps[place]
    return dressed_as(WCS(steps), wcs)


def make_corrector(wcs: Any, angles: TelescopeAngles) -> Any:
    """The corrector of tweakwcs for a WCS; one that was corrected before keeps the label of its correction."""
    from tweakwcs.correctors import JWSTWCSCorrector, RomanWCSCorrector

    known = {"jwst": JWSTWCSCorrector, "roman": RomanWCSCorrector}
    label = correction_of(wcs).name if is_corrected(wcs) else ""
    kind = next((each for each in known.values() if each.corrector_name == label), known[angles.telescope])
    info = {"v2_ref": float(angles.v2_ref), "v3_ref": float(angles.v3_ref), "roll_ref": float(angles.roll_ref)}
    try:
        return kind(wcs, info)
    except ValueError as error:
        raise WCSError(" ".join(map(str, error.args))) from error


def reference_angles(wcs: Any) -> TelescopeAngles:
    """The reference angles that a corrected WCS brings.

    Raises
    ------
    WCSError
        It was not corrected.
    """
    angles = _angles_of_correction(wcs)
    if angles is None:
        raise WCSError("a WCS alone says where its detector is only if it was corrected: give the datamodel")
    return angles


def _angles_of_correction(wcs: Any) -> TelescopeAngles | None:
    """The angles of an earlier correction: rounded metadata need not agree with them to the last digit."""
    if not is_corrected(wcs):
        return None
    transform = correction_of(wcs)
    try:
        v2, v3, roll = transform["det_to_optic_axis"].angles.value
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        raise WCSError("its 'v2v3corr' frame was not made by a tangent-plane correction") from error
    return TelescopeAngles(v2_ref=3600.0 * v2, v3_ref=-3600.0 * v3, roll_ref=roll)


def _to_detector_plane(
    wcs: Any, angles: TelescopeAngles, correction: Affine, plane: TangentPlane, bounds: Bounds
) -> Affine:
    """The affine in the detector's tangent plane (arcsec) that moves its pixels as the correction does.

    The plane is that of the frame just before the sky. tweakwcs' own tangent-plane
    coordinates apply an earlier correction once more, so that a second one would be
    turned by the first.
    """
    (xmin, xmax), (ymin, ymax) = bounds
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(xmin, xmax, _GRID), np.linspace(ymin, ymax, _GRID)))
    before = plane.project(*sky(wcs, x, y))
    origin = _tangent(wcs, angles, plane, before)
    target = _tangent(wcs, angles, plane, correction(before))
    centre = origin.mean(axis=0)
    design = np.column_stack([origin - centre, np.ones(len(origin))])
    # The small displacements are fitted, not the positions: that keeps micro-arcsec.
    solution = np.linalg.lstsq(design, target - origin, rcond=None)[0]
    matrix = np.eye(2) + solution[:2].T
    return Affine(matrix=matrix, shift=solution[2] - solution[:2].T @ centre)


def _tangent(wcs: Any, angles: TelescopeAngles, plane: TangentPlane, xy: Floats) -> Floats:
    """Positions on the common plane in the plane that touches the V2-V3 sphere at the reference point."""
    frames = wcs.available_frames
    last = next(name for name in ("v2v3corr", "v2v3vacorr", "v2v3") if name in frames)
    v2, v3 = wcs.get_transform(frames[-1], last)(*plane.deproject(xy))
    local = TangentPlane(ra=angles.v2_ref / 3600.0, dec=angles.v3_ref / 3600.0).project(v2 / 3600.0, v3 / 3600.0)
    turn = Affine(matrix=_rotation(angles.roll_ref))
    return turn(local)


def _rotation(degrees: float) -> Floats:
    a = np.radians(degrees)
    return np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
