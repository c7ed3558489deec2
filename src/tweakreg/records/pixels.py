"""What source finding needs of an exposure, and a picture of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tweakreg.plane import Bools, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """What source finding needs of an exposure.

    Attributes
    ----------
    data : (ny, nx) float array
        Science pixels, any unit.
    error : (ny, nx) float array or None
        Standard deviations, same unit.
    mask : (ny, nx) bool array
        True where a pixel must not be used.
    bounds : ((xmin, xmax), (ymin, ymax)) or None
        Where the WCS is valid, in 0-indexed pixels; sources outside are dropped.
    """

    data: Floats
    error: Floats | None
    mask: Bools
    bounds: tuple[tuple[float, float], tuple[float, float]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A small picture of an exposure's pixels, for people.

    Attributes
    ----------
    values : (h, w) uint8 array
        0 is the sky, 255 the brightest; of no pixel, 0.
    step : int
        Pixels per side of a cell.
    shape : (int, int)
        Of the exposure: ny, nx.
    """

    values: NDArray[np.uint8]
    step: int
    shape: tuple[int, int]
