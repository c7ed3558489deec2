"""Changing a WCS by hand."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from tweakreg.errors import WCSError
from tweakreg.plane import Floats
from tweakreg.wcs.corrector import TelescopeAngles, correction_of, dressed_as, is_corrected, make_corrector


def adjust_wcs(
    wcs: Any, delta_ra: Any = 0.0, delta_dec: Any = 0.0, delta_roll: Any = 0.0, scale_factor: float = 1.0
) -> Any:
    """Turn the sky under an imaging WCS.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of a calibrated JWST image; not changed.
    delta_ra, delta_dec, delta_roll : float or Quantity
        Added to the right ascension, declination and roll of the telescope's reference point; degrees if
        they have no unit.
    scale_factor : float
        Multiplies the scale, in the tangent plane at the reference point.

    Returns
    -------
    gwcs.WCS

    Raises
    ------
    WCSError
        Its last step is not the rotation from V2 and V3 to the sky.

    Notes
    -----
    Signature and meaning are those of ``jwst.tweakreg.utils.adjust_wcs``. The pointing itself changes and not the
    tangent-plane correction, so that ``restart`` does not undo it.
    """
    from gwcs import WCS

    pipeline = [(step.frame, deepcopy(step.transform)) for step in wcs.pipeline]
    last = pipeline[-2][1]
    rotations = [] if last is None or last.n_submodels == 1 else [each for each in last if hasattr(each, "axes_order")]
    if len(rotations) != 1 or rotations[0].axes_order != "zyxyz":
        raise WCSError("the last step of the WCS is not the rotation from V2 and V3 to the sky")
    (rotation,) = rotations
    v2, minus_v3, roll, dec, minus_ra = np.asarray(rotation.angles.value, dtype=float)
    ra_change, dec_change, roll_change = (_degrees(change) for change in (delta_ra, delta_dec, delta_roll))
    rotation.angles = [v2, minus_v3, roll + roll_change, dec + dec_change, minus_ra - ra_change]
    adjusted = WCS(pipeline)
    if scale_factor != 1.0:
        angles = TelescopeAngles(v2_ref=3600.0 * v2, v3_ref=-3600.0 * minus_v3, roll_ref=0.0)
        corrector = make_corrector(adjusted, angles)
        corrector.set_correction(matrix=scale_factor * np.eye(2))
        adjusted = corrector.wcs
    return dressed_as(adjusted, wcs)


def _degrees(angle: Any) -> float:
    return float(angle.to_value("deg")) if hasattr(angle, "to_value") else float(angle)


def transferred(
    to_wcs: Any,
    to_angles: TelescopeAngles,
    from_wcs: Any,
    from_angles: TelescopeAngles,
    matrix: Floats | None,
    shift: Floats | None,
) -> Any:
    """A WCS with the correction of another, or with one given in the other's tangent plane (shift in arcsec).

    Raises
    ------
    ValueError
        Only one of matrix and shift is given.
    WCSError
        Neither is given and the other WCS was not corrected.
    """
    if (matrix is None) != (shift is None):
        raise ValueError("matrix and shift: give both or neither")
    if matrix is None:
        if not is_corrected(from_wcs):
            raise WCSError("the image to transfer from was not corrected: give matrix and shift")
        affine = correction_of(from_wcs)["tp_affine"]
        matrix, shift = affine.matrix.value, np.degrees(affine.translation.value) * 3600.0
    ours, theirs = make_corrector(to_wcs, to_angles), make_corrector(from_wcs, from_angles)
    ours.set_correction(matrix=matrix, shift=shift, ref_tpwcs=theirs)
    return dressed_as(ours.wcs, to_wcs)
