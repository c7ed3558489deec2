"""Pixels of simulated exposures."""

from __future__ import annotations

import numpy as np
from scipy.special import erf

from tweakreg.plane import Floats
from tweakreg.simulate.instrument import to_pixels
from tweakreg.simulate.scene import Scene, SimulatedExposure
from tweakreg.types import Bools

_FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


def render(scene: Scene, exposure: SimulatedExposure) -> tuple[Floats, Floats, Bools, Bools]:
    """Draw an exposure.

    Returns
    -------
    data, error : (ny, nx) float arrays
        Electrons.
    saturated, bad : (ny, nx) bool arrays
    """
    config = scene.config
    rng = np.random.default_rng((config.seed, exposure.number, sum(map(ord, exposure.detector.name))))
    image = np.full((config.size, config.size), config.background)
    if exposure.number not in config.blank:
        x, y = to_pixels(exposure.truth, scene.ra, scene.dec)
        add_stars(image, x, y, scene.flux, config.fwhm)
    error = np.sqrt(image + config.read_noise**2)
    image += rng.normal(size=image.shape) * error
    saturated = image > config.saturation
    image[saturated] = config.saturation
    bad = rng.uniform(size=image.shape) < config.bad_pixels
    image[bad] = rng.choice([np.nan, 0.0, config.saturation], size=int(bad.sum()))
    return image, error, saturated, bad


def add_stars(image: Floats, x: Floats, y: Floats, flux: Floats, fwhm: float) -> None:
    """Add Gaussian stars, integrated over the pixels, to an image in place.

    Parameters
    ----------
    image : (ny, nx) float array
    x, y : (N,) float arrays
        0-indexed pixels.
    flux : (N,) float array
    fwhm : float
        Pixels.
    """
    sigma = fwhm / _FWHM_PER_SIGMA
    reach = int(np.ceil(5.0 * sigma)) + 1
    ny, nx = image.shape
    near = (x > -reach) & (x < nx + reach) & (y > -reach) & (y < ny + reach)
    x, y, flux = x[near], y[near], flux[near]
    steps = np.arange(-reach, reach + 1)
    columns, rows = np.rint(x).astype(int)[:, None] + steps, np.rint(y).astype(int)[:, None] + steps
    stamps = flux[:, None, None] * _profile(rows, y, sigma)[:, :, None] * _profile(columns, x, sigma)[:, None, :]
    rows, columns = np.broadcast_arrays(rows[:, :, None], columns[:, None, :])
    inside = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
    np.add.at(image, (rows[inside], columns[inside]), stamps[inside])


def _profile(pixels: np.ndarray, centre: Floats, sigma: float) -> Floats:
    """Share of a Gaussian's flux in each pixel along one axis, (N, n)."""
    upper = (pixels + 0.5 - centre[:, None]) / (np.sqrt(2.0) * sigma)
    lower = (pixels - 0.5 - centre[:, None]) / (np.sqrt(2.0) * sigma)
    return np.asarray(0.5 * (erf(upper) - erf(lower)))
