"""Are the stated errors of the corrections right? Normalised errors on catalog fields and on fields from pixels.

    python benchmarks/stated_errors.py [--fields 500] [--patterns 60] [--pixels 24] [--jobs 2]

An error is normalised by what is stated for the same place: its variance should be 1.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import trust
from scenes import align_scene

from tweakreg import align_on_plane
from tweakreg.alignment.solver import Order
from tweakreg.records import Outcome, ReferenceCatalog, Selection, Stage, StageConfig
from tweakreg.reference.table import catalog_of
from tweakreg.simulate import Scene, make_scene


def random_field(catalog: str, seed: int) -> np.ndarray:
    """Dithers on catalogs: without a reference, to an even one, to one like Gaia's, or of two epochs."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng((seed, 5))
    moving = catalog in ("gaia", "epochs")
    scene = make_scene(
        size=1024, n_stars=float(rng.uniform(40, 300)), n_exposures=int(rng.integers(2, 7)), seed=seed,
        motion=5.0 * moving, n_visits=2 if catalog == "epochs" else 1,
        visit_years=(-3.0, 0.0) if catalog == "epochs" else (),
    )  # fmt: skip
    reference = _gaia(scene) if moving else _even(scene) if catalog == "even" else None
    return align_scene(scene, reference, noise=float(rng.uniform(0.005, 0.05))).normalised()


def _even(scene: Scene) -> ReferenceCatalog:
    table = scene.reference_catalog()
    return ReferenceCatalog(ra=np.array(table["RA"]), dec=np.array(table["DEC"]), weight=None, name="catalog")


def _gaia(scene: Scene) -> ReferenceCatalog:
    return catalog_of(scene.gaia(), "gaia", Selection.of_reference(), name="gaia", provenance="")


def pixel_field(pattern: str, catalog: str, seed: int) -> np.ndarray:
    """Exposures from pixels."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng((seed, 6))
    number = {"dither": 4, "chain": 4, "strip": 4, "mosaic": 9}[pattern]
    scene = make_scene(
        size=384, n_exposures=number, pattern=pattern, n_stars=float(rng.uniform(80, 250)), seed=seed,
        fwhm=float(rng.uniform(1.8, 2.6)), motion=5.0 * (catalog == "gaia"),
        dither=0.15 if pattern == "dither" else 0.03,
    )  # fmt: skip
    reference = {"none": lambda scene: None, "even": _even, "gaia": _gaia}[catalog](scene)
    return align_scene(scene, reference, minobj=8, abs_minobj=8).normalised()


def _patterns(rng: np.random.Generator, pattern: str) -> trust.Field:
    """Exposures that lie to each other in one way or another."""
    stars, centres, width = rng.uniform(100, 400), np.zeros((6, 2)), (90.0, 90.0)
    row = np.column_stack([np.arange(6) - 2.5, np.zeros(6)])
    if pattern == "dithers":
        centres = rng.uniform(-6.0, 6.0, size=(6, 2))
    elif pattern == "chain":
        centres, width = 38.4 * row, (280.0, 80.0)
    elif pattern.startswith("strip"):
        centres, width, stars = 54.0 * row, (360.0, 80.0), 2.0 * stars
    elif pattern == "mosaic":
        centres, width = 48.0 * np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]), (180.0, 180.0)
    centres = centres + rng.uniform(-2.0, 2.0, size=centres.shape)
    sky = rng.uniform(-0.5, 0.5, size=(int(stars * np.prod(width) / trust.SIDE**2), 2)) * width
    made = trust.Field(sky, [[trust.Detector(centre=centre)] for centre in centres], contaminants=0.2)
    at_one_end = pattern.endswith("one end")
    return replace(made, change_catalog=lambda xy, rng: xy[xy[:, 0] < -80.0]) if at_one_end else made


def pattern_field(pattern: str, growing: bool, catalog_noise: float | None, seed: int) -> np.ndarray:
    """Errors over stated errors of a pattern of exposures on catalogs; None is a relative alignment."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng((seed, sum(map(ord, pattern))))
    made = replace(_patterns(rng, pattern), catalog_noise=catalog_noise or 1e-3)
    images, errors, catalog = trust.observe(made, rng)
    stages = [StageConfig.of(stage) for stage in Stage]
    absolute = catalog_noise is not None
    known = (stages[1], catalog) if absolute else (None, None)
    alignment = align_on_plane(images, trust.PLANE, stages[0], *known, order=Order(expand_refcat=growing))
    first = next(int(n) for n, each in alignment.relative.items() if each.outcome is Outcome.REFERENCE)
    rows = []
    for index, (detector,) in enumerate(made.exposures):
        stage = (alignment.absolute if absolute else alignment.relative)[str(index)]
        if stage.outcome is not Outcome.ALIGNED:
            continue
        truth = np.concatenate([detector.centre[None], detector.footprint()[::4]])
        before = errors[index](truth)
        error = alignment.corrections[str(index)](before) - (truth if absolute else errors[first](truth))
        covariance = alignment.covariance_at(str(index), before, f"{index}-0")
        rows.append(error / np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)))
    return np.array(rows).reshape(-1, 5, 2)


def _kinds(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[int], np.ndarray], int]]:
    for catalog in ("none", "even", "gaia", "epochs"):
        yield f"catalogs, reference: {catalog}", partial(random_field, catalog), options.fields
    for pattern in ("dithers", "chain", "strip", "strip, catalog at one end", "mosaic"):
        for growing in (False, True):
            if "end" not in pattern:
                name = f"{pattern}, relative{', growing' if growing else ''}"
                yield name, partial(pattern_field, pattern, growing, None), options.patterns
        for noise in (0.3e-3, 5e-3):
            name = f"{pattern}, absolute, {1e3 * noise:.1f} mas"
            yield name, partial(pattern_field, pattern, True, noise), options.patterns
    for pattern in ("dither", "chain", "strip", "mosaic"):
        for catalog in ("none", "even", "gaia"):
            name = f"pixels, {pattern}, reference: {catalog}"
            yield name, partial(pixel_field, pattern, catalog), options.pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=500)
    parser.add_argument("--patterns", type=int, default=60)
    parser.add_argument("--pixels", type=int, default=24)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.jobs) as pool:
        for kind, work, number in _kinds(options):
            if number == 0:
                continue
            z = np.concatenate(list(pool.map(work, range(number), chunksize=5)))
            beyond = (np.abs(z) > 5.0).any(axis=(1, 2)).mean()
            print(
                f"{kind:42} {number:4d} fields {len(z):5d} images: variance at the centre {np.mean(z[:, 0] ** 2):.2f}, "
                f"at the corners {np.mean(z[:, 1:] ** 2):.2f}; beyond 5 sigma {beyond:.2%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
