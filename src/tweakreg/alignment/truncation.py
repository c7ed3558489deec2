"""What cutting the longest residuals does to the stated error of a fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq

from tweakreg.plane import Floats

#: Squared limit over the mean square of what is left: 2 for residuals that fill the disc evenly, which tell nothing of
#: their width; so near to it they are taken to be this.
_LEAST_RATIO = 2.2
#: From here on it tells the width well.
_TELLING = 3.5
#: From here on nothing is cut.
_MOST_RATIO = 60.0


def inflation(limits: Sequence[float], passes: Sequence[tuple[int, float]]) -> float:
    """By how much the variance of a fit is larger than the residuals that are left say.

    Parameters
    ----------
    limits : sequence of float
        How long a residual may be: of a pair at all, then in each clipping pass.
    passes : sequence of (int, float)
        How many residuals each left, and the root mean square of their lengths, in the same unit.

    Returns
    -------
    float
        At least 1, which it is where hardly anything was cut.

    Notes
    -----
    Gaussian residuals of variance v per axis that are cut at R have, with ``u = R**2 / (2 v)``, a share
    ``P = 1 - exp(-u)`` left, of variance ``g v``, ``g = 1 - u / (exp(u) - 1)``: the last cut whose residuals do not
    merely fill the disc gives v. The mean of those left is not the mean of as many independent values: the cut is
    about an estimate that is wrong itself. To first order it is the mean of ``psi / P + (1 - g) phi`` over all stars,
    with psi the residuals that are left and phi the influence of the estimate about which was cut; pairs were sought
    until they stayed, which makes it ``psi / (P g)`` (Huber 1981, Robust Statistics, section 6.4).
    """
    cut = np.minimum(limits, limits[0])
    number, rms = np.array(passes).T
    with np.errstate(over="ignore", divide="ignore"):
        ratio = np.where(rms > 0.0, cut**2 / rms**2, np.inf)
    if ratio[-1] > _MOST_RATIO:
        return 1.0
    telling = int(np.flatnonzero((ratio > _TELLING) | (np.arange(len(cut)) == 0))[-1])
    known = float(np.clip(ratio[telling], _LEAST_RATIO, _MOST_RATIO))
    wide = brentq(lambda u: u / _narrowing(u) - known, 1e-3, _MOST_RATIO)
    variance = (
        cut[telling] ** 2 / (2.0 * wide) if np.isfinite(cut[telling]) else rms[telling] ** 2 / (2.0 * _narrowing(wide))
    )
    u = np.clip(cut**2 / (2.0 * variance), 1e-9, _MOST_RATIO)
    share, narrowing = -np.expm1(-u), _narrowing(u)
    influence = np.zeros(len(u))
    influence[0] = 1.0 / (share[0] * narrowing[0])
    for index in range(1, len(u)):
        influence *= 1.0 - narrowing[index]
        influence[index] += 1.0 / share[index]
    smaller = np.minimum(u[:, None], u)
    spread = influence @ (-np.expm1(-smaller) * _narrowing(smaller)) @ influence
    total = number[0] / share[0]
    return float(max(1.0, spread * variance / total / (rms[-1] ** 2 / 2.0 / number[-1])))


def _narrowing(u: Floats | float) -> Floats:
    return np.asarray(1.0 - u / np.expm1(u))
