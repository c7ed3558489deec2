"""Stars that are trails: the telescope moved over the sky during the exposure."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from tweakreg.plane import Bools, Floats
from tweakreg.records import Pixels, SourceCatalog

#: So many detections are looked at, of all brightnesses, each in a window that reaches so many pixels.
_MOST, _REACH = 60, 12
#: Pixels this many standard deviations above the sky, and connected with the detection, are its shape ...
_LIMIT = 4.0
#: ... if they are as many as this.
_LEAST_PIXELS = 9
#: Fewer shapes than this tell nothing.
_LEAST_SHAPES = 8
#: A shape this much longer than it is wide is a trail; of a star's width, trails may be lost in fewer pixels.
_ELONGATED = 1.8
#: Resultant length of the directions (1 if all are the same, near 0 if they are random) from which on they agree.
_AGREE = 0.9


def trails(pixels: Pixels, catalog: SourceCatalog) -> str:
    """What says that stars are trails; empty where they are none.

    Parameters
    ----------
    pixels : Pixels
        Of the exposure.
    catalog : SourceCatalog
        What was found in it.

    Returns
    -------
    str
        How many detections are elongated alike. A few bright stars that bleed, or galaxies, which point anywhere, are
        no trails: most detections of all brightnesses must be.

    Notes
    -----
    The length of a shape over its width is the root of the ratio of the eigenvalues of its second moments. Directions,
    which repeat after half a turn, are averaged as twice their angles (Mardia and Jupp 2000, Directional Statistics).
    """
    order = np.argsort(-catalog.flux, kind="stable")
    chosen = (
        order[np.unique(np.linspace(0, len(order) - 1, min(_MOST, len(order))).astype(int))] if len(order) else order
    )
    good = ~pixels.mask & np.isfinite(pixels.data)
    seen = [_shape(pixels.data, good, catalog.x[index], catalog.y[index]) for index in chosen]
    shapes = np.array([each for each in seen if each is not None]).reshape(-1, 2)
    if len(shapes) < _LEAST_SHAPES:
        return ""
    ratio, angle = shapes.T
    agree = abs(np.mean(np.exp(2j * angle[ratio > _ELONGATED]))) if (ratio > _ELONGATED).any() else 0.0
    if np.median(ratio) <= _ELONGATED or agree < _AGREE:
        return ""
    number = int((ratio > _ELONGATED).sum())
    return f"{number} of {len(shapes)} detections are {np.median(ratio):.1f} times as long as wide, in one direction"


def _shape(data: Floats, good: Bools, x: float, y: float) -> tuple[float, float] | None:
    """Length over width, and direction in radians from the x axis; None where too few pixels have it."""
    row, column = round(y), round(x)
    rows = slice(max(row - _REACH, 0), row + _REACH + 1)
    columns = slice(max(column - _REACH, 0), column + _REACH + 1)
    window, valid = data[rows, columns], good[rows, columns]
    values = window[valid]
    if len(values) < 2 * _REACH:
        return None
    # The darker half is sky, whatever else is in the window.
    sky = np.percentile(values, 25)
    noise = (sky - np.percentile(values, 5)) / 0.97
    above = valid & (window > sky + (_LIMIT + 0.67) * noise)
    labels, _ = ndimage.label(above, structure=np.ones((3, 3)))
    here = labels[min(row - rows.start, len(labels) - 1), min(column - columns.start, labels.shape[1] - 1)]
    if here == 0:
        return None
    dy, dx = np.nonzero(labels == here)
    if len(dx) < _LEAST_PIXELS:
        return None
    # A pixel is as wide as it is: its own moment is 1/12.
    (xx, xy), (_, yy) = np.cov(dx, dy, bias=True) + np.eye(2) / 12.0
    mean, difference = (xx + yy) / 2.0, np.hypot((xx - yy) / 2.0, xy)
    return float(np.sqrt((mean + difference) / (mean - difference))), float(0.5 * np.arctan2(2.0 * xy, xx - yy))
