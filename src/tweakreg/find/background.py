"""The background and its noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from astropy.stats import SigmaClip
from astropy.utils.exceptions import AstropyUserWarning

from tweakreg.plane import Bools, Floats
from tweakreg.process import silenced


def subtract_background(data: Floats, mask: Bools, box_size: int) -> tuple[Floats, float]:
    """Subtract the background estimated in boxes.

    Parameters
    ----------
    data : (ny, nx) float array
        Science pixels, any unit.
    mask : (ny, nx) bool array
        Pixels that do not count.
    box_size : int
        Side of the boxes, pixels.

    Returns
    -------
    subtracted : (ny, nx) float array
        0 in masked pixels.
    noise : float
        Median standard deviation of the background; NaN when no pixel is left.
    """
    from photutils.background import Background2D, MedianBackground

    if mask.all():
        return np.zeros(data.shape), np.nan
    box = (min(box_size, data.shape[0]), min(box_size, data.shape[1]))
    settings = {
        "coverage_mask": mask,
        "sigma_clip": SigmaClip(sigma=3.0),
        "bkg_estimator": MedianBackground(),
    }
    clean = data.astype(float)
    clean[mask] = 0.0
    with silenced(AstropyUserWarning):
        try:
            background = Background2D(clean, box, filter_size=(3, 3), **settings)
        except ValueError:
            # No box has enough good pixels: one box over all of them.
            background = Background2D(clean, data.shape, filter_size=(1, 1), exclude_percentile=100.0, **settings)
    box = (int(background.box_size[0]), int(background.box_size[1]))
    noise = float(np.median(_expand(background.background_rms_mesh, box, data.shape)[~mask]))
    clean -= _expand(background.background_mesh, box, data.shape)
    clean[mask] = 0.0
    return clean, noise


def _expand(mesh: Floats, box: tuple[int, int], shape: tuple[int, ...]) -> Floats:
    """Interpolate a value per box to all pixels, as `photutils.background.Background2D` does.

    Its cubic spline is linear in the mesh and separable, so that two thin matrices do in 20 ms what
    evaluating the spline in every pixel does in 300.
    """
    rows, columns = (
        _spline(n_boxes, side)[:n_pixels] for n_boxes, side, n_pixels in zip(mesh.shape, box, shape, strict=True)
    )
    # Not a product of the BLAS, whose threads would get in the way of other workers.
    full: Floats = np.einsum("ik,kj->ij", rows @ mesh, np.ascontiguousarray(columns.T))
    return np.clip(full, mesh.min(), mesh.max(), out=full)


@lru_cache(maxsize=8)
def _spline(n_boxes: int, side: int) -> Floats:
    """Value at each of ``n_boxes × side`` pixels (rows) for a mesh of 1 in one box and 0 elsewhere (columns)."""
    from scipy.ndimage import zoom

    return np.column_stack([zoom(unit, side, order=3, mode="reflect", grid_mode=True) for unit in np.eye(n_boxes)])
