"""A picture of before and after: all exposures added up at the places where their WCS put them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from tweakreg.observatory.missions import images_of, open_model
from tweakreg.plane import Floats, TangentPlane


def exposures(directory: Path) -> tuple[list[Path], list[Path]]:
    """Files before and after in the folder of a demo."""
    before = sorted(path for pattern in ("*_cal.*", "*_flc.fits") for path in directory.glob(pattern))
    after = [
        directory / "aligned" / path.name
        if "_flc" in path.name
        else path.with_stem(path.stem.replace("_cal", "_tweakreg"))
        for path in before
    ]
    return before, after


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
    centre = _busiest(stars, width)
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for axis, paths, title in zip(axes, exposures(directory), ("before", "after"), strict=True):
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
    total, count = np.zeros((n, n)), np.zeros((n, n))
    edges = np.linspace(-width / 2, width / 2, n + 1)
    for path in paths:
        with open_model(path) as model:
            for image in images_of(model, path):
                pixels = image.pixels(dqbits="0")
                y, x = np.indices(pixels.data.shape)
                xy = plane.project(*image.sky(x.ravel().astype(float), y.ravel().astype(float)))
                value = pixels.data.ravel()
                good = np.isfinite(value) & ~pixels.mask.ravel()
                for array, weight in ((total, value[good] - np.median(value[good])), (count, None)):
                    array += np.histogram2d(xy[good, 1], xy[good, 0], bins=(edges, edges), weights=weight)[0]
    return np.asarray(total / np.maximum(count, 1.0))
