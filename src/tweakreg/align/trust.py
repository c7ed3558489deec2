"""How likely it is that chance alone made a match."""

from __future__ import annotations

import numpy as np
from scipy import stats

#: A match is refused as ambiguous when chance explains it with more than this probability ...
MAX_FALSE_PROBABILITY = 1e-3
#: ... or when a second offset, elsewhere, has more than this share of the best one's excess of pairs.
MAX_RIVAL_SHARE = 0.7


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
    The best place is sought everywhere, not only side by side. Clumps of n or more
    pairs then occur at a rate of about ``n_places (n - expected)**2 P(n or more)``, the
    scan statistic of Alm (1997), Advances in Applied Probability 29, 1, for windows
    that are small against the area.
    """
    tail = float(stats.poisson.sf(n_pairs - 1, expected))
    places = max(n_places, 1.0) * max(n_pairs - expected, 1.0) ** 2
    return float(-np.expm1(-places * tail))
