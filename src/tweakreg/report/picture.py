"""A small picture of an exposure, kept while its pixels are put away."""

from __future__ import annotations

import numpy as np

from tweakreg.records import Picture, Pixels

#: Longest side, cells: what a plot of a few inches can show.
_LONGEST = 400
#: Percentage of the cells that may be saturated.
_SATURATED = 0.3
#: Least range of the picture, in ranges of the sky.
_LEAST_RANGE = 4.0


def make_picture(pixels: Pixels) -> Picture:
    """Block means, from the sky level of a z-scale to the brightest, compressed by an inverse hyperbolic sine.

    Parameters
    ----------
    pixels : Pixels
        Pixels and their mask.

    Returns
    -------
    Picture
        All 0 where there is no usable pixel.
    """
    from astropy.visualization import AsinhStretch, ZScaleInterval

    data = np.where(pixels.mask, np.nan, pixels.data)
    step = -(-max(data.shape) // _LONGEST)
    h, w = (-(-length // step) for length in data.shape)
    padded = np.full((h * step, w * step), np.nan, dtype=np.float32)
    padded[: data.shape[0], : data.shape[1]] = data
    good = np.isfinite(padded)
    padded[~good] = 0.0
    blocks = (h, step, w, step)
    number = good.reshape(blocks).sum(axis=(1, 3))
    mean = padded.reshape(blocks).sum(axis=(1, 3), dtype=float) / np.maximum(number, 1)
    values = np.zeros((h, w), dtype=np.uint8)
    known = number > 0
    if known.any():
        low, sky = ZScaleInterval().get_limits(mean[known])
        # Where there are few stars, the highest cells are noise.
        high = max(float(np.percentile(mean[known], 100.0 - _SATURATED)), float(low + _LEAST_RANGE * (sky - low)))
        if high > low:
            scaled = np.clip((mean - low) / (high - low), 0.0, 1.0)
            knee = np.clip((sky - low) / (high - low), 1e-3, 1.0)
            values = np.where(known, 255.0 * AsinhStretch(knee)(scaled), 0.0).astype(np.uint8)
    return Picture(values=values, step=step, shape=(int(data.shape[0]), int(data.shape[1])))
