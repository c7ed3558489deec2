"""Stated errors against true ones: their ratio has variance 1."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import BOX
from tweakreg.alignment.fit import Clipping, fit_clipped
from tweakreg.alignment.solver import Order
from tweakreg.alignment.stages import align_on_plane
from tweakreg.plane import TangentPlane
from tweakreg.records import Outcome, PlaneCatalog, PlaneImage, Sources, Stage, StageConfig

PLACES = np.array([[0.0, 0.0], [-30.0, -30.0], [30.0, 30.0]])


def normalised(seed, *, absolute, growing, noise=0.002, catalog=0.002, n_groups=4, geometry="rshift"):
    """Errors over stated errors of all groups of a field, at the centre and at two corners."""
    rng = np.random.default_rng(seed)
    stars = rng.uniform(-30.0, 30.0, size=(int(rng.integers(30, 150)), 2))
    shifts = rng.normal(scale=0.1, size=(n_groups, 2))
    images = [
        PlaneImage(
            name=str(i),
            group=str(i),
            footprint=BOX + shifts[i],
            pixel_scale=0.03,
            sources=Sources(xy=stars + shifts[i] + rng.normal(scale=noise, size=stars.shape), name=str(i)),
        )
        for i in range(n_groups)
    ]
    configs = [StageConfig.of(stage, fitgeometry=geometry, minobj=10) for stage in Stage]
    known = Sources(xy=stars + rng.normal(scale=catalog, size=stars.shape), name="catalog")
    reference = PlaneCatalog(sources=known)
    plane = TangentPlane(ra=10.0, dec=20.0)
    if absolute:
        result = align_on_plane(images, plane, *configs, reference, order=Order(expand_refcat=growing))
    else:
        result = align_on_plane(images, plane, configs[0], order=Order(expand_refcat=growing))
    first = next(int(name) for name, each in result.relative.items() if each.outcome is Outcome.REFERENCE)
    ratios = []
    for i in range(n_groups):
        if i == first and not absolute:
            continue
        before = PLACES + shifts[i]
        error = result.corrections[str(i)](before) - (PLACES if absolute else PLACES + shifts[first])
        variance = np.diagonal(result.covariance_at(str(i), before), axis1=1, axis2=2)
        ratios.append(error / np.sqrt(variance))
    return np.array(ratios)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("growing", [False, True])
@pytest.mark.parametrize("catalog", [0.0002, 0.01])
def test_stated_errors(absolute, growing, catalog):
    ratios = np.concatenate(
        [normalised(seed, absolute=absolute, growing=growing, catalog=catalog) for seed in range(60)]
    )
    assert 0.8 < np.mean(ratios[:, 0] ** 2) < 1.25
    assert 0.8 < np.mean(ratios[:, 1:] ** 2) < 1.25
    assert np.abs(ratios).max() < 5.0


@pytest.mark.parametrize("geometry", ["shift", "rscale", "general"])
def test_stated_errors_of_each_geometry(geometry):
    ratios = np.concatenate([normalised(s, absolute=True, growing=True, geometry=geometry) for s in range(60)])
    assert 0.8 < np.mean(ratios**2) < 1.25


@pytest.mark.parametrize("weighted", [False, True])
def test_heavy_tails_and_wrong_weights(weighted):
    """The oracle is the scatter of the fit over many draws."""
    rng = np.random.default_rng(0)
    image = rng.uniform(-30.0, 30.0, size=(200, 2))
    scale = np.where(np.arange(200) < 40, 0.05, 0.002)[:, None]
    weight = np.full(200, 1.0) if weighted else None
    clipping = Clipping(nclip=0, sigma=3.0)
    drawn = (image + rng.normal(size=image.shape) * scale for _ in range(300))
    fits = [fit_clipped(image, reference, weight, "general", clipping) for reference in drawn]
    values = np.array([[*fit.affine.matrix.ravel(), *fit.affine.shift] for fit in fits])
    stated = np.mean([np.diagonal(fit.covariance) for fit in fits], axis=0)
    assert np.all(np.abs(values.var(axis=0) / stated - 1.0) < 0.35)


@pytest.mark.parametrize(
    ("sigma", "nclip", "radius"),
    [(3.0, 3, np.inf), (1.5, 5, np.inf), (1.0, 3, np.inf), (0.7, 1, np.inf), (3.0, 3, 2.0), (3.0, 3, 1.5)],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_cut_is_in_the_stated_error(sigma, nclip, radius, weighted):
    """Of pairs that are sought until they stay within a radius, and of hard clipping."""
    clipping = Clipping(nclip=nclip, sigma=sigma, radius=radius, normalised=weighted)
    ratios = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        image = rng.uniform(-30.0, 30.0, size=(200, 2))
        offset, found, near = rng.normal(size=image.shape), np.zeros(2), np.ones(200, dtype=bool)
        for _ in range(20 * np.isfinite(radius)):
            near = np.linalg.norm(offset - found, axis=1) < radius
            found = offset[near].mean(axis=0)
        image, reference = image[near], (image + offset)[near]
        fit = fit_clipped(image, reference, np.ones(len(image)) if weighted else None, "shift", clipping)
        ratios.append(fit.affine.shift / np.sqrt(np.diagonal(fit.covariance)[4:]))
    assert 0.85 < np.mean(np.square(ratios)) < 1.18


@pytest.mark.parametrize("at_one_end", [False, True])
def test_a_strip_and_where_its_catalog_lies(at_one_end):
    """Six exposures in a row: those far from the catalog's stars are known less well."""
    plane, ratios = TangentPlane(ra=10.0, dec=20.0), []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        stars = rng.uniform([-180.0, -30.0], [180.0, 30.0], size=(1500, 2))
        centres = np.column_stack([54.0 * (np.arange(6) - 2.5), np.zeros(6)])
        shifts = rng.normal(scale=0.1, size=(6, 2))
        images = []
        for index, (centre, shift) in enumerate(zip(centres, shifts, strict=True)):
            seen = stars[(np.abs(stars - centre) < 32.0).all(axis=1)]
            sources = Sources(xy=seen + shift + rng.normal(scale=0.001, size=seen.shape), name=str(index))
            images.append(
                PlaneImage(name=str(index), group=str(index), footprint=64.0 / 60.0 * BOX + centre + shift,
                           pixel_scale=0.03, sources=sources)
            )  # fmt: skip
        known = stars[stars[:, 0] < -80.0] if at_one_end else stars
        reference = Sources(xy=known + rng.normal(scale=3e-4, size=known.shape), name="catalog")
        configs = [StageConfig.of(stage, minobj=10) for stage in Stage]
        result = align_on_plane(
            images, plane, *configs, PlaneCatalog(sources=reference), order=Order(expand_refcat=True)
        )
        for index, (centre, shift) in enumerate(zip(centres, shifts, strict=True)):
            before = 64.0 / 60.0 * PLACES + centre + shift
            error = result.corrections[str(index)](before) - (before - shift)
            variance = np.diagonal(result.covariance_at(str(index), before), axis1=1, axis2=2)
            ratios.append(error / np.sqrt(variance))
    assert 0.6 < np.mean(np.square(ratios)) < 1.3
    assert np.abs(ratios).max() < 5.0
