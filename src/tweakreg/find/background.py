"""The background and its noise."""

from __future__ import annotations

import warnings

import numpy as np
from astropy.stats import SigmaClip
from astropy.utils.exceptions import AstropyUserWarning

from tweakreg.plane import Floats
from tweakreg.types import Bools


def subtract_background(data: Floats, mask: Bools, box_size: int) -> tuple[Floats, float]:
    """Subtract the background estimated in boxes.

    Parameters
    ----------
    data : (ny, nx) float array
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
        return np.zeros_like(data), np.nan
    box = (min(box_size, data.shape[0]), min(box_size, data.shape[1]))
    settings = {
        "coverage_mask": mask,
        "sigma_clip": SigmaClip(sigma=3.0),
        "bkg_estimator": MedianBackground(),
    }
    clean = np.where(mask, 0.0, data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)
        try:
            background = Background2D(clean, box, filter_size=(3, 3), **settings)
        except ValueError:
            # No box has enough good pixels: one box over all of them.
            background = Background2D(clean, data.shape, filter_size=(1, 1), exclude_percentile=100.0, **settings)
    noise = float(np.median(background.background_rms[~mask]))
    return np.where(mask, 0.0, clean - background.background), noise
