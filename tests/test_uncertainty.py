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
