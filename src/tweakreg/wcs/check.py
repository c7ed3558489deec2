"""Whether a WCS is one of an image, and gives finite places."""

from __future__ import annotations

from typing import Any

import numpy as np

from tweakreg.errors import WCSError, first_line
from tweakreg.wcs.footprint import Bounds, sky

#: Pixels this large on the sky, arcsec, are of no telescope's camera.
_LARGEST_PIXEL = 60.0


def check_imaging(wcs: Any, bounds: Bounds) -> None:
    """Evaluate a WCS on the corners, edges and the middle of an image.

    Parameters
    ----------
    wcs : gwcs.WCS
        From pixels to the sky.
    bounds : Bounds
        Outer edges of the pixels for which it is valid.

    Raises
    ------
    WCSError
        It has other inputs than x and y, cannot be evaluated, gives NaN, or puts all pixels at one place.
    """
    forward = wcs.forward_transform
    if (forward.n_inputs, forward.n_outputs) != (2, 2):
        numbers = f"{forward.n_inputs} inputs and {forward.n_outputs} outputs"
        raise WCSError(f"its WCS has {numbers}, that of an image has two of each")
    check_places(wcs, bounds)


def check_places(wcs: Any, bounds: Bounds) -> None:
    """As `check_imaging`, for a WCS whose axes are known.

    Parameters
    ----------
    wcs : callable
        From pixels to the sky.
    bounds : Bounds
        Outer edges of the pixels for which it is valid.

    Raises
    ------
    WCSError
        It cannot be evaluated, gives NaN, or puts all pixels at one place.
    """
    if not np.isfinite(bounds).all() or min(high - low for low, high in bounds) <= 0.0:
        raise WCSError(f"the bounding box of its WCS holds no pixels of it: {bounds}")
    x, y = (grid.ravel() for grid in np.meshgrid(*(np.linspace(low, high, 3) for low, high in bounds)))
    try:
        ra, dec = sky(wcs, x, y)
    except Exception as error:  # whatever a model of astropy raises
        raise WCSError(f"its WCS cannot be evaluated ({first_line(error)})") from error
    if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
        raise WCSError("its WCS gives NaN for pixels of the image")
    if np.abs(dec).max() > 90.0:
        raise WCSError("its WCS gives declinations beyond the poles")
    extent = 3600.0 * (dec.max() - dec.min() + np.ptp(np.unwrap(np.radians(ra))))
    width = max(high - low for low, high in bounds)
    if not 0.0 < extent < 10.0 * _LARGEST_PIXEL * width:
        raise WCSError("its WCS puts all pixels at one place, or all over the sky")
