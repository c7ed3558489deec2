"""Where a detector lies on the sky."""

from __future__ import annotations

from typing import Any

import numpy as np

from tweakreg.plane import Floats, separation

Bounds = tuple[tuple[float, float], tuple[float, float]]


def pixel_bounds(wcs: Any, shape: tuple[int, int]) -> Bounds:
    """Outer edges ((xmin, xmax), (ymin, ymax)) of the pixels for which the WCS is valid.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of the image.
    shape : (ny, nx)
        Shape of the image: a bounding box that reaches beyond it, as that of a larger one may, ends at its edges.
    """
    ny, nx = shape
    edges = (-0.5, nx - 0.5), (-0.5, ny - 0.5)
    box = wcs.bounding_box
    if box is None or wcs.forward_transform.n_inputs != 2:
        return edges
    box = box.bounding_box(order="F") if hasattr(box, "bounding_box") else box
    x, y = (
        (max(float(low), first), min(float(high), last)) for (low, high), (first, last) in zip(box, edges, strict=True)
    )
    return x, y


def sky(wcs: Any, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Right ascension and declination of pixels, degrees, also on and beyond the bounding box."""
    ra, dec = wcs(np.asarray(x, dtype=float), np.asarray(y, dtype=float), with_bounding_box=False)
    return np.asarray(ra, dtype=float) % 360.0, np.asarray(dec, dtype=float)


def to_pixels(wcs: Any, ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
    """Exact pixel positions: a fitted inverse, improved with the forward transformation."""
    x, y = wcs.invert(ra, dec, with_bounding_box=False)
    target_x, target_y = np.array(x), np.array(y)
    for _ in range(3):
        again_x, again_y = wcs.invert(*wcs(x, y, with_bounding_box=False), with_bounding_box=False)
        x, y = x + (target_x - again_x), y + (target_y - again_y)
    return np.asarray(x), np.asarray(y)


def vertices(wcs: Any, bounds: Bounds, n_per_side: int = 1) -> tuple[Floats, Floats]:
    """Sky positions along the outer pixel edges, counter-clockwise in pixels from the lower left corner.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of the image.
    bounds : Bounds
        Outer edges of its pixels.
    n_per_side : int
        1 gives the corners; more follow distorted edges.
    """
    (xmin, xmax), (ymin, ymax) = bounds
    corners = np.array([[xmin, ymin], [xmax, ymin], [xmax, ymax], [xmin, ymax], [xmin, ymin]])
    steps = np.arange(n_per_side) / n_per_side
    points = corners[:-1, None, :] + steps[None, :, None] * np.diff(corners, axis=0)[:, None, :]
    x, y = points.reshape(-1, 2).T
    return sky(wcs, x, y)


def s_region(wcs: Any, bounds: Bounds) -> str:
    """Value of the S_REGION keyword: the sky polygon of the pixels' outer corners.

    Raises
    ------
    ValueError
        A corner has no sky position.
    """
    ra, dec = vertices(wcs, bounds)
    if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
        raise ValueError("a corner of the image has no sky position")
    numbers = " ".join(f"{value:.9f}" for pair in zip(ra, dec, strict=True) for value in pair)
    return f"POLYGON ICRS  {numbers}"


def pixel_scale(wcs: Any, bounds: Bounds) -> float:
    """Side of a pixel in the middle of the image, arcsec: the root of its area."""
    (xmin, xmax), (ymin, ymax) = bounds
    x, y = (xmin + xmax) / 2.0, (ymin + ymax) / 2.0
    ra, dec = sky(wcs, np.array([x, x + 1.0, x]), np.array([y, y, y + 1.0]))
    sides = separation(ra[0], dec[0], ra[1:], dec[1:])
    return float(np.sqrt(sides[0] * sides[1]))
