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
    The image is divided into cells, and the share of the weighted sum of squares that the means of the cells explain is
    compared with what it would be if residuals pointed anywhere, whatever their lengths: its mean and variance follow
    from these, and it is taken to be distributed as the beta of the same mean and variance, which is the F-test where
    all are alike. So neither errors of unknown size nor wrong weights make a pattern. What the means have beyond
    their noise is the pattern's mean square. It needs no model of the pattern, and costs no star of a fit. Few
    residuals do not fill cells: a polynomial of second order is asked in the same way. The whole
    image as one cell is asked as well, and the probability is that of the best of three.
    """
    weight = np.ones(len(residual)) if weight is None else np.asarray(weight, dtype=float)
    keep = _near(residual) & (weight > 0.0)
    places, residual, weight = places[keep], residual[keep], weight[keep]
    if len(residual) < _LEAST:
        return None
    side = int(np.clip(np.sqrt(len(residual) / _PER_CELL), 1, _MOST_CELLS))
    seen = [_explained(_cells(places, each), residual, weight, known) for each in sorted({1, side})]
    powers = _powers(places, "distortion")[:, 1:]
    if len(residual) - powers.shape[1] > _LEAST // 2:
        centred = powers - np.average(powers, axis=0, weights=weight)
        seen.append(_explained(centred, residual - np.average(residual, axis=0, weights=weight), weight, 0.0))
    probability, variance = min(seen, key=lambda each: each[0])
    return Pattern(
        probability=min(1.0, len(seen) * probability),
        variance=variance,
        term=_term(places, residual, weight),
    )


def _cells(places: Floats, side: int) -> Floats:
    """Which residual is in which of the cells that hold any, (N, C): 1 or 0."""
    index = np.clip((places * side).astype(int), 0, side - 1)
    number = index[:, 0] * side + index[:, 1]
    return np.asarray(number[:, None] == np.unique(number), dtype=float)


def _explained(design: Floats, residual: Floats, weight: Floats, known: Floats | float) -> tuple[float, Floats]:
    """Probability that a linear model explains as much of residuals that point anywhere, and its mean square.

    With z the residuals times the roots of their weights, as complex numbers, and U orthonormal columns of the weighted
    design, ``z' U U' z`` has for random phases of z the mean ``sum of h_i |z_i|**2`` and the variance ``sum over i != j
    of h_ij**2 |z_i|**2 |z_j|**2``, with h the elements of ``U U'``. Variance that is `known` already, of
    means, is taken out as from an F-statistic.
    """
    root = np.sqrt(weight)[:, None]
    base = np.linalg.svd(root * design, full_matrices=False)
    columns = base.U[:, 1e-9 * base.S.max() < base.S]
    weighted = root * residual
    square = np.sum(weighted**2, axis=1)
    total, rank = float(square.sum()), columns.shape[1]
    fitted = columns @ (columns.T @ weighted)
    freedom = 2 * (len(residual) - rank)
    noise = max(float(np.sum((weighted - fitted) ** 2)) / freedom, 1e-24)
    explained = np.sum(fitted**2, axis=0)
    beyond = np.maximum(0.0, (explained - rank * noise) / weight.sum() - known)
    ratio = float(explained.sum()) / (2.0 * rank * (noise + float(np.mean(known)) * weight.sum() / rank))
    share = 2.0 * rank * ratio / (2.0 * rank * ratio + freedom)
    if total == 0.0:
        return 1.0, beyond
    leverage = np.sum(columns**2, axis=1)
    crossed = columns.T @ (square[:, None] * columns)
    mean = float(np.sum(leverage * square)) / total
    variance = float(np.sum(crossed**2) - np.sum((leverage * square) ** 2)) / total**2
    size = mean * (1.0 - mean) / max(variance, 1e-30) - 1.0
    return float(stats.beta.sf(share, max(mean * size, 1e-3), max((1.0 - mean) * size, 1e-3))), beyond


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
