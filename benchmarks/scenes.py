"""Simulated scenes through the pipeline: errors of the corrected WCS, and what is stated for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tweakreg import TweakRegStep
from tweakreg.observatory.exposure import ExposureImage
from tweakreg.observatory.library import ModelLibrary
from tweakreg.observatory.missions import image_of
from tweakreg.parameters import Config, make_config
from tweakreg.pipeline.align import align_exposures
from tweakreg.pipeline.measure import measure
from tweakreg.pipeline.reference import Reference
from tweakreg.records import Alignment, Outcome, ReferenceCatalog, Status
from tweakreg.reference.providers import Request
from tweakreg.simulate.models import make_catalog, make_model
from tweakreg.simulate.scene import Scene, SimulatedExposure
from tweakreg.wcs.footprint import to_pixels


@dataclass
class Aligned:
    """A scene and its alignment; all arrays have one row per image, and one column for its centre and each corner."""

    scene: Scene
    alignment: Alignment
    absolute: bool
    groups: list[str]

    @property
    def complete(self) -> np.ndarray:
        """Which images are COMPLETE."""
        known = self.alignment.relative
        return np.array([g in known and self.alignment.status(g) is Status.COMPLETE for g in self.groups])

    def errors(self, only: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places on the sky (I, 5, 2), errors, stated variances, arcsec: of some images, or of those that are aligned.

        In relative mode against where the reference exposure's WCS, which is wrong itself, puts the same stars.
        """
        size, plane = self.scene.config.size, self.alignment.plane
        far = size - 1.0
        x, y = np.array([[far / 2, far / 2], [0.0, 0.0], [far, 0.0], [far, far], [0.0, far]]).T
        first = self._reference()
        stages = self.alignment.absolute if self.absolute else self.alignment.relative
        aligned = [g in stages and stages[g].outcome is Outcome.ALIGNED for g in self.groups]
        chosen = aligned if only is None else only
        rows = []
        for exposure, group, wanted in zip(self.scene.exposures, self.groups, chosen, strict=True):
            if not wanted:
                continue
            sky = exposure.truth(x, y, with_bounding_box=False)
            expected = place = plane.project(*sky)
            if not self.absolute:
                seen = first.wcs(*to_pixels(first.truth, *sky), with_bounding_box=False)
                expected = plane.project(*seen)
            before = plane.project(*exposure.wcs(x, y, with_bounding_box=False))
            name = exposure.filename.removesuffix(".fits")
            covariance = self.alignment.covariance_at(group, before, name)
            error = self.alignment.corrections[group](before) - expected
            rows.append((place, error, np.diagonal(covariance, axis1=1, axis2=2)))
        if not rows:
            return (np.empty((0, 5, 2)),) * 3
        return tuple(map(np.array, zip(*rows, strict=True)))

    def normalised(self) -> np.ndarray:
        """Errors over stated errors, (I, 5, 2)."""
        _, error, variance = self.errors()
        return error / np.sqrt(variance)

    def _reference(self) -> SimulatedExposure:
        pairs = zip(self.scene.exposures, self.groups, strict=True)
        relative = self.alignment.relative
        return next(
            (e for e, g in pairs if g in relative and relative[g].outcome is Outcome.REFERENCE), self.scene.exposures[0]
        )


def align_scene(
    scene: Scene,
    reference: ReferenceCatalog | None = None,
    *,
    noise: float | None = None,
    change: Callable[[Any, SimulatedExposure], None] = lambda model, exposure: None,
    **parameters: Any,
) -> Aligned:
    """Align a scene.

    Parameters
    ----------
    scene : Scene
        What was seen.
    reference : ReferenceCatalog, optional
        For an absolute alignment.
    noise : float, optional
        Of positions, pixels: no pixels are drawn.
    change : callable
        What to change of each model.
    **parameters
        Of the step.
    """
    absolute = reference is not None
    step = TweakRegStep(abs_refcat="GAIADR3" if absolute else "", **{"roundhi": 0.6} | parameters)
    config = make_config(step.get_pars())
    models = []
    for exposure in scene.exposures:
        models.append(make_model(scene, exposure, pixels=noise is None))
        change(models[-1], exposure)
    exposures = _exposures(scene, models, noise, config)
    known = None if reference is None else Reference(Request(given=reference), config.find)
    alignment = align_exposures(exposures, known, config)
    return Aligned(scene=scene, alignment=alignment, absolute=absolute, groups=[each.key for each in exposures])


def _exposures(scene: Scene, models: list[Any], noise: float | None, config: Config) -> list[ExposureImage]:
    if noise is None:
        return measure(ModelLibrary(models), config).exposures
    return [
        image_of(model, exposure.filename).measured(make_catalog(scene, exposure, noise=noise), str(exposure.number))
        for model, exposure in zip(models, scene.exposures, strict=True)
    ]
