"""Weighted linear fits between matched stars, with clipping that converges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tweakreg.alignment.truncation import inflation
from tweakreg.errors import SingularFitError
from tweakreg.plane import Floats
from tweakreg.records import Affine, Fit, affine_design

#: Smallest number of stars that determines each geometry.
MIN_STARS = {"shift": 1, "rshift": 2, "rscale": 2, "general": 3}

#: Residuals below this, arcsec, are rounding: nothing is clipped or refused for them.
ROUNDING = 1e-9

#: Number of parameters of each geometry.
FREE_PARAMETERS = {"shift": 2, "rshift": 3, "rscale": 4, "general": 6}

#: A 'general' fit needs stars whose short extent is at least this share of the long one.
MIN_SPREAD = 1e-3

#: From this many stars on, residuals tell whether they have heavy tails: an excess kurtosis above the second number.
_MANY, _HEAVY = 50, 1.0

#: No residual is enlarged by more than the inverse of this because of its leverage.
_LEAST_SHARE = 0.1

#: Positions whose correlation is weaker than this have no common rotation.
MIN_CORRELATION = 0.1


def fit_affine(image: Floats, reference: Floats, weight: Floats | None, geometry: str) -> Affine:
    """Least-squares transformation from image to reference positions.

    Parameters
    ----------
    image, reference : (K, 2) float arrays
        Matched positions, arcsec.
    weight : (K,) float array or None
        Relative weights; stars of weight 0 do not count.
    geometry : str
        'shift'; 'rshift' adds a rotation, 'rscale' also one scale, 'general' all of the matrix.

    Returns
    -------
    Affine
        ``reference = matrix @ image + shift``.

    Raises
    ------
    SingularFitError
        Too few stars, or stars that do not spread enough.

    Notes
    -----
    With positions as complex numbers about their weighted means, the similarity
    ``a z`` has ``a = sum(w conj(z) z') / sum(w |z|**2)``; the rotation is ``a / |a|``,
    which is Kabsch's solution in two dimensions (Acta Cryst. A32, 922, 1976).
    """
    w = np.ones(len(image)) if weight is None else np.asarray(weight, dtype=float)
    _check_spread(image, w, geometry)
    mean_image = np.average(image, axis=0, weights=w)
    mean_reference = np.average(reference, axis=0, weights=w)
    if geometry == "shift":
        matrix = np.eye(2)
    elif geometry == "general":
        root = np.sqrt(w)[:, None]
        solution = np.linalg.lstsq(root * (image - mean_image), root * (reference - mean_reference), rcond=None)
        matrix = solution[0].T
    else:
        z = (image - mean_image) @ (1.0, 1.0j)
        target = (reference - mean_reference) @ (1.0, 1.0j)
        power = np.sum(w * np.abs(z) ** 2)
        a = np.sum(w * np.conj(z) * target) / power
        correlation = abs(a) * np.sqrt(power / max(np.sum(w * np.abs(target) ** 2), np.finfo(float).tiny))
        if correlation < MIN_CORRELATION:
            raise SingularFitError(geometry, len(image), float(correlation))
        a = a / abs(a) if geometry == "rshift" else a
        matrix = np.array([[a.real, -a.imag], [a.imag, a.real]])
    return Affine(matrix=matrix, shift=mean_reference - matrix @ mean_image)


def _check_spread(image: Floats, weight: Floats, geometry: str) -> None:
    """Refuse stars that leave the transformation undetermined."""
    used = image[weight > 0.0]
    if len(used) < MIN_STARS[geometry]:
        raise SingularFitError(geometry, len(used), 0.0)
    if geometry == "shift":
        return
    extent = np.linalg.svd(used - used.mean(axis=0), compute_uv=False)
    condition = float(extent[-1] / extent[0]) if extent[0] > 0.0 else 0.0
    # A line determines a rotation, a point does not: below a micro-arcsec it is a point.
    if extent[0] < 1e-6 or (geometry == "general" and condition < MIN_SPREAD):
        raise SingularFitError(geometry, len(used), condition)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipping:
    """Which residuals are too long to belong to a fit.

    Attributes
    ----------
    nclip : int
        Largest number of clipping passes.
    sigma : float
        Clipping limit in units of the rms.
    accumulate : bool
        Whether clipped stars may not come back.
    normalised : bool
        Whether the weights are inverse variances: a residual then counts in units of its own error.
    radius : float
        Pairs are no farther apart than this, arcsec.
    """

    nclip: int
    sigma: float
    accumulate: bool = False
    normalised: bool = False
    radius: float = np.inf


def fit_clipped(image: Floats, reference: Floats, weight: Floats | None, geometry: str, clipping: Clipping) -> Fit:
    """Fit, clip residuals longer than ``sigma * rms``, and repeat.

    Every pass tests all the stars again, so a star that was clipped too early comes
    back; with `accumulate` it stays out. A pass that would return to an earlier
    selection ends in a cycle: from then on stars stay out, which always ends.

    Parameters
    ----------
    image, reference, weight, geometry
        As for `fit_affine`.
    clipping : Clipping
        Which residuals are too long.

    Returns
    -------
    Fit
        Of the stars that are left.

    Raises
    ------
    SingularFitError
        As for `fit_affine`.
    """
    accumulate, sigma = clipping.accumulate, clipping.sigma
    valid = np.ones(len(image), dtype=bool) if weight is None else np.asarray(weight) > 0.0
    used = valid
    seen = {used.tobytes()}
    passes, limits, typicals = [], [clipping.radius], []
    for remaining in range(clipping.nclip, -1, -1):
        part = None if weight is None else weight[used]
        affine = fit_affine(image[used], reference[used], part, geometry)
        length = np.linalg.norm(reference - affine(image), axis=1)
        rms = float(np.sqrt(np.average(length[used] ** 2, weights=part)))
        passes.append((int(used.sum()), rms))
        typical, unit = rms, np.ones(len(length))
        if clipping.normalised and weight is not None:
            unit = np.sqrt(np.maximum(weight, 1e-300) / np.median(weight[used]))
            typical = float(np.sqrt(np.mean((unit * length)[used] ** 2)))
        typicals.append((passes[-1][0], typical))
        keep = valid & (unit * length <= sigma * typical + ROUNDING)
        if accumulate:
            keep &= used
        if remaining == 0 or (keep == used).all() or keep.sum() < MIN_STARS[geometry]:
            break
        if keep.tobytes() in seen:
            accumulate = True
            keep &= used
            if (keep == used).all() or keep.sum() < MIN_STARS[geometry]:
                break
        seen.add(keep.tobytes())
        used = keep
        limits.append(sigma * typical)
    mae = float(np.average(length[used], weights=part))
    residual = reference[used] - affine(image[used])
    rms_axes = np.sqrt(np.average(residual**2, axis=0, weights=part))
    covariance = inflation(limits, typicals) * _covariance(image[used], residual, part, affine, geometry)
    return Fit(
        affine=affine,
        covariance=covariance,
        used=used,
        rms=rms,
        rms_axes=rms_axes,
        mae=mae,
        geometry=geometry,
        passes=tuple(passes),
    )


def _covariance(image: Floats, residual: Floats, weight: Floats | None, affine: Affine, geometry: str) -> Floats:
    """Covariance (6, 6) of matrix and shift, from the residuals.

    The fit's free parameters p are tangent directions at the solution; with the design
    matrix J the covariance is ``s**2 (J' W J)**-1``, ``s**2 = r' W r / (2 K - len(p))``.
    Where the residuals have heavy tails, or weights say what they may not keep, it is
    White's sandwich ``(J' W J)**-1 (J' W diag(r**2) W J) (J' W J)**-1``, which asks for
    neither Gaussian nor equal errors (Econometrica 48, 817, 1980). A star of much weight draws the
    fit to itself: its residual is divided by one minus its leverage (MacKinnon and White 1985,
    Journal of Econometrics 29, 305, HC3).
    """
    w: Floats = np.ones(len(image)) if weight is None else np.asarray(weight, dtype=float)
    free = directions(affine, geometry)
    jacobian = (affine_design(image) @ free.T).reshape(-1, len(free))
    freedom = 2 * len(image) - len(free)
    if freedom <= 0:
        return np.full((6, 6), np.inf)
    w, r = np.repeat(w, 2), residual.ravel()
    inverse = np.linalg.pinv(jacobian.T @ (w[:, None] * jacobian), hermitian=True)
    if len(image) >= _MANY and (weight is not None or _kurtosis(r) > _HEAVY):
        leverage = w * np.sum(jacobian @ inverse * jacobian, axis=1)
        scores = jacobian * (w * r / np.maximum(1.0 - leverage, _LEAST_SHARE))[:, None]
        parameters: Floats = inverse @ (scores.T @ scores) @ inverse
    else:
        parameters = np.asarray(inverse * (float(np.sum(w * r**2)) / freedom), dtype=float)
    return np.asarray(free.T @ parameters @ free)


def _kurtosis(residual: Floats) -> float:
    """Excess kurtosis, 0 for a Gaussian."""
    power = float(np.mean(residual**2))
    return float(np.mean(residual**4)) / power**2 - 3.0 if power > 0.0 else 0.0


def directions(affine: Affine, geometry: str) -> Floats:
    """Rows: how (m11, m12, m21, m22, s1, s2) change with each free parameter of the geometry."""
    shifts = np.eye(6)[4:]
    (a, b), (c, d) = affine.matrix
    turn = np.array([[-c, -d, a, b, 0.0, 0.0]])
    grow = np.array([[a, b, c, d, 0.0, 0.0]])
    extra = {"shift": np.empty((0, 6)), "rshift": turn, "rscale": np.vstack([turn, grow]), "general": np.eye(6)[:4]}
    return np.vstack([extra[geometry], shifts])


def combined_weight(image: Floats | None, reference: Floats | None) -> Floats | None:
    """Weights of matched pairs: ``1/w = 1/w_image + 1/w_reference``, or the one side's that has them."""
    if image is None or reference is None:
        return image if reference is None else reference
    total = image + reference
    product: Floats = np.where(total > 0.0, image * reference / np.where(total > 0.0, total, 1.0), 0.0)
    return product
