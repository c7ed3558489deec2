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
