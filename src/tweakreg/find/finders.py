"""Star finders on background-subtracted pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from astropy.table import Table

from tweakreg.find.background import subtract_background
from tweakreg.plane import Bools, Floats
from tweakreg.process import silenced
from tweakreg.records import FindConfig, Pixels, SourceCatalog

#: Fewer sources than this are explained.
_FEW = 15
#: Where an image has no noise, stars have peaks above this share of the brightest.
_FAINTEST_WITHOUT_NOISE = 1e-3
#: A source that is perfectly round has a roundness of zero but for rounding, and is not below a roundlo of zero.
_ROUNDING = 1e-9


def find_sources(pixels: Pixels, config: FindConfig, name: str = "") -> SourceCatalog:
    """Find sources.

    Parameters
    ----------
    pixels : Pixels
        Pixels and their mask.
    config : FindConfig
        Which finder, and its settings.
    name : str
        Name of the catalog.

    Returns
    -------
    SourceCatalog
        Empty where there is nothing to find: a blank image, no good pixel, no noise.
    """
    mask = pixels.mask | ~np.isfinite(pixels.data)
    data, noise = subtract_background(pixels.data, mask, config.bkg_boxsize)
    if mask.all():
        return SourceCatalog.empty(name, "no pixel is usable: all are NaN, or flagged in DQ")
    threshold = config.snr_threshold * noise
    if not noise > 0.0:
        # An image without noise, as a simulated one: a thousandth of its brightest pixel is no star's peak.
        threshold = _FAINTEST_WITHOUT_NOISE * float(data.max())
    if not threshold > 0.0:
        return SourceCatalog.empty(name, "its pixels are all alike")
    good = replace(pixels, data=data, mask=mask)
    table = _FINDERS[config.starfinder](good, threshold, config)
    note = _note(good, threshold, config, 0 if table is None else len(table))
    if table is None or len(table) == 0:
        return SourceCatalog.empty(name, note)
    x, y, flux = (np.asarray(table[column], dtype=float) for column in ("x_centroid", "y_centroid", "flux"))
    catalog = SourceCatalog(x=x, y=y, flux=flux, name=name, note=note)
    catalog = inside_bounds(catalog[np.isfinite(x) & np.isfinite(y) & np.isfinite(flux)], pixels.bounds)
    return catalog if config.starfinder == "segmentation" else brightest(catalog, config.brightest)


def _note(pixels: Pixels, threshold: float, config: FindConfig, number: int) -> str:
    """Why a finder found so few, if it did: nothing is bright enough, or its limits reject what is."""
    if number >= _FEW or config.starfinder == "segmentation":
        return ""
    free = replace(
        config, sharplo=-np.inf, sharphi=np.inf, roundlo=-np.inf, roundhi=np.inf, peakmax=None, brightest=None
    )
    table = _FINDERS[config.starfinder](pixels, threshold, free)
    total = 0 if table is None else len(table)
    if table is None or total == 0:
        return "nothing is above the threshold: lower snr_threshold, or set kernel_fwhm to the width of the stars"
    rounds = [column for column in ("roundness1", "roundness2", "roundness") if column in table.colnames]
    rejected = {
        "sharplo, sharphi": _outside(table["sharpness"], config.sharplo, config.sharphi),
        "roundlo, roundhi": np.any(
            [_outside(table[each], config.roundlo - _ROUNDING, config.roundhi) for each in rounds], axis=0
        ),
        "peakmax": np.asarray(table["peak"]) > (np.inf if config.peakmax is None else config.peakmax),
    }
    counts = [f"{name} {int(np.sum(out))}" for name, out in rejected.items() if np.sum(out)]
    return f"of {total} peaks above the threshold are rejected by {', by '.join(counts)}" if counts else ""


def _outside(values: Any, low: float, high: float) -> Bools:
    numbers = np.asarray(values, dtype=float)
    return np.asarray((numbers < low) | (numbers > high))


def brightest(catalog: SourceCatalog, number: int | None) -> SourceCatalog:
    """The brightest sources in their old order; all for None.

    Not left to photutils, which counts sources without a flux among the brightest.
    """
    if number is None or len(catalog) <= number:
        return catalog
    return catalog[np.sort(np.argsort(-catalog.flux, kind="stable")[:number])]


def inside_bounds(
    catalog: SourceCatalog, bounds: tuple[tuple[float, float], tuple[float, float]] | None
) -> SourceCatalog:
    """Drop sources where the WCS is not valid."""
    if bounds is None:
        return catalog
    (xmin, xmax), (ymin, ymax) = bounds
    return catalog[(catalog.x > xmin) & (catalog.x < xmax) & (catalog.y > ymin) & (catalog.y < ymax)]


def _star_finder_options(config: FindConfig) -> dict[str, object]:
    return {
        "sigma_radius": config.sigma_radius,
        "min_separation": max(2, int(config.minsep_fwhm * config.kernel_fwhm + 0.5)),
        "sharpness_range": (config.sharplo, config.sharphi),
        "roundness_range": (config.roundlo - _ROUNDING, config.roundhi),
        "peak_max": config.peakmax,
    }


def _find_dao(pixels: Pixels, threshold: float, config: FindConfig) -> Table | None:
    from photutils.detection import DAOStarFinder

    finder = DAOStarFinder(threshold, config.kernel_fwhm, **_star_finder_options(config))
    return _find_stars(finder, pixels, finder.threshold_eff)


def _find_iraf(pixels: Pixels, threshold: float, config: FindConfig) -> Table | None:
    from photutils.detection import IRAFStarFinder

    finder = IRAFStarFinder(threshold, config.kernel_fwhm, **_star_finder_options(config))
    return _find_stars(finder, pixels, threshold)


def _find_stars(finder: Any, pixels: Pixels, threshold: float) -> Table | None:
    """Run a star finder of photutils on peaks found here: its own search looks at every local maximum of the noise."""
    from scipy.ndimage import convolve

    convolved = convolve(pixels.data, finder.kernel.data, mode="constant", cval=0.0)
    finder.xycoords = find_peaks(convolved, threshold, pixels.mask, finder.min_separation)
    return _quietly(lambda: finder(pixels.data, mask=pixels.mask)) if len(finder.xycoords) else None


def find_peaks(data: Floats, threshold: float, mask: Bools, radius: float) -> Floats:
    """Pixels above a threshold that no other within a radius exceeds.

    Parameters
    ----------
    data : (ny, nx) float array
        Smoothed pixels.
    threshold : float
        Not negative.
    mask : (ny, nx) bool array
        Pixels that are no peaks; they may still exceed others.
    radius : float
        Pixels.

    Returns
    -------
    (N, 2) float array
        x and y, in the order of the rows.
    """
    y, x = np.nonzero((data > threshold) & ~mask)
    reach = int(radius)
    padded = np.pad(data, reach, constant_values=-np.inf)
    steps = np.arange(-reach, reach + 1)
    dx, dy = (each.ravel() for each in np.meshgrid(steps, steps))
    distance = np.hypot(dx, dy)
    # Near neighbours first: they leave few peaks to compare with the others.
    for step in np.argsort(distance)[1 : np.count_nonzero(distance <= radius)]:
        higher = padded[y + reach + dy[step], x + reach + dx[step]] > data[y, x]
        y, x = y[~higher], x[~higher]
    return np.column_stack([x, y]).astype(float)


def _find_segments(pixels: Pixels, threshold: float, config: FindConfig) -> Table | None:
    from photutils.segmentation import SourceCatalog as SegmentCatalog
    from photutils.segmentation import SourceFinder

    smooth = _smooth(pixels.data, pixels.mask, config.kernel_fwhm)
    finder = SourceFinder(
        config.npixels,
        connectivity=config.connectivity,
        deblend=config.deblend,
        n_levels=config.nlevels,
        contrast=config.contrast,
        mode=config.multithresh_mode,
        progress_bar=False,
    )
    segments = _quietly(lambda: finder(smooth, threshold, mask=pixels.mask))
    if segments is None:
        return None
    catalog = SegmentCatalog(
        pixels.data,
        segments,
        convolved_data=smooth,
        error=None if pixels.error is None else pixels.error.astype(float),
        mask=pixels.mask,
        local_bkg_width=config.localbkg_width,
        aperture_mask_method=config.apermask_method,
        kron_params=config.kron_params,
    )
    columns = ["x_centroid", "y_centroid", "segment_flux"]
    table = _quietly(lambda: catalog.to_table(columns=columns))
    if table is not None:
        table.rename_column("segment_flux", "flux")
    return table


def _smooth(data: Floats, mask: Bools, fwhm: float) -> Floats:
    from astropy.convolution import Gaussian2DKernel, convolve
    from astropy.stats import gaussian_fwhm_to_sigma

    kernel = Gaussian2DKernel(fwhm * gaussian_fwhm_to_sigma)
    with silenced():
        return np.asarray(np.nan_to_num(convolve(data, kernel, mask=mask)))


def _quietly(find: Callable[[], Table | None]) -> Table | None:
    """Run a finder with the column names of photutils 4 and without its warning that it found nothing."""
    import photutils
    from photutils.utils.exceptions import NoDetectionsWarning

    with silenced(NoDetectionsWarning), silenced(RuntimeWarning), photutils.use_future_column_names():
        return find()


_FINDERS = {"dao": _find_dao, "iraf": _find_iraf, "segmentation": _find_segments}
