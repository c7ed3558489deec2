"""One catalog out of repeated detections."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import field
from tweakreg.alignment.merge import MergedCatalog
from tweakreg.records import Sources


def test_repeated_detections_are_averaged_not_dropped():
    rng = np.random.default_rng(0)
    star = field(100).xy
    visits = [star + rng.normal(scale=0.01, size=star.shape) for _ in range(16)]
    stars = MergedCatalog(Sources(xy=visits[0]))
    for xy in visits[1:]:
        stars.add(Sources(xy=xy), radius=0.1)
    assert len(stars.sources) == 100
    assert np.allclose(stars.sources.xy, np.mean(visits, axis=0), atol=1e-12)


def test_merging_keeps_new_stars_and_sums_weights():
    stars = MergedCatalog(Sources(xy=np.zeros((1, 2)), weight=np.array([1.0])))
    stars.add(Sources(xy=np.array([[0.3, 0.0], [5.0, 0.0]]), weight=np.array([2.0, 1.0])), radius=0.5)
    assert stars.sources.xy == pytest.approx(np.array([[0.2, 0.0], [5.0, 0.0]]))
    assert stars.sources.weight == pytest.approx([3.0, 1.0])
    stars.add(Sources(xy=np.array([[5.2, 0.0]])), radius=0.5)
    assert stars.sources.weight is None
    assert stars.sources.xy == pytest.approx(np.array([[0.2, 0.0], [5.1, 0.0]]))


def test_errors_of_averaged_stars_are_those_of_their_detections():
    """The stated error is that of the mean, whether a star is seen in ten exposures or in one."""
    rng = np.random.default_rng(5)
    truth = field(400, seed=5).xy
    stars = MergedCatalog(Sources(xy=truth + rng.normal(scale=0.01, size=truth.shape)))
    for _ in range(9):
        seen = np.arange(400) < 300
        stars.add(Sources(xy=truth[seen] + rng.normal(scale=0.01, size=(300, 2))), 0.1)
    result = stars.sources_with_errors
    assert stars.sources.variance is None
    assert np.sqrt(result.variance[:300]) == pytest.approx(0.01 / np.sqrt(10.0), rel=0.05)
    assert np.sqrt(result.variance[300:]) == pytest.approx(0.01, rel=0.05)
    normalised = (result.xy[:400] - truth)[:300] / np.sqrt(result.variance[:300, None])
    assert np.std(normalised) == pytest.approx(1.0, abs=0.1)
