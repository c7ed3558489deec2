"""How likely it is that chance alone made a match."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from tweakreg.plane import Floats

#: A match is refused as ambiguous when chance explains it with more than this probability ...
MAX_FALSE_PROBABILITY = 1e-3
#: ... or when a second offset, elsewhere, has more than this share of the best one's excess of pairs.
MAX_RIVAL_SHARE = 0.7


def chance_probability(n_pairs: ArrayLike, expected: ArrayLike, trials: float) -> Floats:
    """Probability that the best of many places has this many pairs by chance.

    Parameters
    ----------
    n_pairs : array_like of int
        Pairs found.
    expected : array_like of float
        Pairs that chance gives on average, Poisson distributed.
    trials : float
        Number of independent places that were looked at.

    Returns
    -------
    float array
        ``1 - (1 - p)**trials``, Sidak's correction of the Poisson tail p.
    """
    tail = stats.poisson.sf(np.asarray(n_pairs) - 1, expected)
    return np.asarray(-np.expm1(max(trials, 1.0) * np.log1p(-np.minimum(tail, 1.0 - 1e-12))))
