"""Pixels of simulated exposures."""

from __future__ import annotations

import numpy as np
from scipy.special import erf

from tweakreg.plane import Bools, Floats
from tweakreg.simulate.scene import Scene, SceneConfig, SimulatedExposure
from tweakreg.wcs.footprint import to_pixels

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
        x, y = to_pixels(exposure.truth, *scene.at(exposure.epoch))
        add_trails(image, x, y, scene.flux * (1.0 - config.wings), config)
        if config.wings > 0.0:
            add_wings(image, x, y, scene.flux * config.wings, config.fwhm)
        add_galaxies(image, scene, exposure)
    error = np.sqrt(image + config.read_noise**2)
    image += rng.normal(size=image.shape) * error
    add_cosmic_rays(image, rng, config.cosmic_rays)
    add_hot_pixels(image, config.hot_pixels, sum(map(ord, exposure.detector.name)))
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
        Changed in place.
    x, y : (N,) float arrays
        0-indexed pixels.
    flux : (N,) float array
        Of each star, in the unit of the image.
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


def add_trails(image: Floats, x: Floats, y: Floats, flux: Floats, config: SceneConfig) -> None:
    """Add stars over which the telescope moved to an image in place; points where it did not.

    Parameters
    ----------
    image, x, y, flux
        As for `add_stars`.
    config : SceneConfig
        Says how far, and how wide the stars are.
    """
    length = float(np.hypot(*config.trail))
    steps = np.linspace(-0.5, 0.5, max(1, int(np.ceil(4.0 * length))))
    for step in steps - steps.mean():
        dx, dy = step * np.array(config.trail)
        add_stars(image, x + dx, y + dy, flux / len(steps), config.fwhm)


def add_wings(image: Floats, x: Floats, y: Floats, flux: Floats, fwhm: float) -> None:
    """Add Moffat wings with index 1.5 to an image in place, for the brighter half of the stars."""
    bright = flux > np.median(flux)
    for x0, y0, total in zip(x[bright], y[bright], flux[bright], strict=True):
        r2, window = _distance2(image.shape, x0, y0, int(np.clip(20.0 * fwhm, 20, 60)), 1.0)
        if r2 is not None:
            # The integral of (1 + r**2 / a**2)**-1.5 over the plane is 2 pi a**2.
            image[window] += total / (2.0 * np.pi * fwhm**2) * (1.0 + r2 / fwhm**2) ** -1.5


def add_galaxies(image: Floats, scene: Scene, exposure: SimulatedExposure) -> None:
    """Add exponential disks to an image in place."""
    if len(scene.galaxies) == 0:
        return
    ra, dec, flux, size, ratio = scene.galaxies.T
    for x0, y0, total, scale, q in zip(*to_pixels(exposure.truth, ra, dec), flux, size, ratio, strict=True):
        r2, window = _distance2(image.shape, x0, y0, int(8.0 * scale), q)
        if r2 is not None:
            image[window] += total / (2.0 * np.pi * q * scale**2) * np.exp(-np.sqrt(r2) / scale)


def add_cosmic_rays(image: Floats, rng: np.random.Generator, mean_number: float) -> None:
    """Add hits of one to six pixels in a row to an image in place, as bright as stars."""
    ny, nx = image.shape
    for _ in range(rng.poisson(mean_number)):
        length, angle = rng.integers(1, 7), rng.uniform(0.0, 2.0 * np.pi)
        steps = np.arange(length)
        columns = np.rint(rng.uniform(0, nx) + steps * np.cos(angle)).astype(int)
        rows = np.rint(rng.uniform(0, ny) + steps * np.sin(angle)).astype(int)
        inside = (columns >= 0) & (columns < nx) & (rows >= 0) & (rows < ny)
        image[rows[inside], columns[inside]] += 10.0 ** rng.uniform(2.5, 4.5)


def add_hot_pixels(image: Floats, number: int, seed: int) -> None:
    """Add groups of hot pixels that look like stars, at places that depend on the seed alone, in place."""
    rng = np.random.default_rng((seed, 17))
    ny, nx = image.shape
    x, y = rng.uniform(5, nx - 5, size=number), rng.uniform(5, ny - 5, size=number)
    add_stars(image, x, y, 10.0 ** rng.uniform(3.5, 4.5, size=number), 2.0)


def _distance2(
    shape: tuple[int, ...], x: float, y: float, reach: int, ratio: float
) -> tuple[Floats | None, tuple[slice, slice]]:
    """Squared distances from a position in a window of the image, along y divided by the axis ratio."""
    low_x, high_x = max(round(x) - reach, 0), min(round(x) + reach + 1, shape[1])
    low_y, high_y = max(round(y) - reach, 0), min(round(y) + reach + 1, shape[0])
    window = slice(low_y, high_y), slice(low_x, high_x)
    if low_x >= high_x or low_y >= high_y:
        return None, window
    rows, columns = np.ogrid[window]
    return np.asarray((columns - x) ** 2 + ((rows - y) / ratio) ** 2, dtype=float), window


def _profile(pixels: np.ndarray, centre: Floats, sigma: float) -> Floats:
    """Share of a Gaussian's flux in each pixel along one axis, (N, n)."""
    upper = (pixels + 0.5 - centre[:, None]) / (np.sqrt(2.0) * sigma)
    lower = (pixels - 0.5 - centre[:, None]) / (np.sqrt(2.0) * sigma)
    return np.asarray(0.5 * (erf(upper) - erf(lower)))
