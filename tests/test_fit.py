"""Fits against known transformations, covariances against scatter, clipping against its traps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tweakwcs.linearfit import iter_linear_fit

from tweakreg.alignment.fit import Clipping, combined_weight, fit_affine, fit_clipped
from tweakreg.errors import SingularFitError
from tweakreg.records import Affine

GEOMETRIES = ["shift", "rshift", "rscale", "general"]
OPTIONS = {"nclip": 3, "sigma": 3.0, "accumulate": False}


def transformation(geometry, angle=0.3, scale=1.001):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = {
        "shift": np.eye(2),
        "rshift": turn,
        "rscale": scale * turn,
        "general": turn @ np.array([[1.002, 0.001], [0.0, 0.999]]),
    }[geometry]
    return Affine(matrix=matrix, shift=np.array([0.7, -1.3]))


@given(st.sampled_from(GEOMETRIES), st.floats(-3.0, 3.0), st.floats(0.5, 2.0), st.integers(0, 1000))
def test_recovers_exact_transformation(geometry, angle, scale, seed):
    image = np.random.default_rng(seed).uniform(-50, 50, size=(20, 2))
    truth = transformation(geometry, angle, scale)
    fit = fit_affine(image, truth(image), None, geometry)
    assert np.allclose(fit.matrix, truth.matrix, atol=1e-9)
    assert np.allclose(fit.shift, truth.shift, atol=1e-9)


@given(st.sampled_from(GEOMETRIES), st.integers(0, 1000), st.booleans())
def test_agrees_with_tweakwcs(geometry, seed, weighted):
    rng = np.random.default_rng(seed)
    image = rng.uniform(-50, 50, size=(30, 2))
    reference = transformation(geometry, 0.01)(image) + rng.normal(scale=0.01, size=(30, 2))
    weight = rng.uniform(0.5, 2.0, size=30) if weighted else None
    ours = fit_clipped(image, reference, weight, geometry, Clipping(**{**OPTIONS, "nclip": 0}))
    theirs = iter_linear_fit(reference, image, wuv=weight, fitgeom=geometry, nclip=0, center=(0.0, 0.0))
    assert np.allclose(ours.affine.matrix, theirs["matrix"], atol=1e-9)
    assert np.allclose(ours.affine.shift, theirs["shift"], atol=1e-8)
    assert ours.rms == pytest.approx(theirs["rmse"], rel=1e-9)
    assert ours.mae == pytest.approx(theirs["mae"], rel=1e-9)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("weighted", [False, True])
def test_covariance_is_the_scatter(geometry, weighted):
    rng = np.random.default_rng(1)
    image = rng.uniform(-50, 50, size=(40, 2))
    sigma = rng.uniform(0.005, 0.03, size=40) if weighted else np.full(40, 0.01)
    weight = sigma**-2 if weighted else None
    truth = transformation(geometry, 0.01)
    fits = [
        fit_clipped(
            image,
            truth(image) + rng.normal(size=(40, 2)) * sigma[:, None],
            weight,
            geometry,
            Clipping(**{**OPTIONS, "nclip": 0}),
        )
        for _ in range(400)
    ]
    corner = np.array([[50.0, -30.0]])
    scatter = np.cov(np.concatenate([fit.affine(corner) for fit in fits]).T)
    design = np.array([[50.0, -30.0, 0, 0, 1, 0], [0, 0, 50.0, -30.0, 0, 1]])
    predicted = design @ np.mean([fit.covariance for fit in fits], axis=0) @ design.T
    assert np.diag(predicted) == pytest.approx(np.diag(scatter), rel=0.25)


def test_clipping_removes_outliers_and_lets_good_stars_back():
    rng = np.random.default_rng(5)
    image = rng.uniform(-50, 50, size=(100, 2))
    reference = image + [0.1, 0.2] + rng.normal(scale=0.003, size=(100, 2))
    reference[:5] += [1.0, 0.0]
    fit = fit_clipped(image, reference, None, "shift", Clipping(nclip=10, sigma=2.5))
    assert fit.affine.shift == pytest.approx([0.1, 0.2], abs=0.002)
    assert 5 <= fit.n_clipped <= 8
    assert not fit.used[:5].any()


@given(st.integers(0, 300), st.booleans())
def test_clipping_ends_with_every_used_star_within_the_limit(seed, accumulate):
    rng = np.random.default_rng(seed)
    image = rng.uniform(-5, 5, size=(40, 2))
    reference = image + rng.standard_cauchy(size=(40, 2)) * 0.1
    fit = fit_clipped(image, reference, None, "shift", Clipping(nclip=1000, sigma=2.0, accumulate=accumulate))
    length = np.linalg.norm(reference - fit.affine(image), axis=1)
    assert (length[fit.used] <= 2.0 * fit.rms).all()


@pytest.mark.parametrize(
    ("geometry", "image"),
    [
        ("shift", np.empty((0, 2))),
        ("rshift", np.zeros((1, 2))),
        ("rshift", np.zeros((20, 2))),
        ("rscale", np.ones((20, 2))),
        ("general", np.column_stack([np.arange(20.0), 2.0 * np.arange(20.0)])),
        ("general", np.column_stack([np.arange(20.0), 1e-5 * np.arange(20.0) ** 2])),
    ],
)
def test_undetermined_fits_are_refused(geometry, image):
    with pytest.raises(SingularFitError, match=geometry):
        fit_affine(image, image + 0.1, None, geometry)


def test_stars_on_a_line_determine_a_rotation():
    image = np.column_stack([np.arange(20.0), np.zeros(20)])
    truth = transformation("rshift", 0.1)
    assert np.allclose(fit_affine(image, truth(image), None, "rshift").matrix, truth.matrix)


def test_weights_of_one_or_both_sides():
    a, b = np.array([1.0, 2.0, 0.0]), np.array([1.0, 2.0, 3.0])
    assert combined_weight(None, None) is None
    assert combined_weight(a, None) is a
    assert combined_weight(None, b) is b
    assert combined_weight(a, b) == pytest.approx([0.5, 1.0, 0.0])


def test_stars_of_weight_zero_do_not_count():
    image = np.random.default_rng(0).uniform(-5, 5, size=(20, 2))
    reference = image + 0.5
    reference[0] += 100.0
    weight = np.ones(20)
    weight[0] = 0.0
    fit = fit_clipped(image, reference, weight, "rshift", Clipping(**OPTIONS))
    assert fit.affine.shift == pytest.approx([0.5, 0.5])
    assert not fit.used[0]
    assert fit.rms == pytest.approx(0.0, abs=1e-9)
