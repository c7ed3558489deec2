"""A picture of before and after: all exposures added up at the places where their WCS put them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from tweakreg.plane import Floats, TangentPlane
from tweakreg.wcs.footprint import sky


def draw_before_after(figure: Any, directory: Path, size: int, width: float = 3.0) -> None:
    """Draw the field around a bright star into a matplotlib figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Where to draw.
    directory : Path
        Of a demo.
    size : int
        Pixels per side of a detector.
    width : float
        Of the field, arcsec.
    """
    stars = Table.read(directory / "refcat.ecsv")
    names = sorted(path.name for path in directory.glob("*_cal.fits"))
    centre = _busiest(stars, width)
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for axis, suffix, title in zip(axes, ("cal", "tweakreg"), ("before", "after"), strict=True):
        paths = [directory / name.replace("_cal", f"_{suffix}") for name in names]
        image = _stack(paths, centre, width)
        half = width / 2
        axis.imshow(np.arcsinh(image / 200.0), origin="lower", extent=(-half, half, -half, half), cmap="magma")
        xy = centre.project(stars["RA"], stars["DEC"])
        axis.plot(*xy.T, "o", mfc="none", mec="deepskyblue", ms=14, mew=1.2, label="reference catalog")
        axis.set(title=title, xlabel="east, arcsec", xlim=(half, -half), ylim=(-half, half))
    axes[0].set_ylabel("north, arcsec")
    axes[1].legend(loc="lower right", fontsize="small")


def _busiest(stars: Table, width: float) -> TangentPlane:
    """The plane around the catalog star with most neighbours near the middle of the field."""
    plane = TangentPlane.around(stars["RA"], stars["DEC"])
    xy = plane.project(stars["RA"], stars["DEC"])
    inner = np.flatnonzero(np.linalg.norm(xy, axis=1) < 0.6 * np.median(np.linalg.norm(xy, axis=1)))
    distance = np.linalg.norm(xy[inner, None] - xy[None], axis=2)
    best = inner[np.argmax((distance < width / 2).sum(axis=1))]
    return TangentPlane(ra=float(stars["RA"][best]), dec=float(stars["DEC"][best]))


def _stack(paths: list[Path], plane: TangentPlane, width: float, n: int = 120) -> Floats:
    """Mean of all pixels that the WCS put into each cell of the field."""
    from stdatamodels.jwst import datamodels

    total, count = np.zeros((n, n)), np.zeros((n, n))
    edges = np.linspace(-width / 2, width / 2, n + 1)
    for path in paths:
        with datamodels.open(path) as model:
            data = np.asarray(model.data)
            y, x = np.indices(data.shape)
            xy = plane.project(*sky(model.meta.wcs, x.ravel().astype(float), y.ravel().astype(float)))
            value = data.ravel()
            good = np.isfinite(value) & (np.asarray(model.dq).ravel() == 0)
            for array, weight in ((total, value[good] - np.median(value[good])), (count, None)):
                array += np.histogram2d(xy[good, 1], xy[good, 0], bins=(edges, edges), weights=weight)[0]
    return np.asarray(total / np.maximum(count, 1.0))
