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

#: What is kept of a finder's table beside the positions, where it has it.
_ROUNDNESS = ("roundness1", "roundness2", "roundness")
_MEASURES = ("sharpness", *_ROUNDNESS, "ellipticity", "peak", "snr")
#: A source that is perfectly round has a roundness of zero but for rounding, and is not below a roundlo of zero.
_ROUNDING = 1e-9
#: Fewer sources than this are explained.
_FEW = 15
#: Where an image has no noise, stars have peaks above this share of the brightest.
_FAINTEST_WITHOUT_NOISE = 1e-3


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
    if table is None or len(table) == 0:
        few = "nothing is above the threshold: lower snr_threshold, or set kernel_fwhm to the width of the stars"
        return SourceCatalog.empty(name, "" if config.starfinder == "segmentation" else few)
    x, y, flux = (np.asarray(table[column], dtype=float) for column in ("x_centroid", "y_centroid", "flux"))
    measures = {column: np.asarray(table[column], dtype=float) for column in _MEASURES if column in table.colnames}
    measures["snr"] *= config.snr_threshold / threshold if noise > 0.0 else np.nan
    found = SourceCatalog(x=x, y=y, flux=flux, name=name, measures=measures)
    found = inside_bounds(found[np.isfinite(x) & np.isfinite(y) & np.isfinite(flux)], pixels.bounds)
    return _chosen(found, _rejections(found, config))


def _chosen(found: SourceCatalog, rejections: dict[str, Bools]) -> SourceCatalog:
    """The sources that no limit rejects, with those that one does, and a note where few are left."""
    reasons = np.array([""] * len(found), dtype=object)
    for parameter, rejected in rejections.items():
        reasons[rejected] += np.where(reasons[rejected] == "", parameter, f", {parameter}")
    kept = reasons == ""
    out = found[~kept]
    out = replace(out, measures={**out.measures, "rejected_by": reasons[~kept].astype(str)})
    counts = [f"{parameter} {rejected.sum()}" for parameter, rejected in rejections.items() if rejected.any()]
    few = counts and kept.sum() < _FEW
    note = f"of {len(found)} peaks above the threshold are rejected by {', by '.join(counts)}" if few else ""
    return replace(found[kept], note=note, rejected=out)


def _rejections(found: SourceCatalog, config: FindConfig) -> dict[str, Bools]:
    """Which sources each limit of a star finder rejects, by its parameter."""
    if config.starfinder == "segmentation":
        return {}
    sharpness = found.measures["sharpness"]
    roundness = [found.measures[each] for each in _ROUNDNESS if each in found.measures]
    limits = {
        "sharplo": sharpness < config.sharplo,
        "sharphi": sharpness > config.sharphi,
        "roundlo": np.min(roundness, axis=0) < config.roundlo - _ROUNDING,
        "roundhi": np.max(roundness, axis=0) > config.roundhi,
        "peakmax": found.measures["peak"] > (np.inf if config.peakmax is None else config.peakmax),
    }
    left = np.flatnonzero(~np.any(list(limits.values()), axis=0))
    fainter = np.zeros(len(found), dtype=bool)
    if config.brightest is not None:
        # Not left to photutils, which counts sources without a flux among the brightest.
        fainter[left[np.argsort(-found.flux[left], kind="stable")[config.brightest :]]] = True
    return {**limits, "brightest": fainter}


def inside_bounds(
    catalog: SourceCatalog, bounds: tuple[tuple[float, float], tuple[float, float]] | None
) -> SourceCatalog:
    """Drop sources where the WCS is not valid."""
    if bounds is None:
        return catalog
    (xmin, xmax), (ymin, ymax) = bounds
    return catalog[(catalog.x > xmin) & (catalog.x < xmax) & (catalog.y > ymin) & (catalog.y < ymax)]


def _star_finder_options(config: FindConfig) -> dict[str, object]:
    """Without limits: those are ours, so that it is known what each of them rejects."""
    return {
        "sigma_radius": config.sigma_radius,
        "min_separation": max(2, int(config.minsep_fwhm * config.kernel_fwhm + 0.5)),
        "sharpness_range": None,
        "roundness_range": None,
    }


def _find_dao(pixels: Pixels, threshold: float, config: FindConfig) -> Table | None:
    from photutils.detection import DAOStarFinder

    finder = DAOStarFinder(threshold, config.kernel_fwhm, **_star_finder_options(config))
    return _find_stars(finder, pixels, finder.threshold_eff, threshold)


def _find_iraf(pixels: Pixels, threshold: float, config: FindConfig) -> Table | None:
    from photutils.detection import IRAFStarFinder

    finder = IRAFStarFinder(threshold, config.kernel_fwhm, **_star_finder_options(config))
    return _find_stars(finder, pixels, threshold, threshold)


def _find_stars(finder: Any, pixels: Pixels, threshold: float, limit: float) -> Table | None:
    """Run a star finder of photutils on peaks found here: its own search looks at every local maximum of the noise.

    Peaks of the smoothed image are above `threshold`, which stands for `limit` in the image itself.
    """
    from scipy.ndimage import convolve

    convolved = convolve(pixels.data, finder.kernel.data, mode="constant", cval=0.0)
    finder.xycoords = find_peaks(convolved, threshold, pixels.mask, finder.min_separation)
    if not len(finder.xycoords):
        return None
    table = _quietly(lambda: finder(pixels.data, mask=pixels.mask))
    if table is not None:
        table["snr"] = _highest_near(convolved, table["x_centroid"], table["y_centroid"]) * (limit / threshold)
    return table


def _highest_near(data: Floats, x: Any, y: Any) -> Floats:
    """The highest of the nine pixels about each place."""
    column, row = (
        np.clip(np.rint(np.nan_to_num(place)).astype(int), 1, max(size - 2, 1))
        for place, size in ((x, data.shape[1]), (y, data.shape[0]))
    )
    steps = (-1, 0, 1)
    rows, columns = (size - 1 for size in data.shape)
    near = [data[np.minimum(row + dy, rows), np.minimum(column + dx, columns)] for dy in steps for dx in steps]
    return np.asarray(np.max(near, axis=0), dtype=float)


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
    columns = ["x_centroid", "y_centroid", "segment_flux", "max_value", "ellipticity"]
    table = _quietly(lambda: catalog.to_table(columns=columns))
    if table is not None:
        table.rename_columns(["segment_flux", "max_value"], ["flux", "peak"])
        table["snr"] = _highest_near(smooth, table["x_centroid"], table["y_centroid"])
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
