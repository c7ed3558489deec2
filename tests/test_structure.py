"""The shape of residuals: patterns are found, noise is not, and what they are is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import BOX, PLANE, RELATIVE, field, image, turned
from tweakreg import align
from tweakreg.alignment.stages import align_on_plane
from tweakreg.alignment.structure import structure, unpartnered
from tweakreg.records import Outcome, PlaneCatalog, Stage, StageConfig, Status
from tweakreg.simulate import make_scene
from tweakreg.simulate.models import make_models

MAS = 1e-3
ABSOLUTE = StageConfig.of(Stage.ABSOLUTE)


def residuals(pattern, n, *, noise=2.0, seed=0):
    """Places and residuals (arcsec) with a pattern in mas of the places, -1 to 1."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(size=(n, 2))
    x, y = (2.0 * places - 1.0).T
    east, north = pattern(x, y)
    return places, MAS * (np.stack([east + 0 * x, north + 0 * x], axis=1) + rng.normal(scale=noise, size=(n, 2)))


PATTERNS = {
    "shift": lambda x, y: (4.0, -3.0),
    "scale and rotation": lambda x, y: (6.0 * x, 6.0 * y),
    "distortion": lambda x, y: (6.0 * (x**2 - y**2), 12.0 * x * y),
}


@pytest.mark.parametrize("term", PATTERNS)
@pytest.mark.parametrize("n", [40, 150, 600])
def test_patterns_are_found_and_named(term, n):
    for seed in range(10):
        places, residual = residuals(PATTERNS[term], n, seed=seed)
        found = structure(places, residual)
        assert found.probability < 1e-3
        assert found.term == term
        truth = residuals(PATTERNS[term], n, noise=0.0, seed=seed)[1]
        assert found.size == pytest.approx(np.sqrt(np.mean(truth**2)), rel=0.45)


@pytest.mark.parametrize("n", [12, 30, 100, 500])
def test_noise_has_no_pattern(n):
    """The probability that is stated is that of a false alarm."""
    probabilities = []
    for seed in range(400):
        places, residual = residuals(lambda x, y: (0.0, 0.0), n, seed=seed)
        probabilities.append(structure(places, residual).probability)
    assert np.mean(np.array(probabilities) < 0.01) < 0.03
    assert min(probabilities) > 1e-5


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 200), st.integers(0, 1000), st.floats(0.1, 10.0))
def test_the_unit_does_not_matter(n, seed, factor):
    places, residual = residuals(PATTERNS["distortion"], n, seed=seed)
    one, other = structure(places, residual), structure(places, factor * residual)
    assert one.probability == pytest.approx(other.probability, rel=1e-6, abs=1e-12)
    assert other.size == pytest.approx(factor * one.size, rel=1e-6, abs=1e-12)


def test_a_mean_within_the_stated_error_is_no_pattern():
    places, residual = residuals(PATTERNS["shift"], 200)
    assert structure(places, residual).probability < 1e-6
    assert structure(places, residual, known=(5.0 * MAS) ** 2).probability > 0.01


def test_a_few_false_pairs_make_no_pattern():
    places, residual = residuals(lambda x, y: (0.0, 0.0), 200)
    residual[places[:, 0] < 0.03] = 0.3
    assert structure(places, residual).probability > 1e-3


def test_too_few_residuals_tell_nothing():
    assert structure(*residuals(PATTERNS["shift"], 7)) is None


def test_a_detector_without_partners_stands_out():
    chance = unpartnered(np.array([40, 38, 0, 41]), np.array([50, 50, 50, 50]))
    assert chance[2] < 1e-12
    assert chance[[0, 1, 3]].min() > 1e-3
    assert unpartnered(np.array([0]), np.array([50])) == [1.0]


# --- in an alignment -------------------------------------------------------------------------------------------


def two_detectors(offset, noise=1.0):
    """Three exposures of two detectors, of which the second is off by an offset in each."""
    sky = field(900, width=200.0)
    error = turned(0.0, offset)
    images = []
    for number in range(3):
        pointing = turned(0.0, (0.1 * number, -0.1 * number))
        for side, motion in ((-35, pointing), (35, pointing.after(error))):
            name = f"{number}{'a' if side < 0 else 'b'}"
            images.append(
                image(
                    name, sky, (side, 2 * number), str(number), motion, noise=noise * MAS, seed=number + 10 * side % 97
                )
            )
    return sky, images


def test_a_detector_out_of_its_place_is_a_misfit_and_the_relative_solution_stays():
    sky, images = two_detectors((0.02, 0.0))
    alignment = align_on_plane(images, PLANE, RELATIVE, ABSOLUTE, PlaneCatalog(sources=sky))
    for name in "012":
        result = alignment.absolute[name]
        assert result.outcome is Outcome.MISFIT
        assert "abs_group_by=detector" in str(result.detail)
        assert result.detail.numbers["size"] == pytest.approx(10.0, rel=0.3)
        assert alignment.status(name) is Status.FAILED
        assert (alignment.corrections[name].shift == alignment.before_tie[name][0].shift).all()


def test_a_small_pattern_is_in_the_stated_error():
    sky, images = two_detectors((0.006, 0.0))
    alignment = align_on_plane(images, PLANE, RELATIVE, ABSOLUTE, PlaneCatalog(sources=sky))
    for each in images:
        assert alignment.status(each.group) is Status.COMPLETE
        pattern = alignment.patterns[each.group, each.name]
        assert pattern.size == pytest.approx(3.0 * MAS / np.sqrt(2.0), rel=0.4)
        stated = alignment.covariance_at(each.group, BOX, each.name)
        assert np.sqrt(stated[:, 0, 0].min()) == pytest.approx(3.0 * MAS, rel=0.3)


def test_detectors_tied_on_their_own_fit():
    sky, images = two_detectors((0.02, 0.0))
    apart = [replace(each, tied_as=each.name) for each in images]
    alignment = align_on_plane(apart, PLANE, RELATIVE, ABSOLUTE, PlaneCatalog(sources=sky))
    assert {result.outcome for result in alignment.absolute.values()} == {Outcome.ALIGNED}
    assert not alignment.patterns
    for each in images:
        shift = alignment.corrections[each.name].shift
        number = int(each.group)
        expected = np.array([-0.1 * number, 0.1 * number]) - ([0.02, 0.0] if each.name.endswith("b") else [0.0, 0.0])
        assert shift == pytest.approx(expected, abs=0.001)


def test_a_detector_that_is_far_off_has_no_partners():
    sky, images = two_detectors((0.4, 0.2))
    alignment = align_on_plane(images, PLANE, RELATIVE, ABSOLUTE, PlaneCatalog(sources=sky))
    assert {result.outcome for result in alignment.absolute.values()} <= {Outcome.MISFIT, Outcome.AMBIGUOUS}
    assert any("stars have partners" in str(result.detail) for result in alignment.absolute.values())


def test_dithers_in_one_group_are_told_apart_from_detectors():
    sky = field(600, width=120.0)
    images = [image(f"a{i}", sky, (2 * i, 0), "a", turned(0, (0.05 * i, 0.0)), noise=MAS, seed=i) for i in range(3)]
    images += [image(f"b{i}", sky, (i, 3), f"b{i}", noise=MAS, seed=9 + i) for i in range(2)]
    alignment = align_on_plane(images, PLANE, RELATIVE, ABSOLUTE, PlaneCatalog(sources=sky))
    assert alignment.absolute["a"].outcome is Outcome.MISFIT
    assert "group_by=image" in str(alignment.absolute["a"].detail)
    assert {alignment.absolute[name].outcome for name in ("b0", "b1")} == {Outcome.ALIGNED}


def test_a_group_that_the_tie_of_others_does_not_hold_for():
    """Two exposures agree with a part of a third, whose other parts tie the stars of all to the catalog elsewhere."""
    sky = field(500, width=120.0)
    images = [image(name, sky, (i, 1), name, noise=MAS, seed=i) for i, name in enumerate("xy")]
    motions = [turned(0, (0.0, 0.0)), turned(0, (0.3, 0.1)), turned(0, (0.3, 0.1))]
    images += [image(f"a{i}", sky, (2 * i, 0), "a", motion, noise=MAS, seed=9 + i) for i, motion in enumerate(motions)]
    alignment = align_on_plane(images, PLANE, RELATIVE, ABSOLUTE, PlaneCatalog(sources=sky))
    for name in "xy":
        if alignment.status(name) is Status.COMPLETE:
            assert np.abs(alignment.corrections[name](BOX) - BOX).max() < 0.005


@pytest.mark.parametrize("seed", [1, 3, 5, 7])
def test_a_detector_that_finds_a_few_stars_less_is_where_it_should_be(seed):
    """Detectors find all stars or nearly all: a tenth less is no detector out of its place."""
    scene = make_scene(size=256, n_exposures=4, n_visits=2, detectors=("NRCA1", "NRCA2"), n_stars=150, seed=seed)
    result = align(list(make_models(scene)), catalog=scene.reference_catalog(), roundhi=0.6, kernel_fwhm=2.0)
    assert {each.absolute.outcome.name for each in result} == {"ALIGNED"}
