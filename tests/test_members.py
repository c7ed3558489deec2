"""Images of one group that lie on each other have their common stars at the same places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers import BOX, RELATIVE, field, image
from tweakreg.alignment.members import disagreements
from tweakreg.records import Sources


def pair(offset, noise=0.002, n=80, seed=0):
    """Two images of one group; the second has the stars `offset` arcsec farther east."""
    stars = field(n, seed=seed)
    moved = Sources(xy=stars.xy + [offset, 0.0])
    return [
        image("a", stars, noise=noise, seed=seed),
        replace(image("bb", moved, noise=noise, seed=seed, width=64.0), group="a", footprint=BOX),
    ]


@pytest.mark.parametrize("offset", [0.004, 0.02, 0.3, 0.6])
def test_an_offset_is_measured(offset):
    (found,) = disagreements(pair(offset), RELATIVE)
    assert found.probability < 1e-5
    assert found.offset == pytest.approx([offset, 0.0], abs=0.001)


def test_noise_is_no_offset():
    probabilities = [next(disagreements(pair(0.0, seed=seed), RELATIVE)).probability for seed in range(200)]
    assert np.mean(np.array(probabilities) < 0.05) < 0.1
    assert min(probabilities) > 1e-5


def test_other_stars_and_no_stars_say_nothing():
    one, _ = pair(0.0)
    _, other = pair(0.0, seed=1)
    empty = replace(other, sources=Sources(xy=np.empty((0, 2))))
    assert list(disagreements([one, other], RELATIVE)) == []
    assert list(disagreements([one, empty], RELATIVE)) == []
