"""How likely it is that chance alone made a match."""

from __future__ import annotations

import numpy as np
from scipy import stats

from tweakreg.alignment.fit import FREE_PARAMETERS, MIN_STARS, ROUNDING, fit_affine
from tweakreg.errors import SingularFitError
from tweakreg.plane import Floats


def scan_probability(n_pairs: int, expected: float, n_places: float) -> float:
    """Probability that chance gives this many pairs somewhere in the area that was searched.

    Parameters
    ----------
    n_pairs : int
        Pairs found at the best place.
    expected : float
        Pairs that chance gives at one place on average, Poisson distributed.
    n_places : float
        Number of places side by side in the area that was searched.

    Returns
    -------
    float

    Notes
    -----
    The best place is sought everywhere, not only side by side, which makes clumps more
    frequent than ``n_places`` independent draws: by the excess in standard deviations,
    as for the level crossings of a random function (Rice 1945, Bell System Technical
    Journal 24, 46). On random catalogs of 20 to 300 sources this states the
    probability about twice too high; on denser ones, whose nearest pairs exclude each
    other, it is higher still: it errs on the side of refusing.
    """
    tail = float(stats.poisson.sf(n_pairs - 1, expected))
    excess = (n_pairs - expected) / np.sqrt(max(expected, 1.0))
    places = max(n_places, 1.0) * max(excess, 1.0)
    return float(-np.expm1(-places * tail))


def held_out_worsening(
    image: Floats, reference: Floats, weight: Floats | None, geometry: str, n_folds: int = 5
) -> float:
    """How much worse a fit makes the stars that it did not see, in standard errors.

    Parameters
    ----------
    image, reference : (K, 2) float arrays
        Matched positions, arcsec.
    weight : (K,) float array or None
        In the fit; the judgement counts all stars alike, so that wrong weights show.
    geometry : str
        As for `tweakreg.alignment.fit.fit_affine`.
    n_folds : int
        Each star is held out once, with ``K / n_folds`` others.

    Returns
    -------
    float
        Mean increase of the squared residual over the input positions, divided by its
        standard error; minus infinity where there are too few stars to hold any out.

    Notes
    -----
    Every fit carries the noise of its own parameters into the stars that it did not
    see, about ``p / K`` of their variance for p parameters. All folds share it, so the
    standard error does not know of it: an increase of less than five times as much
    counts as none.
    """
    n = len(image)
    if n - -(-n // n_folds) < MIN_STARS[geometry] + 1:
        return -np.inf
    fold = np.random.default_rng(0).permutation(n) % n_folds
    before = np.sum((reference - image) ** 2, axis=1)
    increase = np.zeros(n)
    for held in (fold == number for number in range(n_folds)):
        try:
            part = None if weight is None else weight[~held]
            affine = fit_affine(image[~held], reference[~held], part, geometry)
        except SingularFitError:
            return -np.inf
        increase[held] = np.sum((reference[held] - affine(image[held])) ** 2, axis=1) - before[held]
    own_noise = 5.0 * FREE_PARAMETERS[geometry] / n * np.mean(before)
    if np.mean(increase) <= max(own_noise, ROUNDING**2):
        return 0.0
    scatter = float(np.std(increase, ddof=1))
    return float(np.mean(increase) / (scatter / np.sqrt(n))) if scatter > 0.0 else np.inf
