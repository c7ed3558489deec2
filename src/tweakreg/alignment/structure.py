"""Whether residuals have a shape that the fit did not have: of a detector, of a scale, of a distortion."""

from __future__ import annotations

import numpy as np
from scipy import stats

from tweakreg.plane import Bools, Floats, Ints
from tweakreg.records import Pattern

#: Fewer residuals than this tell nothing of a shape.
_LEAST = 12
#: So many cells along a side at most, and so many residuals in each on average at least.
_MOST_CELLS, _PER_CELL = 4, 8
#: A residual farther than this from the middle of all, in robust standard deviations, is no part of a pattern.
_FAR = 6.0
#: Of a Gaussian, the standard deviation over the median of the absolute values.
_MAD = 1.4826

#: Terms that may explain a shape, from the simplest on: which powers of x and y each has.
TERMS = {
    "shift": ((0, 0),),
    "scale and rotation": ((0, 0), (1, 0), (0, 1)),
    "distortion": ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)),
}


def structure(
    places: Floats, residual: Floats, weight: Floats | None = None, known: Floats | float = 0.0
) -> Pattern | None:
    """Look for a pattern in the residuals of an image.

    Parameters
    ----------
    places : (N, 2) float array
        Where they are on the image, each axis from 0 to 1.
    residual : (N, 2) float array
        To the east and north, arcsec.
    weight : (N,) float array, optional
        Inverse variances, up to a factor.
    known : float or (2,) float array
        Variance of the image's place that is stated already, arcsec squared: a mean within it is no pattern.

    Returns
    -------
    Pattern or None
        Whether it is significant, its probability says; None where there are too few residuals to tell.

    Notes
    -----
    The image is divided into cells. If no residual points anywhere in particular, whatever its length, the weighted sum
    of those in a cell has the sum of their squares as its mean square, and over it, it is distributed as an exponential
    (a random walk of Rayleigh's; of few steps it has a shorter tail): over the cells these add up to a gamma
    distribution. So neither errors of unknown size nor wrong weights make a pattern. What the means have beyond
    their noise is the pattern's mean square. It needs no model of the pattern, and costs no star of a fit. Few
    residuals do not fill cells: the scores of a polynomial of second order are asked in the same way. The whole
    image as one cell is asked as well, and the probability is that of the best of three.
    """
    weight = np.ones(len(residual)) if weight is None else np.asarray(weight, dtype=float)
    keep = _near(residual) & (weight > 0.0)
    places, residual, weight = places[keep], residual[keep], weight[keep]
    if len(residual) < _LEAST:
        return None
    side = int(np.clip(np.sqrt(len(residual) / _PER_CELL), 1, _MOST_CELLS))
    seen = [_in_cells(places, residual, weight, known, each) for each in {1, side}]
    seen.append(_smooth(places, residual, weight))
    probability, variance = min(seen, key=lambda each: each[0])
    return Pattern(
        probability=min(1.0, len(seen) * probability),
        variance=variance,
        term=_term(places, residual, weight),
    )


def _in_cells(
    places: Floats, residual: Floats, weight: Floats, known: Floats | float, side: int
) -> tuple[float, Floats]:
    """Probability that noise makes the means of cells differ from 0 as much, and their mean square beyond it."""
    index = np.clip((places * side).astype(int), 0, side - 1)
    cell = np.unique(index[:, 0] * side + index[:, 1], return_inverse=True)[1]
    total = np.bincount(cell, weight)
    mean = np.stack([np.bincount(cell, weight * axis) for axis in residual.T], axis=1) / total[:, None]
    freedom = len(residual) - len(total)
    noise = np.sum(weight[:, None] * (residual - mean[cell]) ** 2) / (2 * freedom)
    variance = max(float(noise), 1e-24) / total[:, None] + known
    square = np.bincount(cell, weight**2 * np.sum(residual**2, axis=1)) + total**2 * np.sum(known * np.ones(2))
    statistic = float(np.sum(np.sum((total[:, None] * mean) ** 2, axis=1) / np.maximum(square, 1e-300)))
    share = total / total.sum()
    beyond = np.maximum(0.0, np.sum(share[:, None] * (mean**2 - variance), axis=0))
    return float(stats.gamma.sf(statistic, len(total))), beyond


def _smooth(places: Floats, residual: Floats, weight: Floats) -> tuple[float, Floats]:
    """The same for a polynomial of second order beyond the mean: what few residuals can tell."""
    fitted, n_terms = _fitted(places, residual, weight, "distortion")
    freedom = len(residual) - n_terms
    if freedom < _LEAST // 2:
        return 1.0, np.zeros(2)
    middle = np.average(residual, axis=0, weights=weight)
    noise = np.sum(weight[:, None] * (residual - fitted) ** 2) / (2 * freedom)
    taken = np.sum(weight[:, None] * (fitted - middle) ** 2, axis=0)
    beyond = np.maximum(0.0, (taken - (n_terms - 1) * noise) / weight.sum())
    powers = _powers(places, "distortion")[:, 1:]
    powers = powers - np.average(powers, axis=0, weights=weight)
    left = residual - middle
    score = (weight[:, None] * powers).T @ left
    scatter = (powers * (weight**2 * np.sum(left**2, axis=1))[:, None]).T @ powers
    statistic = float(np.sum(score * (np.linalg.pinv(scatter, hermitian=True) @ score)))
    return float(stats.gamma.sf(statistic, n_terms - 1)), beyond


def _powers(places: Floats, term: str) -> Floats:
    """The powers of x and y of a term, (N, P)."""
    x, y = (2.0 * places - 1.0).T
    return np.stack([x**a * y**b for a, b in TERMS[term]], axis=1)


def _fitted(places: Floats, residual: Floats, weight: Floats, term: str) -> tuple[Floats, int]:
    """What a term explains of each residual, and how many numbers it has per axis."""
    design = _powers(places, term)
    root = np.sqrt(weight)[:, None]
    solution = np.linalg.lstsq(root * design, root * residual, rcond=None)[0]
    return np.asarray(design @ solution), int(np.linalg.matrix_rank(design))


def _near(residual: Floats) -> Bools:
    """Without the few that are far from all others: false pairs."""
    if len(residual) == 0:
        return np.zeros(0, dtype=bool)
    middle = np.median(residual, axis=0)
    spread = _MAD * np.median(np.abs(residual - middle), axis=0) + 1e-12
    # The spread of a few is itself not well known.
    reach = _FAR * (1.0 + 10.0 / len(residual)) * spread
    return np.asarray((np.abs(residual - middle) <= reach).all(axis=1))


def _term(places: Floats, residual: Floats, weight: Floats) -> str:
    """The simplest term that takes three quarters of what the last one takes."""
    taken = {}
    for term, powers in TERMS.items():
        if len(residual) < 2 * len(powers):
            break
        fitted, n_terms = _fitted(places, residual, weight, term)
        noise = np.sum(weight[:, None] * (residual - fitted) ** 2) / (len(residual) - n_terms)
        taken[term] = float(np.sum(weight[:, None] * fitted**2)) - noise * n_terms
    most = max(taken.values(), default=0.0)
    return next((term for term, value in taken.items() if value >= 0.75 * most), "distortion")


def unpartnered(n_partners: Ints, n_expected: Ints) -> Floats:
    """Probability that a detector has so few partners if they are as frequent as on the others.

    Parameters
    ----------
    n_partners, n_expected : (D,) int arrays
        Of each detector of a group: stars that found a partner, and those that might have.

    Returns
    -------
    (D,) float array
        1 where there is no other detector.
    """
    found = np.asarray(n_partners, dtype=float)
    expected = np.asarray(n_expected, dtype=float)
    others = (found.sum() - found + 1.0) / (expected.sum() - expected + 2.0)
    chance = stats.binom.cdf(found, expected, np.clip(others, 0.0, 1.0))
    return np.asarray(np.where(expected.sum() > expected, chance, 1.0))
