"""How far the WCS of exposures are from the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tweakreg.plane import MAS_PER_ARCSEC, Floats, TangentPlane
from tweakreg.simulate.scene import Scene

_GRID = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Errors of a set of WCS.

    Attributes
    ----------
    names : tuple of str
        Of the exposures.
    absolute : (N,) float array
        Root mean square over each detector of the distance from the truth, mas.
    relative : (N,) float array
        The same after one shift and rotation common to all, mas.
    """

    names: tuple[str, ...]
    absolute: Floats
    relative: Floats


def score(wcs: Mapping[str, Any], truth: Mapping[str, Any], size: int) -> Score:
    """Compare WCS with the true ones on a grid of pixels.

    Parameters
    ----------
    wcs, truth : mapping of name to gwcs.WCS
        Those of `wcs` are judged.
    size : int
        Pixels per side of the detectors.

    Returns
    -------
    Score
    """
    names = tuple(wcs)
    axis = np.linspace(0.0, size - 1.0, _GRID)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    expected_sky = [truth[name](x, y, with_bounding_box=False) for name in names]
    plane = TangentPlane.around(*(np.concatenate([sky[i] for sky in expected_sky]) for i in (0, 1)))
    expected = np.array([plane.project(*sky) for sky in expected_sky])
    measured = np.array([plane.project(*wcs[name](x, y, with_bounding_box=False)) for name in names])
    error = measured - expected
    return Score(names=names, absolute=_rms(error), relative=_rms(error - _common_motion(expected, error)))


def score_library(library: Any, scene: Scene) -> Score:
    """Compare the WCS of simulated exposures in a library with the true ones.

    Parameters
    ----------
    library : ModelLibrary
        As `tweakreg.align` or the step gives it; in the order of the scene.
    scene : Scene
        Which the exposures are of.

    Returns
    -------
    Score
        In the order of the library.
    """
    found = {}
    with library:
        for index, exposure in enumerate(scene.exposures):
            model = library.borrow(index)
            found[exposure.filename] = model.meta.wcs
            library.shelve(model, index, modify=False)
    return score(found, scene.truth, scene.config.size)


def _rms(error: Floats) -> Floats:
    return np.asarray(np.sqrt(np.mean(np.sum(error**2, axis=2), axis=1)) * MAS_PER_ARCSEC)


def _common_motion(position: Floats, error: Floats) -> Floats:
    """The shift and (small) rotation of all exposures that explain the errors best."""
    flat, target = position.reshape(-1, 2), error.reshape(-1)
    design = np.zeros((len(flat), 2, 3))
    design[:, 0, 0] = design[:, 1, 1] = 1.0
    design[:, 0, 2], design[:, 1, 2] = -flat[:, 1], flat[:, 0]
    solution = np.linalg.lstsq(design.reshape(-1, 3), target, rcond=None)[0]
    return np.asarray((design.reshape(-1, 3) @ solution).reshape(error.shape))
