"""Which parts of the sky a run needs stars of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tweakreg.plane import TangentPlane, separation, unit_vectors
from tweakreg.reference.region import cones, near_images


def square(ra, dec, side, roll=0.0):
    """A square footprint, degrees."""
    angle = np.radians(roll) + np.pi / 4.0 + np.pi / 2.0 * np.arange(4)
    corners = side / np.sqrt(2.0) * 3600.0 * np.column_stack([np.cos(angle), np.sin(angle)])
    return TangentPlane(ra=ra, dec=dec).deproject(corners)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.0, 360.0), st.floats(-90.0, 90.0), st.integers(1, 12), st.integers(0, 10_000))
def test_cones_cover_every_image_and_little_more(ra, dec, number, seed):
    rng = np.random.default_rng(seed)
    places = TangentPlane(ra=ra, dec=dec).deproject(rng.normal(scale=200.0, size=(number, 2)))
    images = [square(*place, 0.03, roll) for *place, roll in zip(*places, rng.uniform(0, 90, number), strict=True)]
    found = cones(images, 0.002)
    for image in images:
        covered = [
            (separation(cone.ra, cone.dec, *image) / 3600.0).max() <= cone.radius - 0.002 + 1e-9 for cone in found
        ]
        assert any(covered)
    everything = unit_vectors(*(np.concatenate([image[axis] for image in images]) for axis in (0, 1)))
    widest = np.degrees(np.linalg.norm(everything[:, None] - everything[None], axis=2).max())
    assert max(cone.radius for cone in found) <= 1.02 * widest / np.sqrt(3.0) + 0.0021


@pytest.mark.parametrize("dec", [0.0, 89.99, -89.99])
def test_a_mosaic_of_two_hundred_exposures(dec):
    """At RA = 0 and the poles, in one cone; stars far from the images are left out."""
    steps = 100.0 * (np.arange(200) % 20), 100.0 * (np.arange(200) // 20)
    places = TangentPlane(ra=0.0, dec=dec).deproject(np.column_stack(steps))
    images = [square(*place, 0.02) for place in zip(*places, strict=True)]
    found = cones(images, 0.002)
    rng = np.random.default_rng(0)
    sky = TangentPlane(ra=0.0, dec=dec).deproject(rng.uniform(-3000.0, 3000.0, (20_000, 2)))
    near = near_images(*sky, images, 0.002)
    assert len(found) == 1
    assert 0.0 < near.mean() < 0.4


def test_fields_apart_are_asked_for_one_by_one():
    images = [square(10.0, 0.0, 0.03), square(10.01, 0.0, 0.03), square(15.0, 0.0, 0.03)]
    assert len(cones(images, 0.01)) == 2
    assert max(cone.radius for cone in cones(images, 0.01)) < 0.05
