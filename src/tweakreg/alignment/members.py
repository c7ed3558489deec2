"""Images of one group that lie on each other: do they have their common stars at the same places?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tweakreg.alignment.match import find_offset, mutual_pairs
from tweakreg.alignment.overlap import outline, overlap_areas
from tweakreg.plane import Floats
from tweakreg.records import PlaneImage, StageConfig

#: Chance may not give as many pairs at one offset more often than this.
_CHANCE = 1e-5
#: So many common stars at least.
_FEWEST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Two images of a group, and how far apart they have their common stars.

    Attributes
    ----------
    first, second : PlaneImage
        The images.
    offset : (2,) float array
        Of the second from the first, arcsec.
    probability : float
        That noise alone does it.
    """

    first: PlaneImage
    second: PlaneImage
    offset: Floats
    probability: float


def disagreements(members: Sequence[PlaneImage], config: StageConfig) -> Iterator[Disagreement]:
    """Compare the images of a group that lie on each other.

    Parameters
    ----------
    members : sequence of PlaneImage
        They receive one correction, so that it does not matter here.
    config : StageConfig
        Its tolerance is the largest offset that is looked for.

    Yields
    ------
    Disagreement
        Of each two that have stars in common; its probability says whether it is one. The offset's F-statistic is its
        square over that of its standard error (Hotelling's test for equal variances along both axes).
    """
    areas = overlap_areas({index: outline(each) for index, each in enumerate(members)})
    for one, other in zip(*np.nonzero(np.triu(areas)), strict=True):
        first, second = members[one], members[other]
        difference = _common(first, second, config)
        if len(difference) >= _FEWEST:
            offset = difference.mean(axis=0)
            freedom = 2 * (len(difference) - 1)
            variance = max(float(np.sum((difference - offset) ** 2)) / freedom, 1e-24)
            statistic = len(difference) * float(np.mean(offset**2)) / variance
            probability = float(stats.f.sf(statistic, 2, freedom))
            yield Disagreement(first=first, second=second, offset=offset, probability=probability)


def _common(first: PlaneImage, second: PlaneImage, config: StageConfig) -> Floats:
    """Where the second has the stars of both, less where the first has them; none if they may be so by chance."""
    ours, theirs = second.sources.xy, first.sources.xy
    reach = config.tolerance
    peak = find_offset(
        ours, theirs, searchrad=reach, tolerance=0.2 * reach, bin_size=first.pixel_scale, start=np.zeros(2)
    )
    if peak is None:
        return np.empty((0, 2))
    places = (reach / peak.radius) ** 2
    if places * stats.poisson.sf(peak.n_pairs - 1, peak.expected) > _CHANCE:
        return np.empty((0, 2))
    mine, partner = mutual_pairs(ours - peak.offset, theirs, peak.radius, isolation=0.0)
    difference = ours[mine] - theirs[partner]
    far = np.linalg.norm(difference - np.median(difference, axis=0), axis=1)
    return np.asarray(difference[far <= 3.0 * np.median(far) + 1e-12])
