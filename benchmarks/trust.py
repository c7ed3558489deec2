"""Fields with a difficult property: is any image COMPLETE and wrong, and is any refused that is right?

    python benchmarks/trust.py [--seeds 10] [--jobs 2] [kind ...]

On catalogs, and the last kinds from pixels. An image is wrong if, where it is COMPLETE, some place of it is off by more
than 5 mas and by more than five times the stated error of that place. In relative mode a scale, a turn and what each
place of a detector is off by in all exposures alike do not count: no exposure can see them. What positions alone cannot
decide is marked so.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from scenes import align_scene

from tweakreg import align_on_plane
from tweakreg.alignment.solver import Order
from tweakreg.find.artefacts import fixed_detections
from tweakreg.records import (
    Affine,
    Alignment,
    EpochCatalog,
    Outcome,
    PlacedCatalog,
    PlaneCatalog,
    PlaneImage,
    Selection,
    Sources,
    Stage,
    StageConfig,
    Status,
    TangentPlane,
)
from tweakreg.reference.table import catalog_of
from tweakreg.simulate import Scene, make_scene
from tweakreg.spec import DEFAULTS

PLANE = TangentPlane(ra=10.0, dec=20.0)
PIXEL, SIDE = 0.031, 64.0
MAS = 1e-3
WRONG = 5.0 * MAS


@dataclass
class Detector:
    """A detector of an exposure: where it is, and how its WCS is wrong beyond the exposure's pointing."""

    centre: np.ndarray
    side: float = SIDE
    #: What the WCS does to a true place, before the pointing error.
    bend: Callable[[np.ndarray], np.ndarray] = lambda xy: xy

    def footprint(self) -> np.ndarray:
        half = self.side / 2.0
        corners = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
        steps = np.linspace(0.0, 1.0, 4, endpoint=False)[:, None]
        sides = [a + steps * (b - a) for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)]
        return np.concatenate(sides) + self.centre

    def sees(self, xy: np.ndarray) -> np.ndarray:
        return (np.abs(xy - self.centre) < self.side / 2.0).all(axis=1)


@dataclass
class Field:
    """A sky and how it is observed."""

    stars: np.ndarray
    exposures: list[list[Detector]]
    noise: float = 1.0 * MAS
    completeness: float = 0.85
    contaminants: float = 0.3
    catalog_share: float = 0.4
    catalog_noise: float = 0.3 * MAS
    pointing: float = 0.1
    roll: float = 0.003
    change_sources: Callable[[int, np.ndarray, np.random.Generator], np.ndarray] = lambda index, xy, rng: xy
    change_catalog: Callable[[np.ndarray, np.random.Generator], np.ndarray] = lambda xy, rng: xy
    settings: dict = field(default_factory=dict)
    #: Exposures that are of another sky: none of them may be COMPLETE.
    hopeless: tuple[int, ...] = ()
    #: Weights of an exposure's sources, if their catalogs have any.
    weights: Callable[[int, np.random.Generator], np.ndarray] | None = None
    #: When each exposure is, years after the catalog, and how each star moves, arcsec a year; the catalog may know it.
    years: tuple[float, ...] = ()
    motions: np.ndarray | None = None
    motions_known: bool = True
    #: Places on the detector that shine in every exposure, arcsec from its centre.
    hot: np.ndarray | None = None


def uniform(rng: np.random.Generator, n: int, width: float = 150.0) -> np.ndarray:
    return rng.uniform(-width / 2.0, width / 2.0, size=(n, 2))


def dithers(rng: np.random.Generator, n: int, **detector) -> list[list[Detector]]:
    return [[Detector(centre=rng.uniform(-6.0, 6.0, size=2), **detector)] for _ in range(n)]


def n_of(rng: np.random.Generator, low: float, high: float) -> int:
    """Stars so that an image sees between `low` and `high`."""
    return int(10 ** rng.uniform(np.log10(low), np.log10(high)) * (150.0 / SIDE) ** 2)


def plain(rng):
    return Field(uniform(rng, n_of(rng, 60, 400)), dithers(rng, 4))


def clustered(rng):
    middles = uniform(rng, int(rng.integers(2, 8)), 60.0)
    n = n_of(rng, 60, 300)
    near = middles[rng.integers(len(middles), size=n)] + rng.normal(scale=10 ** rng.uniform(0.0, 0.8), size=(n, 2))
    return Field(np.concatenate([near, uniform(rng, n // 3)]), dithers(rng, 4))


def double(rng):
    stars = uniform(rng, n_of(rng, 60, 200))
    twins = stars[rng.uniform(size=len(stars)) < 0.5] + rng.uniform(0.3, 1.0, size=2)
    return Field(np.concatenate([stars, twins]), dithers(rng, 4))


def ring(rng):
    angles = np.arange(8) * np.pi / 4
    return Field(
        uniform(rng, n_of(rng, 60, 250) * 3, 260.0),
        [[Detector(centre=60.0 * np.array([np.cos(a), np.sin(a)]))] for a in angles],
    )


def scale(rng):
    factor = 1.0 + 10 ** rng.uniform(-4.0, -2.0)
    made = plain(rng)
    for exposure in made.exposures:
        for each in exposure:
            each.bend = lambda xy, c=each.centre: c + factor * (xy - c)
    return made


def distortion(rng):
    size = 10 ** rng.uniform(0.5, 1.5) * MAS
    made = plain(rng)
    for exposure in made.exposures:
        for each in exposure:

            def bend(xy, c=each.centre):
                x, y = ((xy - c) / (SIDE / 2.0)).T
                return xy + size * np.stack([x**2 - y**2, 2.0 * x * y], axis=1)

            each.bend = bend
    return made


def group(centre, offsets, pitch=34.0, side=32.0):
    return [
        Detector(centre=centre + pitch * np.array(place), side=side, bend=lambda xy, o=offset: xy + o)
        for place, offset in offsets.items()
    ]


def eight_detectors(rng):
    size = rng.uniform(3.0, 20.0) * MAS
    places = [(x, y) for x in (-2.5, -1.5, 1.5, 2.5) for y in (-0.5, 0.5)]
    offsets = {place: rng.normal(scale=size, size=2) for place in places}
    exposures = [group(rng.uniform(-6.0, 6.0, size=2), offsets) for _ in range(3)]
    return Field(uniform(rng, n_of(rng, 150, 500) * 3, 260.0), exposures)


def one_detector(rng):
    angle, size = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.1, 0.6)
    offsets = {(x, y): np.zeros(2) for x in (-0.5, 0.5) for y in (-0.5, 0.5)}
    offsets[(-0.5, -0.5)] = size * np.array([np.cos(angle), np.sin(angle)])
    exposures = [group(rng.uniform(-6.0, 6.0, size=2), offsets) for _ in range(3)]
    return Field(uniform(rng, n_of(rng, 120, 400)), exposures)


def dithers_in_one_group(rng):
    """Three dithers that their keywords make one group: each has a pointing error of its own."""
    made = plain(rng)
    centre = np.zeros(2)
    offsets = rng.normal(scale=0.2, size=(3, 2))
    together = [
        Detector(centre=centre + rng.uniform(-6.0, 6.0, size=2), bend=lambda xy, o=offset: xy + o) for offset in offsets
    ]
    return replace(made, exposures=[*made.exposures[:2], together])


def lattice(rng):
    pitch, jitter = rng.uniform(0.8, 4.0), 10 ** rng.uniform(-2.5, -1.0)
    axis = np.arange(-75.0, 75.0, pitch)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    grid = grid[rng.uniform(size=len(grid)) < 0.9]
    stars = grid + rng.normal(scale=jitter, size=grid.shape)
    return Field(stars, dithers(rng, 3), pointing=rng.uniform(0.2, 1.5))


def crowded(rng):
    made = Field(uniform(rng, int(2000 * (150.0 / SIDE) ** 2)), dithers(rng, 2), contaminants=4.0)
    return replace(made, roll=0.25, pointing=0.5, completeness=0.6, catalog_share=0.9)


def persistence(rng):
    made = plain(rng)
    share = rng.uniform(0.3, 0.7)
    first: dict[str, np.ndarray] = {}

    def ghosts(index, xy, rng):
        centre = made.exposures[index][0].centre
        if index == 0:
            first["xy"] = xy - centre
            return xy
        kept = first["xy"][rng.uniform(size=len(first["xy"])) < share]
        return np.concatenate([xy, kept + centre])

    return replace(made, change_sources=ghosts)


def moved_catalog(rng):
    angle, size = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(20.0, 50.0) * MAS
    step = size * np.array([np.cos(angle), np.sin(angle)])
    made = plain(rng)
    return replace(made, change_catalog=lambda xy, rng: xy + np.where(rng.uniform(size=(len(xy), 1)) < 0.7, step, 0.0))


def other_sky(rng):
    """One exposure sees other stars, in the same clusters: most of what chance gives is near the right place."""
    made = clustered(rng)
    turned = rng.uniform(30.0, 330.0)
    cos, sin = np.cos(np.radians(turned)), np.sin(np.radians(turned))

    def elsewhere(index, xy, rng):
        return xy if index < 3 else xy @ np.array([[cos, sin], [-sin, cos]])

    return replace(made, change_sources=elsewhere, hopeless=(3,))


def mirrored(rng):
    made = plain(rng)

    def mirror(index, xy, rng):
        middle = made.exposures[index][0].centre
        return xy if index < 3 else middle + (xy - middle) * (-1.0, 1.0)

    return replace(made, change_sources=mirror, hopeless=(3,))


def copies(rng):
    """Of one exposure 80 % of the sources are displaced alike."""
    made = plain(rng)
    step = rng.uniform(-1.0, 1.0, size=2)

    def displaced(index, xy, rng):
        return xy + step * (rng.uniform(size=(len(xy), 1)) < 0.8) if index == 1 else xy

    return replace(made, change_sources=displaced)


def two_epochs(rng):
    made = replace(plain(rng), years=(0.0, 0.0, 3.0, 3.0))
    return replace(made, motions=rng.normal(scale=rng.uniform(1.0, 8.0) * MAS, size=made.stars.shape))


def unknown_motions(rng):
    return replace(two_epochs(rng), motions_known=False)


def streams(rng):
    """A part of the stars moves together."""
    made = two_epochs(rng)
    angle, size = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(3.0, 15.0) * MAS
    member = rng.uniform(size=len(made.stars)) < rng.uniform(0.4, 0.8)
    return replace(made, motions=member[:, None] * size * np.array([np.cos(angle), np.sin(angle)]))


def flux_weights(rng):
    """Weights are fluxes: a few stars have it all, and some of them are false."""
    made = plain(rng)
    return replace(made, weights=lambda number, rng: 10.0 ** rng.uniform(0.0, 4.0, size=number))


def catalog_errors(rng):
    """Errors of the catalog that span two decades, some of them far too small."""
    made = plain(rng)
    return replace(made, catalog_noise=1.0 * MAS, change_catalog=_some_off)


def _some_off(xy, rng):
    return xy + rng.normal(scale=50.0 * MAS, size=xy.shape) * (rng.uniform(size=(len(xy), 1)) < 0.2)


def strip(rng):
    """Ten in a row, and the catalog at one end."""
    exposures = [[Detector(centre=np.array([54.0 * (i - 4.5), 0.0]))] for i in range(10)]
    n = n_of(rng, 60, 300) * 4
    stars = np.stack([rng.uniform(-290.0, 290.0, size=n), rng.uniform(-40.0, 40.0, size=n)], axis=1)
    return Field(stars, exposures, change_catalog=lambda xy, rng: xy[xy[:, 0] < -160.0])


def chips(rng):
    """36 chips of a camera whose distortion and places the files do not know."""
    exposures = []
    places = [(x, y) for x in range(-4, 5) for y in (-1.5, -0.5, 0.5, 1.5)]
    offsets = rng.normal(scale=10 ** rng.uniform(0.5, 2.7) * MAS, size=(36, 2))
    bends = rng.normal(scale=10 ** rng.uniform(0.0, 1.5) * MAS, size=(36, 2, 3))
    for _ in range(3):
        centre = rng.uniform(-6.0, 6.0, size=2)
        exposure = []
        for place, offset, bend in zip(places, offsets, bends, strict=True):
            middle = centre + 34.0 * np.array(place)

            def distorted(xy, c=middle, o=offset, b=bend):
                x, y = ((xy - c) / 16.0).T
                return xy + o + np.stack([x**2, x * y, y**2], axis=1) @ b.T

            exposure.append(Detector(centre=middle, side=32.0, bend=distorted))
        exposures.append(exposure)
    n = int(rng.uniform(20, 60) * 36 * 2)
    stars = np.stack([rng.uniform(-165.0, 165.0, size=n), rng.uniform(-80.0, 80.0, size=n)], axis=1)
    return Field(stars, exposures)


def hot_pixels(rng):
    """Places of the detector that shine, up to ten for each star, and nobody has flagged."""
    made = Field(uniform(rng, n_of(rng, 20, 60)), dithers(rng, 3), contaminants=0.1)
    n_hot = int(rng.uniform(2.0, 10.0) * len(made.stars) * (SIDE / 150.0) ** 2)
    return replace(made, hot=rng.uniform(-0.48, 0.48, size=(n_hot, 2)) * SIDE)


def sparse(rng):
    """Hardly enough stars, and twice as many false ones."""
    return Field(
        uniform(rng, n_of(rng, 8, 25)), dithers(rng, 4), contaminants=2.0, settings={"minobj": 5, "abs_minobj": 5}
    )


def neighbouring_sky(rng):
    """The pointing is off by more than what is searched."""
    return replace(plain(rng), pointing=rng.uniform(3.0, 12.0))


def tight_clipping(rng):
    return replace(plain(rng), settings={"sigma": 0.7, "nclip": 10, "abs_sigma": 0.7, "abs_nclip": 10})


def large_noise(rng):
    """Positions that scatter as far as the tolerance reaches."""
    return replace(plain(rng), noise=0.2, catalog_noise=0.2, pointing=0.3)


def _scene(seed: int, **config) -> tuple[Scene, np.random.Generator]:
    rng = np.random.default_rng((seed, 3))
    n_stars = float(10.0 ** rng.uniform(1.5, 2.3))
    values = {"size": 256, "n_exposures": 3, "n_stars": n_stars, "seed": seed, "fwhm": float(rng.uniform(1.6, 2.6))}
    return make_scene(**values | config), rng


def member_off(seed):
    """One detector of one exposure, or of all, is off by 0.02 to 20 pixels."""
    rng = np.random.default_rng((seed, 4))
    angle, size = rng.uniform(0.0, 2.0 * np.pi), 0.031 * 10.0 ** rng.uniform(np.log10(0.02), np.log10(20.0))
    step = size * np.cos(angle), size * np.sin(angle)
    which = range(3) if rng.uniform() < 0.3 else [int(rng.integers(3))]
    misplaced = tuple((number, "NRCA2", *step) for number in which)
    return _scene(seed, detectors=("NRCA1", "NRCA2", "NRCA3"), misplaced=misplaced)[0], {}


def dithers_as_a_group(seed):
    """Overlapping exposures that are one group by their keywords; one of them is off."""
    rng = np.random.default_rng((seed, 4))
    angle, size = rng.uniform(0.0, 2.0 * np.pi), 0.031 * 10.0 ** rng.uniform(np.log10(0.02), np.log10(20.0))
    error = (int(rng.integers(2, 5)), size * np.cos(angle), size * np.sin(angle), 0.0)
    scene, _ = _scene(seed, n_exposures=5, extra_errors=(error,), exposure_error=0.0)

    def one_group(model, exposure):
        model.meta.observation.exposure_number = str(min(exposure.number, 2) + 1)

    return scene, {"change": one_group}


def trails(seed):
    """The telescope moved, and the files do not say so."""
    rng = np.random.default_rng((seed, 4))
    angle, length = rng.uniform(0.0, 2.0 * np.pi), 10.0 ** rng.uniform(0.7, 1.6)
    scene, _ = _scene(seed, trail=(length * np.cos(angle), length * np.sin(angle)), n_stars=150.0)
    return scene, {"roundlo": -2.0, "roundhi": 2.0, "minobj": 8, "abs_minobj": 8}


def no_time(seed):
    """Times of -999 in the files, and a catalog with motions."""
    scene, _ = _scene(seed, motion=5.0, common_motion=(4.0, -3.0))

    def timeless(model, exposure):
        model.meta.exposure.mid_time = model.meta.exposure.start_time = model.meta.exposure.end_time = -999.0

    return scene, {"change": timeless, "noise": 0.02}


def hot_detector(seed):
    """Up to seven hot pixels that look like stars for each star."""
    rng = np.random.default_rng((seed, 4))
    n_stars = float(rng.uniform(15, 40))
    scene, _ = _scene(seed, n_stars=n_stars, hot_pixels=int(n_stars * rng.uniform(1, 7)), dither=0.2)
    return scene, {"minobj": 8, "abs_minobj": 8}


PIXELS = {
    "member off": member_off, "dithers as a group": dithers_as_a_group, "trails": trails, "no time": no_time,
    "hot detector": hot_detector,
}  # fmt: skip
KINDS = {
    "plain": plain, "clustered": clustered, "double": double, "ring": ring, "scale": scale, "distortion": distortion,
    "eight detectors": eight_detectors, "one detector": one_detector, "dithers in one group": dithers_in_one_group,
    "lattice": lattice, "crowded": crowded, "persistence": persistence, "other sky": other_sky, "mirrored": mirrored,
    "two epochs": two_epochs, "unknown motions": unknown_motions, "flux weights": flux_weights,
    "catalog errors": catalog_errors, "strip": strip, "chips": chips, "hot pixels": hot_pixels, "sparse": sparse,
    "neighbouring sky": neighbouring_sky, "tight clipping": tight_clipping, "large noise": large_noise,
    "moved catalog": moved_catalog, "copies": copies, "streams": streams,
}  # fmt: skip
#: Fields in which a refusal is a false alarm, and those that positions alone cannot decide.
RIGHT = ("plain", "clustered", "double", "ring", "two epochs")
UNDECIDABLE = ("moved catalog", "copies", "streams")


def observe(made: Field, rng: np.random.Generator) -> tuple[list[PlaneImage], list[Affine], PlaneCatalog]:
    """Images as the alignment sees them, the pointing error of each exposure, and the catalog."""
    images, errors, placed = [], [], []
    for index, exposure in enumerate(made.exposures):
        turn = np.radians(rng.normal(scale=made.roll))
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        centre = np.mean([each.centre for each in exposure], axis=0)
        shift = rng.normal(scale=made.pointing, size=2)
        error = Affine(matrix=matrix, shift=centre - matrix @ centre + shift)
        errors.append(error)
        for number, each in enumerate(exposure):
            stars = made.stars + made.motions * made.years[index] if made.motions is not None else made.stars
            seen = stars[each.sees(stars) & (rng.uniform(size=len(stars)) < made.completeness)]
            false = each.centre + rng.uniform(-0.5, 0.5, size=(int(made.contaminants * len(seen)), 2)) * each.side
            places = np.concatenate([seen + rng.normal(scale=made.noise, size=seen.shape), false])
            places = made.change_sources(index, places, rng)
            if made.hot is not None:
                places = np.concatenate(
                    [places, each.centre + made.hot + rng.normal(scale=made.noise, size=made.hot.shape)]
                )
            xy = error(each.bend(places))
            weight = None if made.weights is None else made.weights(len(xy), rng)
            images.append(
                PlaneImage(
                    name=f"{index}-{number}",
                    group=str(index),
                    footprint=error(each.bend(each.footprint())),
                    pixel_scale=PIXEL,
                    sources=Sources(xy=xy, weight=weight, name=f"{index}-{number}"),
                )
            )
            placed.append(_placed(each, number, places, xy))
    # As the pipeline does before it aligns.
    for index, fixed in enumerate(fixed_detections(placed)):
        images[index] = replace(images[index], sources=images[index].sources[~fixed])
    return images, errors, _catalog(made, rng)


def _placed(detector: Detector, number: int, places: np.ndarray, xy: np.ndarray) -> PlacedCatalog:
    x, y = ((places - detector.centre) / PIXEL).T
    ra, dec = PLANE.deproject(xy)
    return PlacedCatalog(detector=str(number), x=x, y=y, ra=ra, dec=dec, pixel_scale=PIXEL)


def _catalog(made: Field, rng: np.random.Generator) -> PlaneCatalog:
    """The reference catalog, at the epoch of each exposure where stars move and it knows."""
    known = rng.uniform(size=len(made.stars)) < made.catalog_share
    scatter = rng.normal(scale=made.catalog_noise, size=(known.sum(), 2))
    state = rng.bit_generator.state

    def at(year: float) -> Sources:
        rng.bit_generator.state = state  # the same stars at each epoch
        moved = 0.0 if made.motions is None or not made.motions_known else made.motions[known] * year
        xy = made.change_catalog(made.stars[known] + scatter + moved, rng)
        return Sources(xy=xy, variance=np.full(len(xy), made.catalog_noise**2), name="catalog")

    if made.motions is None or not made.motions_known:
        return PlaneCatalog(sources=at(0.0))
    epochs = tuple(
        EpochCatalog(
            groups=tuple(str(i) for i, each in enumerate(made.years) if each == year), epoch=year, sources=at(year)
        )
        for year in sorted(set(made.years))
    )
    return PlaneCatalog(sources=at(float(np.mean(made.years))), epochs=epochs)


def wrong_images(made: Field, errors: list[Affine], alignment: Alignment, absolute: bool) -> tuple[int, int]:
    """How many images are COMPLETE, and how many of these are wrong."""
    offs, stated, truths, numbers, hopeless = [], [], [], [], []
    for index, exposure in enumerate(made.exposures):
        if alignment.status(str(index)) is not Status.COMPLETE:
            continue
        for number, each in enumerate(exposure):
            truth = np.concatenate([each.centre[None], each.footprint()[::4]])
            before = errors[index](each.bend(truth))
            offs.append(alignment.corrections[str(index)](before) - truth)
            covariance = alignment.covariance_at(str(index), before, f"{index}-{number}")
            stated.append(np.diagonal(covariance, axis1=1, axis2=2))
            truths.append(truth)
            numbers.append(number)
            hopeless.append(index in made.hopeless)
    if not offs:
        return 0, 0
    error, variance = np.array(offs), np.array(stated)
    if not absolute:
        error = without_common(np.array(truths), error, np.array(numbers))
        variance = variance + np.median(variance, axis=0)
    size = np.linalg.norm(error, axis=2)
    bad = (size > WRONG) & (size > 5.0 * np.sqrt(variance.sum(axis=2)))
    return len(offs), int((bad.any(axis=1) | np.array(hopeless)).sum())


def without_common(truth: np.ndarray, error: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Errors (I, 5, 2) less a linear transformation of all, and an offset of each place of each detector."""
    images, places = error.shape[:2]
    which = (number[:, None] * places + np.arange(places)).ravel()
    offsets = (which[:, None] == np.unique(which)).astype(float)
    design = np.column_stack([truth.reshape(-1, 2), offsets])
    flat = error.reshape(-1, 2)
    solution = np.linalg.lstsq(design, flat, rcond=None)[0]
    for _ in range(5):  # the median of the images, not their mean: one that is wrong must not hide in all
        size = np.linalg.norm(flat - design @ solution, axis=1)
        root = 1.0 / np.sqrt(np.maximum(size, 1e-4))[:, None]
        solution = np.linalg.lstsq(root * design, root * flat, rcond=None)[0]
    return (flat - design @ solution).reshape(images, places, 2)


def judge_scene(kind: str, absolute: bool, seed: int) -> tuple[int, int, int, int]:
    """The same for a scene that goes through the pipeline."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    scene, options = PIXELS[kind](seed)
    reference = None
    if absolute:
        reference = catalog_of(scene.gaia(), "gaia", Selection.of_reference(), name="gaia", provenance="")
    aligned = align_scene(scene, reference, **options)
    complete = aligned.complete
    place, error, variance = aligned.errors(only=complete)
    if not absolute and len(error):
        # Where a place of a detector is off in all exposures alike, none of them can see it.
        names = [exposure.detector.name for exposure in scene.exposures]
        number = np.unique(np.array(names)[complete], return_inverse=True)[1]
        error = without_common(place, error, number)
        variance = variance + np.median(variance, axis=0)
    size = np.linalg.norm(error, axis=2)
    bad = (size > WRONG) & (size > 5.0 * np.sqrt(variance.sum(axis=2)))
    stages = aligned.alignment.absolute if absolute else aligned.alignment.relative
    refused = sum(group in stages and stages[group].outcome is Outcome.MISFIT for group in aligned.groups)
    return len(complete), int(complete.sum()), int(bad.any(axis=1).sum()), refused


def judge(kind: str, absolute: bool, seed: int) -> tuple[int, int, int, int]:
    """Images, COMPLETE ones, wrong ones, refused as MISFIT."""
    if kind in PIXELS:
        return judge_scene(kind, absolute, seed)
    warnings.simplefilter("ignore")
    rng = np.random.default_rng((seed, sum(map(ord, kind))))
    made = KINDS[kind](rng)
    images, errors, catalog = observe(made, rng)
    stages = [StageConfig.of(stage, DEFAULTS | made.settings) for stage in Stage]
    known = catalog if absolute else None
    order = Order(expand_refcat=absolute)
    alignment = align_on_plane(images, PLANE, stages[0], stages[1] if absolute else None, known, order=order)
    complete, wrong = wrong_images(made, errors, alignment, absolute)
    results = alignment.absolute if absolute else alignment.relative
    refused = sum(results[image.group].outcome is Outcome.MISFIT for image in images)
    return len(images), complete, wrong, refused


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="*", help=f"of {', '.join([*KINDS, *PIXELS])}; all by default")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    print(f"{'kind':24} {'mode':9} images complete  wrong misfit")
    with ProcessPoolExecutor(options.jobs) as pool:
        for kind in options.kind or [*KINDS, *PIXELS]:
            for absolute in (False, True):
                rows = np.array(list(pool.map(partial(judge, kind, absolute), range(options.seeds))))
                total, complete, wrong, refused = rows.sum(axis=0)
                note = " (positions alone cannot decide)" if kind in UNDECIDABLE else ""
                note = f" false alarms {refused / total:.1%}" if kind in RIGHT else note
                note += f" seeds {np.flatnonzero(rows[:, 2]).tolist()}" if wrong else ""
                mode = "absolute" if absolute else "relative"
                print(f"{kind:24} {mode:9} {total:6d} {complete:8d} {wrong:6d} {refused:6d}{note}", flush=True)


if __name__ == "__main__":
    main()
